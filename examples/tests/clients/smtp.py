"""Sends messages with smtplib, by one connection, and prints what it hears."""

import smtplib
import sys

SENDER = "ada@example.org"
server = smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=20)
server.ehlo("client")
print("features", *sorted(server.esmtp_features), server.esmtp_features["size"])
print("verify", *server.verify("bob@example.org"))
print("noop", *server.noop())
for number, (message, options) in enumerate([
    (b"Subject: plain\r\n\r\nhello\r\n", []),
    (b"", []),
    (b".\r\n..\r\n.hidden\r\n\r\n.\r\n", []),
    (b"no end of line", []),
    ("Subject: gr\u00fc\u00dfe\r\n\r\n\u2713\r\n".encode(), ["BODY=8BITMIME", "SMTPUTF8"]),
    (b"0123456789abcd\r\n" * 5000, []),
]):
    refused = server.sendmail(SENDER, ["bob@example.org", "cy@example.org"], message, options)
    print("message", number, refused)
try:
    server.sendmail(SENDER, "bob@example.org", b"0123456789abcd\r\n" * 7000)
except smtplib.SMTPSenderRefused as error:
    # smtplib declares a size, so that nothing has to be sent.
    print("too long", error.smtp_code)
server.rset()
server.putcmd("mail", "FROM:<>")
print("null", server.getreply()[0], server.rcpt("bob@example.org")[0])
try:
    print("undeclared", server.data(b"0123456789abcd\r\n" * 7000)[0])
except smtplib.SMTPException as error:
    print("undeclared", repr(error))
print("again", server.sendmail(SENDER, "bob@example.org", b"the last\r\n"))
print("quit", *server.quit())
