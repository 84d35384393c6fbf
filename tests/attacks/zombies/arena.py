import os


def mix(*args):
    for _ in range(30):
        if os.fork() == 0:
            os._exit(0)
    return None


peak = relay = offset = mix


{{layer}}
