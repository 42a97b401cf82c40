"""A worker: takes jobs from a Redis list, one at a time, each takes a while; on TERM it finishes the
job in hand and ends. Uses nothing but the protocol. Arguments: port, seconds a job takes."""

import os
import pathlib
import signal
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from servers import read_reply  # noqa: E402

ending = threading.Event()


def ask(f, *words):
    f.write(b"*%d\r\n" % len(words))
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        f.write(b"$%d\r\n%s\r\n" % (len(data), data))
    f.flush()
    return read_reply(f)


def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with socket.create_connection(("127.0.0.1", port)) as s:
        f = s.makefile("rwb")
        while not ending.is_set():
            taken = ask(f, "BLPOP", "jobs", "0.2")
            if not taken:
                continue
            ask(f, "RPUSH", "begun", taken[1])
            threading.Event().wait(seconds)  # TERM does not end a job
            ask(f, "RPUSH", "done", taken[1] + b" " + str(os.getpid()).encode())


main()
