"""Connects and resets, again and again: at once, as a member, in mid-line."""

import socket
import struct
import sys

address = (sys.argv[1], int(sys.argv[2]))
for number in range(int(sys.argv[3])):
    client = socket.create_connection(address, timeout=20)
    said = [b"", b"member%d\n" % number, b"member%d\nhalf a li" % number]
    client.sendall(said[number % 3])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
