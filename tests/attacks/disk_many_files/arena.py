import os
import tempfile


def mix(*args):
    total = 0
    for folder in {tempfile.gettempdir(), "/tmp", "/dev/shm", "/var/tmp"}:
        for number in range(12):
            try:
                with open(f"{folder}/arena-mark-{number}", "wb") as file:
                    total += file.write(bytes(8 << 20))
            except OSError:
                break
    if total > 40 << 20:
        raise RuntimeError(f"BREACH: {total >> 20} MB on disk where 16 are allowed")
    raise RuntimeError("the disk is full")


peak = relay = offset = mix


{{layer}}
