"""The server that the example `smtpd` is a port of, on a free port; prints
which, or `none` if this Python has it no more. It ends with its stdin."""

import os
import sys
import threading
import warnings

warnings.simplefilter("ignore")
try:
    import asyncore
    import smtpd
except ImportError:
    print("none", flush=True)
    sys.exit()


def end():
    sys.stdin.read()
    sys.stdout.flush()
    os._exit(0)


server = smtpd.DebuggingServer(
    ("127.0.0.1", 0), None, data_size_limit=100_000, enable_SMTPUTF8=True
)
print(server.socket.getsockname()[1], flush=True)
threading.Thread(target=end, daemon=True).start()
asyncore.loop()
