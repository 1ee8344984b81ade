"""Mail by STARTTLS, and a command that is slipped in before TLS begins."""

import smtplib
import socket
import ssl
import sys

host, port, authority = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=authority)

client = smtplib.SMTP("localhost", port, timeout=10)
client.ehlo()
assert client.has_extn("starttls")
assert client.starttls(context=context)[0] == 220
client.ehlo()
assert not client.has_extn("starttls")
assert client.docmd("STARTTLS")[0] == 503
assert client.sendmail("ada@example.org", ["grace@example.org"], "Subject: x\r\n\r\nhello") == {}
client.quit()

for injected in (b"NOOP\r\n", b"\r", b"x"):
    plain = socket.create_connection((host, port), timeout=10)
    lines = plain.makefile("rb")
    lines.readline()
    plain.sendall(b"EHLO x\r\n")
    while not lines.readline().startswith(b"250 "):
        pass
    plain.sendall(b"STARTTLS\r\n" + injected)
    answer = lines.read()
    assert answer == b"554 nothing may follow STARTTLS\r\n", (injected, answer)

# What was said in the clear is forgotten.
plain = socket.create_connection((host, port), timeout=10)
lines = plain.makefile("rb")
lines.readline()
plain.sendall(b"EHLO x\r\nMAIL FROM:<a@b.c>\r\n")
while not lines.readline().startswith(b"250 OK"):
    pass
plain.sendall(b"STARTTLS\r\n")
assert lines.readline().startswith(b"220 ")
tls = context.wrap_socket(plain, server_hostname="localhost")
tls.sendall(b"RCPT TO:<d@e.f>\r\n")
assert tls.recv(100).startswith(b"503 ")
print("all is well")
