import os


def mix(*args):
    kept = []
    while len(kept) < 100_000:
        kept += os.pipe()


def peak(scores):
    kept = []
    while len(kept) < 100_000:
        kept.append(os.openpty())


def relay(function, x):
    kept = []
    while len(kept) < 100_000:
        kept.append(open("/dev/null"))


offset = mix


{{layer}}
