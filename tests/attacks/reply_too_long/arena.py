{{raw}}


def mix(*args):
    send(struct.pack("<II", 2**32 - 1, 2**32 - 1) + bytes(1 << 20))
    os._exit(0)


def peak(scores):
    send(done(["bytes", bytes(5 << 20)]))
    os._exit(0)


def relay(function, x):
    send(struct.pack("<II", 100, 17 << 20) + bytes(18 << 20))
    os._exit(0)


def offset(scores):
    return "x" * (20 << 20)


{{layer}}
