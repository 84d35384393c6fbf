{{raw}}


import itertools


def numbers(count):
    return [[["int", str((2**61 - 1) * n)], 0] for n in range(10, count + 10)]


def tuples(count):
    parts = [(2**61 - 1) * n + 5 for n in range(4)]
    keys = itertools.islice(itertools.product(parts, repeat=9), count)
    return [[["seq", "tuple", list(key)], 0] for key in keys]


def mix(*args):
    reply(["map", numbers(100_000)])


def peak(scores):
    reply(["map", tuples(30_000)])


def relay(function, x):
    reply(["map", [[["tensor", "float64", [], 8], 0]] * 2], bytes(16))


def offset(scores):
    reply(["map", [[["seq", "list", []], 0]]])


{{layer}}
