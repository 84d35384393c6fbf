import time


class Slow(list):
    def __iter__(self):
        while True:
            yield 0


class Silent(Exception):
    def __str__(self):
        time.sleep(60)


class Sticky:
    def __del__(self):
        time.sleep(60)


def mix(*args):
    return Slow()


def peak(scores):
    raise Silent


def relay(function, x):
    Sticky()
    return x


{{layer}}
