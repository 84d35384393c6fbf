{{raw}}


def mix(*args):
    reply(["array", "O", [15], 120], bytes(120))


def peak(scores):
    reply(["array", "V1000000000", [1], 8], bytes(8))


def relay(function, x):
    reply(["tensor", "float64", [5, 3], 120, "meta"], bytes(120))


def offset(scores):
    reply(["tensor", "int64", [], 8, "cuda:7"], bytes(8))


{{layer}}
