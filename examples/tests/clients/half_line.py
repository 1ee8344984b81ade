"""A member who says half a line, and waits to be killed."""

import socket
import sys

member = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
member.sendall(b"mal\nhalf a li")
print("half a line is sent", flush=True)
sys.stdin.read()
