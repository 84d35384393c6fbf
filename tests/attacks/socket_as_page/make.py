import os
import socket


def make(folder, arena):
    here = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"/proc/self/fd/{here}/arena.py")
    os.close(here)
