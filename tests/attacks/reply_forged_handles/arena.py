{{raw}}


def mix(*args):
    reply(["handle", 2**63, "Tensor" * 10_000])


def peak(scores):
    reply(["callback", 0, "max", True, ["map", []]])


def relay(function, x):
    reply(["callback", 10**6, "x", False, ["map", [["weight", ["tensor", "float64", [3, 3], 72]]]]], bytes(72))


def offset(scores):
    reply(["rng", "torch", 1])


{{layer}}
