"""A worker that is a process of its own: what `portable` starts on systems without a warm fork.

Run as `python -P child.py <folder of the kit>`; stdin brings a line of JSON with where to connect. There is no fence
here: the code is run by the one who wrote it.
"""

import _thread
import json
import os
import socket
import sys
import threading


def main() -> None:
    told = json.loads(_first_line())
    if sys.argv[1] not in sys.path:
        sys.path.insert(0, sys.argv[1])
    alive = os.dup(0)  # not inherited by what a student's code starts
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    import autograder.given  # noqa: F401  # all that takes long comes before the connection
    from autograder.sandbox import warm, worker
    from autograder.sandbox.channel import Caps, Channel
    from autograder.sandbox.operators import close_side_doors

    close_side_doors()
    warm.warm_up()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    connection = socket.create_connection(("127.0.0.1", told["port"]))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(f"{told['token']} {os.getpid()}\n".encode())
    status = 1
    try:
        worker.serve(Channel(connection, Caps(payload_bytes=told["payload_bytes"])))
        status = 0
    except ConnectionError:  # how Windows says that the other end is gone
        status = 0
    finally:
        os._exit(status)  # whatever threads and exit handlers a page has left


def _first_line() -> bytes:
    """Byte by byte: what comes after the line is the thread's to wait for."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit("the process that started this one ended")
        line += byte
    return line


def _end_with(descriptor: int) -> None:
    """The other end of stdin closes with the process that started this one, however that ended.

    A byte that comes from there is an interruption; Python handles it as if Ctrl-C had been pressed.
    """
    while os.read(descriptor, 1):
        _thread.interrupt_main()
    os._exit(1)


if __name__ == "__main__":
    main()
