"""asyncio's protocols, which are faster than its streams, on its own loop or
uvloop: `asyncio_server.py echo|bulk|room asyncio|uvloop`."""

import asyncio
import socket
import sys

MAX_LINE = 65_536


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.partial = b""

    # A client that does not read shall not be read either.
    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    def take_lines(self, data):
        """The lines in `data`, without their ends."""
        lines = (self.partial + data).split(b"\n")
        self.partial = lines.pop()
        if len(self.partial) > MAX_LINE:
            self.transport.abort()
        return lines


class Echo(Connection):
    def data_received(self, data):
        answer = bytearray()
        for line in self.take_lines(data):
            answer += line
            answer += b"\n"
        if answer:
            self.transport.write(answer)


class Bulk(Connection):
    def data_received(self, data):
        self.transport.write(data)


class Member(Connection):
    members = set()

    def connection_made(self, transport):
        super().connection_made(transport)
        self.members.add(self)

    def connection_lost(self, exc):
        self.members.discard(self)

    # A room goes on when one member is slow.
    def pause_writing(self):
        pass

    def data_received(self, data):
        for line in self.take_lines(data):
            line += b"\n"
            for member in self.members:
                member.transport.write(line)


async def main(protocol):
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = await asyncio.get_running_loop().create_server(protocol, sock=listener)
    host, port = listener.getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await server.serve_forever()


work = {"echo": Echo, "bulk": Bulk, "room": Member}[sys.argv[1]]
if sys.argv[2] == "uvloop":
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
asyncio.run(main(work))
