def mix(*args):
    return len([bytearray(b"x") * (20 << 20) for _ in range(250)])


def peak(scores):
    kept = []
    while len(kept) < 250:
        try:
            kept.append(bytearray(b"x") * (20 << 20))
        except MemoryError:
            pass


{{layer}}
