"""Sends a UDP socket a datagram that seems to come from itself. Without the right to make
up a sender, the status is 77."""

import socket
import struct
import sys

host, port = sys.argv[1], int(sys.argv[2])
data = sys.argv[3].encode()
try:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
except PermissionError:
    sys.exit(77)
own = socket.inet_aton(host)
# The kernel fills in the rest; a UDP checksum of 0 is none.
udp = struct.pack("!HHHH", port, port, 8 + len(data), 0) + data
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, own, own)
raw.sendto(ip + udp, (host, 0))
