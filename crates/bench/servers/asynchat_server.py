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
    """Pushes once for all lines of a `recv`: each push is a `send`."""

    def __init__(self, sock):
        super().__init__(sock)
        self.answers = []

    def found_terminator(self):
        self.answers.append(self.take_line())

    def handle_read(self):
        super().handle_read()
        if self.answers and self.connected:
            self.push(b"".join(self.answers))
        self.answers.clear()


class Member(Channel):
    """Pushes once for all that was said in a turn, when the socket has room."""

    members = set()

    def __init__(self, sock):
        super().__init__(sock)
        self.unsent = []
        self.members.add(self)

    def found_terminator(self):
        line = self.take_line()
        for member in self.members:
            member.unsent.append(line)

    def writable(self):
        return bool(self.unsent) or super().writable()

    def handle_write(self):
        if self.unsent:
            self.push(b"".join(self.unsent))
            self.unsent.clear()
        else:
            super().handle_write()

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
