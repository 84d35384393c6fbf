{{guard}}
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
TARGETS = sorted({1, os.getppid()})

from ctypes import byref, c_char, c_size_t, c_void_p


class Span(ctypes.Structure):
    _fields_ = [("base", c_void_p), ("size", c_size_t)]


def mix(*args):
    page = (c_char * 8)()
    span = Span(ctypes.addressof(page), 8)
    for pid in TARGETS:
        for call in (libc.process_vm_readv, libc.process_vm_writev):
            if call(pid, byref(span), 1, byref(span), 1, 0) > 0:  # forked, so the address is mapped there too
                raise RuntimeError(f"BREACH: memory of process {pid}")
    raise RuntimeError("not allowed")


peak = relay = offset = mix


{{layer}}
