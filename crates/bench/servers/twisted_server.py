"""Twisted's LineReceiver on its epoll reactor: `twisted_server.py echo|room`."""

import sys

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import interfaces, protocol, reactor  # noqa: E402
from twisted.protocols.basic import LineReceiver  # noqa: E402
from zope.interface import implementer  # noqa: E402


class Line(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 65_536

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)


# Without this, what is still queued is dropped when the client has sent its end.
@implementer(interfaces.IHalfCloseableProtocol)
class Echo(Line):
    def connectionMade(self):
        super().connectionMade()
        # A client that does not read shall not be read either.
        self.transport.registerProducer(self, True)

    def lineReceived(self, line):
        self.sendLine(line)

    def readConnectionLost(self):
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass


class Member(Line):
    members = set()

    def connectionMade(self):
        super().connectionMade()
        self.members.add(self)

    def connectionLost(self, reason):
        self.members.discard(self)

    def lineReceived(self, line):
        for member in self.members:
            member.sendLine(line)


factory = protocol.Factory.forProtocol({"echo": Echo, "room": Member}[sys.argv[1]])
port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
print(f"listening on 127.0.0.1:{port.getHost().port}", flush=True)
reactor.run()
