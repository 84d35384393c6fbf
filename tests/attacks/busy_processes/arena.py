{{guard}}
import signal
import time


def mix(*args):
    for _ in range(30):
        if os.fork() == 0:
            signal.alarm(15)
            while True:
                pass
    time.sleep(0.9)
    return None


def peak(scores):
    time.sleep(0.9)


relay = offset = peak


{{layer}}
