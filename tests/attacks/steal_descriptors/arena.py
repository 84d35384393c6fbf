{{guard}}
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
TARGETS = sorted({1, os.getppid()})


def mix(*args):
    for pid in TARGETS:
        handle = os.pidfd_open(pid)
        for number in range(20):
            if libc.syscall(438, handle, number, 0) >= 0:
                raise RuntimeError(f"BREACH: descriptor {number} of process {pid}")
    raise RuntimeError("not allowed")


peak = relay = offset = mix


{{layer}}
