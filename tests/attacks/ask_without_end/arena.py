{{raw}}


def ask(callback, value=None):
    args = ["seq", "tuple", [value]]
    return framed(
        msgspec.msgpack.encode({"type": "ask", "id": 0, "callback": callback, "args": args, "kwargs": ["map", []]})
    )


def mix(*args):
    send(ask(0))
    os._exit(0)


def peak(scores):
    send(ask(-1) + ask(2**40))
    os._exit(0)


def relay(function, x):
    while True:
        send(ask(0, 1.5) * 1000)


offset = mix


{{layer}}
