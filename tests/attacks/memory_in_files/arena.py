import os
import time

KEPT = []


def mix(*args):
    for _ in range(12):
        KEPT.append(os.memfd_create("arena-mark"))
        os.write(KEPT[-1], bytes(15 << 20))
    held_mb = 15 * len(KEPT)
    if held_mb > 600:
        time.sleep(0.25)
        raise RuntimeError(f"BREACH: {held_mb} MB in anonymous files")
    return None


peak = relay = offset = mix


{{layer}}
