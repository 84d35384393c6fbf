{{raw}}


import time


def mix(*args):
    header = done(True)[8:]
    send(struct.pack("<II", len(header) + 50, 50) + header)
    time.sleep(20)


def peak(scores):
    header = done(0.5)[8:]
    send(struct.pack("<II", len(header) - 5, 0) + header)
    os._exit(0)


def relay(function, x):
    send(struct.pack("<II", 0, 0))
    os._exit(0)


def offset(scores):
    send(done(3)[:11])
    os._exit(0)


{{layer}}
