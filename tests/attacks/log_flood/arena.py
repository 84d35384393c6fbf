def deep(n):
    if n:
        deep(n - 1)
    raise ValueError("y" * (30 << 20))


def mix(*args):
    raise type("E" * 1_000_000, (Exception,), {})("x" * (30 << 20))


def peak(scores):
    deep(300)


def relay(function, x):
    raise ExceptionGroup("many", [ValueError("z" * 1000)] * 10_000)


def offset(scores):
    try:
        deep(3)
    except ValueError as error:
        raise KeyError("w" * (10 << 20)) from error


{{layer}}
