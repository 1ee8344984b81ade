#!/usr/bin/env python3
"""The inputs that a fuzz target begins with, one in hexadecimal on each line of
corpus/NAME.hex, which `cargo test` runs, too.

    corpus.py unpack NAME    adds them to the folder corpus/NAME, where cargo-fuzz looks
    corpus.py pack NAME      writes them anew, from what is in that folder
"""

import hashlib
import pathlib
import sys

action, name = sys.argv[1:]
folder = pathlib.Path(__file__).parent / "corpus" / name
packed = folder.with_suffix(".hex")
if action == "unpack":
    folder.mkdir(exist_ok=True)
    for line in packed.read_text().split():
        entry = bytes.fromhex(line)
        (folder / hashlib.sha1(entry).hexdigest()).write_bytes(entry)
elif action == "pack":
    entries = {path.read_bytes() for path in folder.iterdir()} - {b""}
    entries = sorted(entries, key=lambda entry: (len(entry), entry))
    packed.write_text("".join(f"{entry.hex()}\n" for entry in entries))
else:
    sys.exit(__doc__)
