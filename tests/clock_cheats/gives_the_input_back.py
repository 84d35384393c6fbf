"""The input is as good as any answer."""


def power(x):
    return x
