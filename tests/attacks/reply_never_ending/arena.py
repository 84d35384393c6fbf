{{raw}}


def mix(*args):
    while True:
        send(done(None))


def peak(scores):
    while True:
        send(bytes(1 << 20))


relay = offset = mix
