import os
import stat


def make(folder, arena):
    os.mknod(folder / "arena.py", stat.S_IFCHR | 0o644, os.makedev(1, 5))  # /dev/zero
