"""Two hundred members who all speak at once; each must hear all others, every
line once, and those of one speaker in order."""

import selectors
import socket
import sys
import time

MEMBERS = 200
LINES = 5
address = (sys.argv[1], int(sys.argv[2]))
deadline = time.monotonic() + 20


class Member:
    def __init__(self, number):
        self.number = number
        self.socket = socket.create_connection(address, timeout=20)
        self.socket.sendall(b"member%d\n" % number)
        self.socket.setblocking(False)
        self.input = b""
        self.news = 0
        self.heard = [0] * MEMBERS
        self.count = 0
        said = b"".join(b"%d of %d\n" % (line, number) for line in range(LINES))
        # In two pieces, cut within a line.
        self.said = [said[: len(said) // 2], said[len(said) // 2 :]]

    def hear(self):
        data = self.socket.recv(65536)
        if not data:
            sys.exit(f"member {self.number} was thrown out")
        *lines, self.input = (self.input + data).split(b"\n")
        for line in lines:
            if line.startswith(b"* member") and line.endswith(b" joined"):
                self.news += 1
                continue
            nick, said = line.decode().split(": ")
            speaker = int(nick.removeprefix("member"))
            if speaker == self.number:
                sys.exit(f"{speaker} heard himself")
            if said != f"{self.heard[speaker]} of {speaker}":
                sys.exit(f"{line!r} after {self.heard[speaker]} lines")
            self.heard[speaker] += 1
            self.count += 1


def hear_until(done):
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"too slow: {sum(member.count for member in members)} heard")
        for key, _ in selector.select(1):
            key.data.hear()


selector = selectors.DefaultSelector()
members = []
for number in range(MEMBERS):
    member = Member(number)
    members.append(member)
    selector.register(member.socket, selectors.EVENT_READ, member)
    # One after the other, so that it is known who hears of whom.
    hear_until(lambda: members[0].news == number)
for piece in range(2):
    for member in members:
        member.socket.sendall(member.said[piece])
hear_until(lambda: all(member.count == (MEMBERS - 1) * LINES for member in members))
# Whatever came twice is before this.
members[0].socket.sendall(b"%d of 0\n" % LINES)
hear_until(lambda: all(member.heard[0] == LINES + 1 for member in members[1:]))
for member in members:
    if member.news != MEMBERS - 1 - member.number:
        sys.exit(f"member {member.number} heard of {member.news} others")
heard = sum(member.count for member in members) - (MEMBERS - 1)
print(MEMBERS, "members heard", heard, "lines")
