{{guard}}
import mmap
import signal
import time

TAKEN = mmap.mmap(-1, 8)  # one byte a child, shared: how many blocks it holds (resident sizes count shared pages again)
BLOCK = 16 << 20

for number in range(8):
    if os.fork() == 0:
        signal.alarm(15)
        kept = []
        for _ in range(25):
            kept.append(bytearray(b"x") * BLOCK)
            TAKEN[number] += 1
            time.sleep(0.02)
        time.sleep(15)


def mix(*args):
    time.sleep(0.08)
    taken = sum(TAKEN[:]) * BLOCK >> 20
    if taken > 1600:
        raise RuntimeError(f"BREACH: {taken} MB of memory are in use")
    return None


def relay(function, x):
    for _ in range(40):
        time.sleep(0.02)
        function(x)


peak = offset = mix
