"""asyncio's protocols, which are faster than its streams, on its own loop or
uvloop: `asyncio_server.py echo|bulk|room asyncio|uvloop`."""

import asyncio
import socket
import sys

MAX_LINE = 65_536
READ_BUFFER_SIZE = 262_144

# asyncio reads into this for all connections, where `data_received` would have it
# allocate, and give back to the system, as much for each `recv`. uvloop has such a
# buffer of its own.
shared = memoryview(bytearray(READ_BUFFER_SIZE))


class Lines:
    def connection_made(self, transport):
        self.transport = transport
        self.partial = b""

    def data_received(self, data):
        lines = data.split(b"\n")
        lines[0] = self.partial + lines[0]
        self.partial = lines.pop()
        if len(self.partial) > MAX_LINE:
            self.transport.abort()
        if lines:
            self.lines_received(lines)

    def get_buffer(self, sizehint):
        return shared

    def buffer_updated(self, nbytes):
        self.data_received(bytes(shared[:nbytes]))


class Echo(Lines):
    # A client that does not read shall not be read either.
    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    def lines_received(self, lines):
        lines.append(b"")
        self.transport.write(b"\n".join(lines))


class Member(Lines):
    members = set()
    # Those to whom something was said in this turn of the loop: each is written
    # to once.
    spoken_to = []

    def connection_made(self, transport):
        super().connection_made(transport)
        self.unsent = []
        self.members.add(self)

    def connection_lost(self, exc):
        self.members.discard(self)

    def lines_received(self, lines):
        if not self.spoken_to:
            asyncio.get_running_loop().call_soon(self.write_all)
        for line in lines:
            line += b"\n"
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


class Bulk(asyncio.BufferedProtocol):
    """Sends from the buffer that it reads into; it reads no more while anything
    of that is unsent."""

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        self.buffer = memoryview(bytearray(READ_BUFFER_SIZE))

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.transport.write(self.buffer[:nbytes])


async def main(protocol):
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = await asyncio.get_running_loop().create_server(protocol, sock=listener)
    host, port = listener.getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await server.serve_forever()


work, loop = sys.argv[1:]
protocol = {"echo": Echo, "bulk": Bulk, "room": Member}[work]
if loop == "uvloop":
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
if issubclass(protocol, Lines):
    kind = asyncio.Protocol if loop == "uvloop" else asyncio.BufferedProtocol
    protocol = type(protocol.__name__, (protocol, kind), {})
asyncio.run(main(protocol))
