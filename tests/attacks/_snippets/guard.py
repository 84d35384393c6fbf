import os


def in_arena():
    """Whether this process is where only the sandbox can be hurt."""
    if os.getuid() >= 1_600_000_000:
        return True
    try:
        return b"forkserver" in open("/proc/1/cmdline", "rb").read()
    except OSError:
        pass
    try:
        os.listdir("/")
    except PermissionError:  # Landlock, without a uid of its own where the grader is not root
        return "/autograder-" in os.environ.get("HOME", "")
    return False


if not in_arena():
    raise RuntimeError("not in the arena: this attack does nothing here")
