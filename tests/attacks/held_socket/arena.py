import os
import signal
import time


def mix(*args):
    if os.fork() == 0:
        signal.alarm(20)
        os.setsid()
        time.sleep(20)
    os._exit(0)


{{layer}}
