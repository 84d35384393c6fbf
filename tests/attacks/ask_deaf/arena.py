{{raw}}


def relay(function, x):
    value = ["tensor", "float64", [100_000, 3], 2_400_000]
    message = {"type": "ask", "id": 0, "callback": 0, "args": ["seq", "tuple", [value]], "kwargs": ["map", []]}
    while True:
        send(framed(msgspec.msgpack.encode(message), bytes(2_400_000)))


mix = peak = offset = lambda *args: None


{{layer}}
