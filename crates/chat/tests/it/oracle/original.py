"""Runs scenarios through CPython's own asynchat, and writes down what happened.

Standard input has one scenario a line (`scenario.rs` says how it is written).
Standard output gets the version of Python, and then one record a line (`mark.rs`
says what is in it). Nothing here knows what any other implementation does.
"""

import asynchat
import asyncore
import errno
import sys


def escaped(data):
    return repr(bytes(data))[2:-1]


def unescaped(text):
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


def terminator(text):
    if text == "-":
        return None
    return int(text[1:]) if text[0] == "#" else unescaped(text[1:])


def written(term):
    if term is None:
        return "-"
    return f"#{term}" if isinstance(term, int) else "=" + escaped(term)


class Wire:
    """The socket that the original is given."""

    def __init__(self, marks, width):
        self.marks = marks
        self.width = width
        self.segment = None
        self.is_broken = False

    def setblocking(self, _):
        pass

    def fileno(self):
        return 0

    def getpeername(self):
        return "peer"

    def close(self):
        pass

    def recv(self, _):
        if self.segment is None:
            raise BlockingIOError(errno.EAGAIN, "nothing now")
        data, self.segment = self.segment, None
        return data

    def send(self, data):
        if self.is_broken:
            self.marks.append("broken")
            raise BrokenPipeError(errno.EPIPE, "the peer is gone")
        data = data[: self.width]
        if data:
            self.marks.append("sent:" + escaped(data))
        return len(data)


class Pieces:
    """A producer of several pieces."""

    def __init__(self, pieces):
        self.pieces = pieces

    def more(self):
        return self.pieces.pop(0) if self.pieces else b""

    def rest(self):
        return b"".join(self.pieces)


class Falsy(Pieces):
    """The same, one byte at a time, and false whenever anybody asks."""

    def __init__(self, data, marks):
        super().__init__([data[i : i + 1] for i in range(len(data))])
        self.marks = marks

    def __len__(self):
        return 0

    def more(self):
        piece = super().more()
        self.marks.append("unasked:" + escaped(self.rest()) if piece else "ate")
        return piece


class Failure(Exception):
    pass


class Subject(asynchat.async_chat):
    """A user's class: records each callback and does what the script says."""

    def __init__(self, wire, marks, options, first, steps, collects):
        super().__init__(wire, {})
        self.marks = marks
        self.steps = steps
        self.collects = collects
        self.chunk = int(options["chunk"])
        self.ac_out_buffer_size = self.chunk
        self.is_forgiving = "forgiving" in options
        self.is_closing = False
        self.found = 0
        self.has_collected = False
        self.set_terminator(first)

    def collect_incoming_data(self, data):
        self.marks.append("data:" + escaped(data))
        try:
            if self.will_act():
                self.marks.append("acts:" + self.place(data))
                self.has_collected = True
                self.act(self.collects[self.found])
            self.has_collected = True
        finally:
            self.marks.append("return")

    def found_terminator(self):
        self.marks.append("found:" + written(self.get_terminator()))
        self.has_collected = False
        self.found += 1
        try:
            if self.found <= len(self.steps):
                self.act(self.steps[self.found - 1])
        finally:
            self.marks.append("return")

    def handle_close(self):
        self.marks.append("closed")
        super().handle_close()

    def handle_error(self):
        if self.is_forgiving:
            self.marks.append("forgiven:rest" if self.ac_in_buffer else "forgiven")
        else:
            self.marks.append("error")
            super().handle_error()

    def log_info(self, message, type="info"):
        pass

    def will_act(self):
        is_first = not self.has_collected
        return is_first and any(self.collects[self.found : self.found + 1])

    def place(self, data):
        """Where in its work the original is while it gives us `data`."""
        term = self.get_terminator()
        if not term:
            return "plain"
        if isinstance(term, int):
            return "count-end" if len(data) == term else "count"
        rest = self.ac_in_buffer[len(data) :]
        if rest.startswith(term):
            return "found"
        return "prefix" if rest else "plain"

    def act(self, actions):
        if self.is_closing:
            return
        self.is_closing = "close" in actions or "done" in actions
        for action in actions:
            name, _, data = action.partition(":")
            if action[0] in "=#-":
                self.marks.append("zero" if action == "#0" else "set")
                self.set_terminator(terminator(action))
            elif name == "push":
                self.push(unescaped(data))
            elif name == "simple":
                data = unescaped(data)
                self.push_with_producer(asynchat.simple_producer(data, self.chunk))
            elif name == "pieces":
                pieces = [unescaped(piece) for piece in data.split(",")]
                self.push_with_producer(Pieces(pieces))
            elif name == "falsy":
                self.push_with_producer(Falsy(unescaped(data), self.marks))
            else:
                self.marks.append(name)
                if name == "close":
                    self.close()
                elif name == "done":
                    self.close_when_done()
                elif name == "discard":
                    self.discard_buffers()
                elif name == "fail":
                    raise Failure
                else:
                    raise SystemExit(f"what is {action!r}?")

    def is_open(self):
        return self in self._map.values()

    def receive(self, segment):
        """The part of a turn of asyncore's loop for who is readable."""
        if not self.is_open() or not self.readable():
            return
        self.socket.segment = segment
        end = "eof:" + written(self.get_terminator())
        self.marks.append("read" if segment else end)
        asyncore.read(self)

    def flush(self):
        """The part for who is writable; whether it was."""
        if not self.is_open() or not self.writable():
            return False
        asyncore.write(self)
        return True

    def queued(self):
        """What is in the queue and will never be sent."""
        queued = b""
        for item in self.producer_fifo:
            if item is None:
                break
            if isinstance(item, bytes):
                queued += item
            else:
                queued += item.data if hasattr(item, "data") else item.rest()
        return queued


def record(line):
    header, first, steps, collects, segments, end = line.rstrip("\n").split(" | ")
    options = dict(option.partition("=")[::2] for option in header.split())
    steps, collects = (
        [step.split() for step in part.split(";")] for part in (steps, collects)
    )
    marks = []
    wire = Wire(marks, int(options.get("width", 1 << 30)))
    breaks_at = int(options.get("broken", -1))
    subject = Subject(wire, marks, options, terminator(first), steps, collects)
    stream = [unescaped(segment) for segment in segments.split()]
    if end == "eof":
        stream.append(b"")
    for number, segment in enumerate(stream):
        if number == breaks_at:
            wire.is_broken = True
        is_writable = subject.is_open() and subject.writable()
        subject.receive(segment)
        if "eager" in options:
            # The loop asked who is writable before it read.
            if is_writable:
                subject.flush()
            continue
        while subject.flush():
            pass
    while subject.flush():
        pass
    if subject.is_open():
        marks.append("open:" + written(subject.get_terminator()))
    marks.append("queued:" + escaped(subject.queued()))
    kept = "kept-acts:" if subject.will_act() else "kept:"
    marks.append(kept + escaped(subject.ac_in_buffer))
    return " ".join(marks)


def main():
    print(sys.version.split()[0])
    for line in sys.stdin:
        print(record(line))


if __name__ == "__main__":
    main()
