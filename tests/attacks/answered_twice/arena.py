import os


def mix(*args):
    os.fork()
    return None


peak = relay = offset = mix


{{layer}}
