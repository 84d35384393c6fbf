{{raw}}


def nested(depth):
    value = None
    for _ in range(depth):
        value = ["seq", "list", [value]]
    return value


def mix(*args):
    send(framed(b"\x91" * 1_000_000))
    os._exit(0)


def peak(scores):
    send(framed(b"\x84\xa4type\xa4done\xa2id\x01\xa5value" + b"\x93\xa3seq\xa4list\x91" * 100_000))
    os._exit(0)


def relay(function, x):
    reply(nested(33))


def offset(scores):
    reply(nested(300))


{{layer}}
