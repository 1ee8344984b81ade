"""Sends data out of band on several sockets, and waits for a line on stdin;
then goes on as if nothing had been, and waits again."""

import socket
import sys

address = (sys.argv[1], int(sys.argv[2]))
sockets = [socket.create_connection(address, timeout=20) for _ in range(4)]
alone, before, within, often = sockets
alone.send(b"!", socket.MSG_OOB)
before.send(b"!", socket.MSG_OOB)
before.sendall(b"half a li")
within.sendall(b"half a li")
within.send(b"!", socket.MSG_OOB)
often.sendall(b"half a li")
for _ in range(10):
    often.send(b"!", socket.MSG_OOB)
print("out of band", flush=True)
sys.stdin.readline()

alone.sendall(b"half a li")
for sock in sockets:
    sock.sendall(b"ne\n")
    line = sock.makefile("rb").readline()
    if sock is often:
        # Only the last byte is out of band; the ones before it may be read.
        line = line.replace(b"!", b"")
    if line != b"half a line\n":
        sys.exit(f"got {line!r}")
    sock.send(b"!", socket.MSG_OOB)
for sock in sockets[2:]:
    sock.shutdown(socket.SHUT_WR)
print("as connections closed", flush=True)
sys.stdin.readline()
