"""Twisted's LineOnlyReceiver, which splits all that has come at once, on its epoll reactor: `twisted_server.py echo|room`."""

import sys

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import interfaces, protocol, reactor  # noqa: E402
from twisted.protocols.basic import LineOnlyReceiver  # noqa: E402
from zope.interface import implementer  # noqa: E402


class Line(LineOnlyReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 65_536

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)


# Without this, what is still queued is dropped when the client has sent its end.
@implementer(interfaces.IHalfCloseableProtocol)
class Echo(Line):
    def connectionMade(self):
        super().connectionMade()
        # A client that does not read shall not be read either: the transport
        # is its own producer.
        self.transport.registerProducer(self.transport, True)

    def lineReceived(self, line):
        self.transport.write(line + self.delimiter)

    def readConnectionLost(self):
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass


class Member(Line):
    members = set()
    # Those to whom something was said in this turn of the reactor: each is written
    # to once.
    spoken_to = []

    def connectionMade(self):
        super().connectionMade()
        self.unsent = []
        self.members.add(self)

    def connectionLost(self, reason):
        self.members.discard(self)

    def lineReceived(self, line):
        if not self.spoken_to:
            reactor.callLater(0, self.write_all)
        line += self.delimiter
        for member in self.members:
            unsent = member.unsent
            if not unsent:
                self.spoken_to.append(member)
            unsent.append(line)

    @classmethod
    def write_all(cls):
        for member in cls.spoken_to:
            member.transport.write(b"".join(member.unsent))
            member.unsent.clear()
        cls.spoken_to.clear()


factory = protocol.Factory.forProtocol({"echo": Echo, "room": Member}[sys.argv[1]])
port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
print(f"listening on 127.0.0.1:{port.getHost().port}", flush=True)
reactor.run()
