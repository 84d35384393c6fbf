{{guard}}
import signal
import time

for number in range(8):
    if os.fork() == 0:
        signal.alarm(15)
        kept = []
        for _ in range(25):
            kept.append(bytearray(b"x") * (16 << 20))
        time.sleep(15)
STARTED = time.monotonic()


def used_mb():
    total = 0
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                total += int(open(f"/proc/{pid}/statm").read().split()[1]) * 4096 >> 20
            except OSError:
                pass
    return total


def mix(*args):
    time.sleep(0.08)
    if os.path.isdir("/proc/self") and used_mb() > 2500:
        raise RuntimeError(f"BREACH: {used_mb()} MB of memory are in use")
    return None


def relay(function, x):
    for _ in range(40):
        time.sleep(0.02)
        function(x)


peak = offset = mix
