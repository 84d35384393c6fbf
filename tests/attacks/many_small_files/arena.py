import os
import tempfile
import time


def mix(*args):
    ends_at = time.monotonic() + 0.8
    number = 0
    while time.monotonic() < ends_at and number < 100_000:
        os.close(os.open(f"{tempfile.gettempdir()}/arena-mark-{number}", os.O_CREAT | os.O_WRONLY))
        number += 1


peak = relay = offset = mix


{{layer}}
