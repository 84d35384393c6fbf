def mix(*args):
    return {"k" * 100 + str(i): "v" * 100 for i in range(10_000)}


def peak(scores):
    return 10**3999


def relay(function, x):
    return "\x1b]0;owned\x07" * 100_000


def offset(scores):
    return -(10**3999)


{{layer}}
