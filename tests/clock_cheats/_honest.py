"""What the cheats are to compute: as much work as a short call needs to be timed at all."""

ROUNDS = 12


def power(x):
    out = x
    for _ in range(ROUNDS):
        out = out @ x
        out = out / out.norm()
    return out
