{{guard}}
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
TARGETS = sorted({1, os.getppid()})


def mix(*args):
    for pid in TARGETS:
        for request in (16, 0x4206):
            if libc.ptrace(request, pid, 0, 0) == 0:
                libc.ptrace(17, pid, 0, 0)
                raise RuntimeError(f"BREACH: process {pid} can be traced")
    raise RuntimeError("not allowed")


peak = relay = offset = mix


{{layer}}
