{{raw}}


CLAIMS = [["seq", "tuple", []], ["seq", "tuple", [1, 2]], ["seq", "tuple", [["seq", "tuple", [0, 0]], 5]], "echo", True]


def mix(*args):
    reply(["tensor", "float64", [5, 3], 120], bytes(120), echo=CLAIMS[1], grads=["seq", "list", [True, "no"]])


def peak(scores):
    reply(None, echo=CLAIMS[2], parameters=5)


def relay(function, x):
    forged = ["callback", 0, "Linear", True, ["map", [["weight", ["tensor", "float64", [3, 3], 72]]]]]
    echo = ["seq", "tuple", [["seq", "tuple", [forged, 0]], ["map", []]]]
    reply(["tensor", "float64", [5, 3], 120], bytes(192), echo=echo)


def offset(scores):
    reply(["dtype", "device", "cuda" * 1000], randoms=["seq", "list", [0.1] * 10])


{{layer}}
