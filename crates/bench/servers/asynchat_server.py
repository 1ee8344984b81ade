"""CPython's asyncore and asynchat (up to 3.11): `asynchat_server.py echo|room`."""

import asynchat
import asyncore
import socket
import sys

MAX_LINE = 65_536
# asyncore's select() ends at 1,024 descriptors.
USE_POLL = True


class Channel(asynchat.async_chat):
    def __init__(self, sock):
        super().__init__(sock)
        self.set_terminator(b"\n")
        self.line = []
        self.len = 0

    def collect_incoming_data(self, data):
        self.line.append(data)
        self.len += len(data)
        if self.len > MAX_LINE:
            self.handle_close()

    def take_line(self):
        line = b"".join(self.line) + b"\n"
        self.line = []
        self.len = 0
        return line


class Echo(Channel):
    def found_terminator(self):
        self.push(self.take_line())


class Member(Channel):
    members = set()

    def __init__(self, sock):
        super().__init__(sock)
        self.members.add(self)

    def found_terminator(self):
        line = self.take_line()
        for member in list(self.members):
            member.push(line)

    def handle_close(self):
        self.members.discard(self)
        super().handle_close()


class Server(asyncore.dispatcher):
    def __init__(self, channel):
        super().__init__()
        self.channel = channel
        self.create_socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bind(("127.0.0.1", 0))
        self.listen(1024)
        host, port = self.socket.getsockname()
        print(f"listening on {host}:{port}", flush=True)

    def handle_accepted(self, sock, addr):
        self.channel(sock)


Server({"echo": Echo, "room": Member}[sys.argv[1]])
asyncore.loop(use_poll=USE_POLL)
