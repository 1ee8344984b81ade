"""Forty threads of http.client, each with one connection that stays."""

import http.client
import sys
import threading

THREADS = 40
ROUNDS = 25
failures = []


def talk(number):
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
    connection.connect()
    port = connection.sock.getsockname()[1]
    for turn in range(ROUNDS):
        body = b"%d of %d\r\n\r\n" % (turn, number) * (1 + turn * number)
        pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
        for method, path, sent, chunked, status, expected in [
            ("GET", "/plaintext", None, False, 200, b"Hello, World!"),
            ("GET", "/a.txt", None, False, 200, b"a text\n"),
            ("HEAD", "/a.txt", None, False, 200, b""),
            ("POST", "/echo", body, False, 200, body),
            ("POST", "/echo", iter(pieces), True, 200, body),
            ("GET", "/no", None, False, 404, b"404 Not Found\n"),
        ]:
            connection.request(method, path, body=sent, encode_chunked=chunked,
                               headers={"Transfer-Encoding": "chunked"} if chunked else {})
            answer = connection.getresponse()
            if (answer.status, answer.read()) != (status, expected):
                raise AssertionError(f"{method} {path}: {answer.status}")
    if connection.sock is None or connection.sock.getsockname()[1] != port:
        raise AssertionError("the connection did not stay")
    connection.close()


def try_to_talk(number):
    try:
        talk(number)
    except Exception as error:
        failures.append(f"thread {number}: {error!r}")


threads = [threading.Thread(target=try_to_talk, args=(n,)) for n in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    sys.exit("\n".join(failures))
print(THREADS, "threads,", THREADS * ROUNDS * 6, "answers")
