"""Prints the way of one echoed line: which functions of crates/reactor/src and
crates/chat/src are called for each line that a client sends to examples/echo and
gets back, in the order of the calls.

The example is built without inlining and run under callgrind twice, with some
lines and with more, one at a time. What is called at least once more for each line
more is on the way. A closure is part of the function that it is written in, and all
instances of a generic function are one. The standard library, other crates, what
`derive` writes, operators (`==`, `|`, `*` and their like, by the traits of `core::ops`
and `core::cmp`; but `drop` counts) and the example's own handler do not count; what
they call back does.
"""

import argparse
import collections
import linecache
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OURS = re.compile(r"/crates/(reactor|chat)/src/")
OPERATOR = re.compile(r" as core::(ops::(?!drop)|cmp::)")
PAGE = os.path.join(ROOT, "docs", "architecture.md")
BEGIN, END = "<!-- way -->\n", "<!-- /way -->\n"

FEWER, MORE = 100, 300  # lines
ONCE = 0.9  # calls a line that are taken for one: two events may share a turn

Function = collections.namedtuple("Function", "file name")


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--write", action="store_true", help="put the list in docs/architecture.md")
    options.add_argument("--max-functions", type=int, metavar="N", help="fail if there are more")
    options.add_argument("--max-files", type=int, metavar="N", help="fail if they are in more")
    options = options.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: no valgrind")
        return 0

    program = build()
    way = find_way(profile(program, FEWER), profile(program, MORE))
    files = {function.file for function in way}
    text = "".join(f"- `{os.path.basename(file)}`: `{name}`\n" for file, name in way)
    text += f"\n{len(way)} functions in {len(files)} files.\n"
    print(text, end="")
    if options.write:
        write(text)

    is_within = True
    for what, count, most in [("functions", len(way), options.max_functions),
                              ("files", len(files), options.max_files)]:
        if most is not None and count > most:
            print(f"{count} {what}: more than {most}", file=sys.stderr)
            is_within = False
    return 0 if is_within else 1


def build():
    """Builds the echo example in which every call is one."""
    environment = dict(
        os.environ,
        # Without the pass that inlines what is `#[inline(always)]`, too.
        RUSTFLAGS="-C no-prepopulate-passes",
        CARGO_PROFILE_DEV_DEBUG_ASSERTIONS="false",
    )
    target = os.path.join(ROOT, "target", "way")
    command = "cargo build --quiet --locked --package examples --example echo --target-dir".split()
    subprocess.run([*command, target], cwd=ROOT, env=environment, check=True)
    return os.path.join(target, "debug", "examples", "echo")


def profile(program, lines):
    """Has so many lines echoed; returns what `parse` does."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "callgrind.out")
        valgrind = ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-strings=no",
                    "--compress-pos=no", f"--callgrind-out-file={out}"]
        server = subprocess.Popen([*valgrind, program, "--listen", "127.0.0.1:0"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            host, port = server.stdout.readline().split()[-1].rsplit(":", 1)
            with socket.create_connection((host, int(port)), timeout=60) as client:
                answers = client.makefile("rb")
                for number in range(lines):
                    line = b"line %d\n" % number
                    client.sendall(line)
                    if answers.readline() != line:
                        sys.exit(f"line {number} did not come back")
        finally:
            server.terminate()
            server.wait()
        with open(out) as calls:
            return parse(calls)


def parse(profile):
    """Reads callgrind's format. Returns how often each function of ours was called,
    and who calls whom: {caller: {called: address}}."""
    counts, callees = collections.Counter(), collections.defaultdict(dict)
    derived, operators = set(), set()
    file = called_file = count = None
    for line in profile:
        key, _, value = line.rstrip("\n").partition("=")
        if key == "fl":
            file = value
        elif key == "fn":
            caller, is_first = function(file, value), True
        elif key in ("cfi", "cfl"):
            called_file = value
        elif key == "cfn":
            called, is_closure = function(called_file or file, value), "{closure" in value
            if OPERATOR.search(value):
                operators.add(called)
            called_file = None
        elif key == "calls":
            count = int(value.split()[0])
        elif line.startswith("0x"):  # an address, its line in the source, a cost
            address, number = line.split()[:2]
            if is_first and "#[derive" in linecache.getline(file, int(number)):
                derived.add(caller)
            is_first = False
            if count:  # it is the calls' cost
                counts[called] += count
                if not is_closure:
                    callees[caller].setdefault(called, int(address, 16))
            count = None
    ours = {each for each in counts if OURS.search(each.file)} - derived - operators
    return {each: counts[each] for each in ours}, callees


def function(file, name):
    """As one would write it: without modules, without the types of an instance."""
    name = re.sub(r"::\{+closure.*|'\d+$", "", name)
    if not OURS.search(file):
        return Function(file, name)
    method = re.fullmatch(r"(?:.*<impl |<)(.+)>::(\w+)", name)
    if method:
        owner, *trait = (last(path) for path in method[1].split(" as "))
        # A blanket implementation is the trait's.
        return Function(file, f"{trait[0] if trait and len(owner) == 1 else owner}::{method[2]}")
    *path, name = without_types(name).split("::")
    is_method = path and path[-1][:1].isupper()
    return Function(file, f"{path[-1]}::{name}" if is_method else name)


def last(path):
    return without_types(path).split("::")[-1]


def without_types(path):
    while (shorter := re.sub(r"(::)?<[^<>]*>", "", path)) != path:
        path = shorter
    return path


def find_way(fewer, more):
    """What is called for each line, as it is first called from `turn` on."""
    (fewer, _), (more, callees) = fewer, more
    least = ONCE * (MORE - FEWER)
    growing = {each for each, count in more.items() if count - fewer.get(each, 0) >= least}
    way, seen = [], set()

    def visit(function):
        if function in seen:
            return
        seen.add(function)
        if function in growing:
            way.append(function)
        elif OURS.search(function.file):
            return  # what it calls is called for other reasons
        for callee, _ in sorted(callees[function].items(), key=lambda call: call[1]):
            visit(callee)

    sys.setrecursionlimit(10_000)
    for first in sorted(growing, key=lambda each: (each.name != "ChannelMap::turn", each)):
        visit(first)
    return way


def write(text):
    with open(PAGE) as page:
        before, _, rest = page.read().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{PAGE} has no {BEGIN.strip()} … {END.strip()}")
    with open(PAGE, "w") as page:
        page.write(before + BEGIN + "\n" + text + "\n" + end + after)


if __name__ == "__main__":
    sys.exit(main())
