{{raw}}


def broken(text):
    return done("TEXT").replace(b"\xa4TEXT", text)


def fitted(frame):
    return struct.pack("<II", len(frame) - 8, 0) + frame[8:]


def mix(*args):
    send(fitted(broken(b"\xa4\xff\xfe\xed\xa0")))
    os._exit(0)


def peak(scores):
    send(fitted(broken(b"\xa3\xed\xa0\x80")))
    os._exit(0)


def relay(function, x):
    reply(["int", "9" * 100_000])


def offset(scores):
    reply(["int", "-" * 3000 + "1"])


{{layer}}
