{{raw}}


def error(**fields):
    message = {"type": "raised", "id": request_id(), "bases": ["E" * 500_000] * 4, "message": "x" * 2_000_000}
    frames = [{"file": "{{root}}/reference", "line": 2**62, "function": "f" * 100_000, "text": "t" * 1000}] * 3
    send(framed(msgspec.msgpack.encode({**message, "frames": frames, "printed": "p" * 100_000, **fields})))
    os._exit(0)


def mix(*args):
    error()


def peak(scores):
    error(bases=[], message="\x1b[2J\0\u202e", frames=[])


def relay(function, x):
    error(bases=["Blocked", "Deferred", "GraderError", "Skipped"], message="deferred: needs other hardware")


def offset(scores):
    error(bases=["SystemExit", "KeyboardInterrupt", "BaseException"], frames=[])


{{layer}}
