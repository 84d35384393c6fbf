{{guard}}
import ctypes


def mix(*args):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10020000) == 0 and libc.mount(b"none", b"/tmp", b"tmpfs", 0, b"size=1g") == 0:
        for number in range(10):
            open(f"/tmp/arena-mark-{number}", "wb").write(bytes(10 << 20))
        raise RuntimeError("BREACH: a file system of its own")
    raise RuntimeError("no namespace")


peak = relay = offset = mix


{{layer}}
