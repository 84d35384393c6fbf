{{guard}}
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
TARGETS = sorted({1, os.getppid()})

import sys
import tempfile

import torch
from autograder.sandbox import worker


def mix(*args):
    files = [torch.__file__, worker.__file__, sys.executable, os.__file__, "/etc/ld.so.cache", "/etc/ld.so.preload"]
    for file in files:
        try:
            descriptor = os.open(file, os.O_WRONLY)  # nothing is written, only the attempt counts
        except OSError:
            continue
        os.close(descriptor)
        raise RuntimeError(f"BREACH: {file} can be written")
    folders = {os.path.dirname(file) for file in files} | {"/", "/dev", "/dev/pts", "/proc", "/usr", "/root", "/home", "/kit"}
    for folder in folders | {path for path in sys.path if path}:
        try:
            descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY)  # a file without a name
        except OSError:
            continue
        os.close(descriptor)
        raise RuntimeError(f"BREACH: {folder} can be written")
    raise RuntimeError("read-only")


peak = relay = offset = mix


{{layer}}
