import ctypes
import os
import socket


def mix(*args):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300)
    raise RuntimeError("BREACH: raw packets")


def peak(scores):
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
        sock.settimeout(0.3)
        sock.connect((1, {{tcp}} % 1000))
    raise RuntimeError("BREACH: vsock")


def relay(function, x):
    if ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120)) >= 0:
        raise RuntimeError("BREACH: io_uring")
    raise RuntimeError("no io_uring")


def offset(scores):
    raise OSError([os.strerror(1), socket.AF_NETLINK])


{{layer}}
