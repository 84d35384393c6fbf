{{raw}}


def mix(*args):
    reply(["tensor", "bool", [5, 3], 15], b"\xff" * 15)


def peak(scores):
    reply(["array", "bool", [], 1], b"\x02")


def relay(function, x):
    reply(["tensor", "float64", [5, 3], 120], b"\x01\0\0\0\0\0\xf0\x7f" * 15)


def offset(scores):
    reply(["array", "bool", [], 1], b"\x80")


{{layer}}
