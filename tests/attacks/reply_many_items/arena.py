{{raw}}


def mix(*args):
    reply(["seq", "list", [0] * 1_000_000])


def peak(scores):
    reply(["map", [[index, 0] for index in range(100_000)]])


def relay(function, x):
    reply(["seq", "tuple", [["array", "bool", [0], 0]] * 50_000])


def offset(scores):
    reply(["seq", "list", [["seq", "list", []]] * 100_000])
