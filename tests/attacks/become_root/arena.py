{{guard}}
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
TARGETS = sorted({1, os.getppid()})


def mix(*args):
    tries = {
        "uid 0": lambda: libc.setuid(0),
        "a user namespace": lambda: libc.unshare(0x10000000),
        "a mount namespace": lambda: libc.unshare(0x00020000),
        "clone into a user namespace": lambda: libc.syscall(56, 0x10000011, 0, 0, 0, 0),
        "a mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
        "another root": lambda: libc.chroot(b"/tmp"),
        "a host name": lambda: libc.sethostname(b"arena-mark", 10),
        "a 64-bit key": lambda: libc.syscall(248, b"user", b"arena-mark", b"x", 1, -4),
        "kernel messages": lambda: libc.klogctl(3, ctypes.create_string_buffer(10), 10),
        "a BPF program": lambda: libc.syscall(321, 0, ctypes.create_string_buffer(72), 72),
        "performance events": lambda: libc.syscall(298, ctypes.create_string_buffer(b"\0\0\0\0\x70", 112), 0, -1, -1, 0),
        "faults of its own": lambda: libc.syscall(323, 0),
        "a file by its handle": lambda: libc.syscall(304, -100, ctypes.create_string_buffer(100), 0),
    }
    for what, attempt in tries.items():
        result = attempt()
        if result == 0 and "clone" in what:
            os._exit(0)
        if result >= 0:
            raise RuntimeError(f"BREACH: {what}")
    raise RuntimeError("not allowed")


peak = relay = offset = mix


{{layer}}
