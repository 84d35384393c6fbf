import os


def in_arena():
    """Whether this process is where only the sandbox can be hurt."""
    if os.getuid() >= 1_600_000_000:
        return True
    try:
        return b"forkserver" in open("/proc/1/cmdline", "rb").read()
    except OSError:
        return False


if not in_arena():
    raise RuntimeError("not in the arena: this attack does nothing here")
