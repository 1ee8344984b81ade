"""Sends lines of random bytes, cut at random places, by ten sockets; every
line must come back."""

import random
import socket
import sys

random.seed(2)
address = (sys.argv[1], int(sys.argv[2]))
sockets = [socket.create_connection(address, timeout=20) for _ in range(10)]
files = [sock.makefile("rb") for sock in sockets]
lines = 0
for turn in range(10):
    sent = []
    for sock in sockets:
        batch = []
        for _ in range(10):
            length = random.choice([0, 1, 10, 1000, 10000])
            batch.append(random.randbytes(length).replace(b"\n", b"\r") + b"\n")
        data = b"".join(batch)
        while data:
            cut = random.randint(1, len(data))
            sock.sendall(data[:cut])
            data = data[cut:]
        sent.append(batch)
    for file, batch in zip(files, sent):
        for line in batch:
            got = file.readline()
            if got != line:
                sys.exit(f"sent {line!r}, got {got!r}")
            lines += 1
for sock, file in zip(sockets, files):
    sock.shutdown(socket.SHUT_WR)
    if file.read():
        sys.exit("more than was sent")
print(lines, "lines")
