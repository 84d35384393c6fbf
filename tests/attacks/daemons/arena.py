{{guard}}
import signal
import tempfile
import time


def mix(*args):
    for number in range(10):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.alarm(20)
                for beat in range(200):
                    open(f"{tempfile.gettempdir()}/arena-mark-{number}", "w").write(str(beat))
                    time.sleep(0.1)
            os._exit(0)
    return None


peak = relay = offset = mix


{{layer}}
