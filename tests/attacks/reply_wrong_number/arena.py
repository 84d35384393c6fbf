{{raw}}


def mix(*args):
    header = msgspec.msgpack.encode({"type": "done", "id": 4, "value": True})
    send(framed(header))
    os._exit(0)


def peak(scores):
    send(framed(msgspec.msgpack.encode({"type": "loaded", "id": request_id(), "problems": [], "defined": []})))
    os._exit(0)


def relay(function, x):
    send(framed(msgspec.msgpack.encode({"type": "answer", "id": request_id(), "value": None})))
    os._exit(0)


def offset(scores):
    send(framed(msgspec.msgpack.encode({"type": "call", "id": 2**70 % 2**63, "value": None})))
    os._exit(0)


{{layer}}
