{{raw}}


LIES = [
    (["tensor", "float64", [5, 3], 8], bytes(8)),
    (["tensor", "float64", [5, 3], 120], bytes(8)),
    (["tensor", "float64", [-5, -3], 120], bytes(120)),
    (["tensor", "float64", [0, 2**62, 2**62], 0], b""),
    (["tensor", "float64", [2**32, 2**32], 0], b""),
    (["tensor", "float64", [1] * 5000, 8], bytes(8)),
    (["tensor", "float64", [5, 3], 120, "cpu", [0, 0]], bytes(120)),
    (["tensor", "float64", [5, 3], 120, "cpu", [-1, 2**60]], bytes(120)),
    (["tensor", "float64", [5, 3], -120], bytes(120)),
    (["array", "float64", [0, 2**63 - 1], 0], b""),
    (["array", "float64", [1] * 60, 8], bytes(8)),
]
calls = []


def mix(*args):
    calls.append(args)
    value, payload = LIES[int.from_bytes(os.urandom(1), "big") % len(LIES)]
    reply(value, payload)


def peak(scores):
    reply(*LIES[3])


def relay(function, x):
    reply(*LIES[9])


def offset(scores):
    reply(["seq", "list", [value for value, _ in LIES]], b"")


{{layer}}
