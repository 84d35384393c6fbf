import sys


def mix(*args):
    sys.setrecursionlimit(10**8)
    return mix(*args)


def peak(scores):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    return deep


relay = offset = mix


{{layer}}
