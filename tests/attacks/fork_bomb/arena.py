{{guard}}
import signal
import time


def mix(*args):
    for _ in range(8):
        try:
            if os.fork() == 0:
                signal.alarm(20)
        except OSError:
            pass
    time.sleep(20)
    os._exit(0)


{{layer}}
