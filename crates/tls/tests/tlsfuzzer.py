"""Runs a chosen set of tlsfuzzer's scripts against a server, and counts the conversations.

Usage: tlsfuzzer.py FOLDER PORT, where FOLDER is a clone of tlsfuzzer. The server answers
`GET / HTTP/1.0` by one record, with an RSA certificate.

A conversation that fails by a choice of rustls' is expected to: EXPECTED has all of those.
"""

import pathlib
import re
import subprocess
import sys

# TLS 1.2 without RSA key exchange and CBC: a script is told which cipher to take.
CIPHER = "-d -C TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"

SCRIPTS = """
tls13-conversation
tls13-ccs
tls13-connection-abort
tls13-count-tickets
tls13-crfg-curves
tls13-dhe-shared-secret-padding
tls13-ecdhe-curves
tls13-empty-alert
tls13-finished
tls13-finished-plaintext
tls13-hrr
tls13-invalid-ciphers
tls13-keyshare-omitted
tls13-keyupdate
tls13-keyupdate-from-server
tls13-large-number-of-extensions
tls13-no-unknown-groups
tls13-nociphers
tls13-record-layer-limits
tls13-record-padding
tls13-session-resumption
tls13-signature-algorithms
tls13-symetric-ciphers
tls13-unencrypted-alert
tls13-unrecognised-groups
tls13-zero-content-type
tls13-zero-length-data
conversation CIPHER
connection-abort CIPHER
cve-2016-6309 CIPHER
early-application-data CIPHER
fuzzed-ciphertext CIPHER
no-mlkem-in-old-tls CIPHER
record-layer-fragmentation CIPHER
renegotiation-disabled CIPHER
zero-length-data CIPHER
"""

# Patterns of the names of conversations, by script.
EXPECTED = {
    # No TLS 1.3 group but X25519, P-256 and P-384.
    "tls13-crfg-curves": r".*x448.*|.*compression.*|empty x25519 key share",
    "tls13-ecdhe-curves": r".*secp521r1.*|.*x448.*",
    "tls13-unrecognised-groups": r".*ffdhe2048.*",
    "tls13-dhe-shared-secret-padding": r".*(x448|secp521r1|ffdhe).*",
    # No CCM.
    "tls13-symetric-ciphers": r".*CCM.*",
    # No TLS 1.2 with RSA key exchange, and no key exchange by PSK alone.
    "tls13-session-resumption": r"sanity - TLS 1.2|use TLS 1.2 ticket.*|session resumption - PSK_ONLY",
    # Another alert than the script's.
    "tls13-empty-alert": r"empty alert.*",
    "tls13-finished": r"(empty|truncation|padding) .*",
    "tls13-finished-plaintext": r"Unencrypted Finished message",
    "tls13-keyshare-omitted": r"key_share extension omitted",
    "tls13-record-layer-limits": r"too big.*|max size payload.*",
    # A hello of more than 64 KB ends the connection without one. If the two sides have no
    # signature scheme in common, the alert follows the server's hello.
    "tls13-signature-algorithms": r".*32715.*|only (undefined|legacy) sigalgs",
    # These end it without one, too.
    "tls13-zero-content-type": r"zero content type.*",
    "tls13-zero-length-data": r".*interleaved in handshake",
    # The answer to a request for new keys waits for the next words, as RFC 8446 allows
    # (section 4.6.3), and one answers many. A fragment may not be interrupted: no alert.
    "tls13-keyupdate": r".*appdata between|app data split.*|multiple KeyUpdate messages",
    # The server has no reason to ask for any.
    "tls13-keyupdate-from-server": r"post-handshake KeyUpdate msg from server",
    # It answers a whole request, even if the peer is about to leave.
    "tls13-connection-abort": r"After NewSessionTicket",
    # These ranges have extensions that rustls knows, and their content is nonsense.
    "tls13-large-number-of-extensions": r".*ids in range from (2 to \d+|\d+ to 65535)",
    # A hello of more than 64 KB ends the connection without an alert; a plaintext record may be
    # a little too long.
    "record-layer-fragmentation": r"maximum size: .*|non fragmented, over fragmentation limit.*",
}


def run(folder, port, script, options):
    name = f"scripts/test-{script}.py"
    command = [sys.executable, name, "-h", "localhost", "-p", port, *options]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        return 0, ["(it takes too long)"], []
    summary = done.stdout.rpartition("Test end")[2]
    passed = re.search(r"^PASS: (\d+)", summary, re.M)
    if passed is None:
        return 0, ["(it does not run)"], []
    failed = re.findall(r"^\t'(.*)'$", summary.partition("FAILED:")[2], re.M)
    expected = re.compile(EXPECTED.get(script, r"(?!)"))
    known = [it for it in failed if expected.fullmatch(it)]
    return int(passed[1]), [it for it in failed if it not in known], known


def main():
    folder, port = pathlib.Path(sys.argv[1]), sys.argv[2]
    scripts = [line.split() for line in SCRIPTS.strip().splitlines()]
    passed = expected = failed = 0
    for script, *options in scripts:
        cipher = CIPHER.split() if options else []
        good, bad, known = run(folder, port, script, cipher)
        passed, expected, failed = passed + good, expected + len(known), failed + len(bad)
        print(f"{script}: {good} passed, {len(known)} as rustls chooses", flush=True)
        for name in bad:
            print(f"  failed: {name}", flush=True)
    print(f"{len(scripts)} scripts: {passed} passed, {expected} as rustls chooses, {failed} failed")
    sys.exit(failed > 0)


main()
