import socket


def mix(*args):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("{{unix}}")
    raise RuntimeError("BREACH: a Unix socket")


def peak(scores):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0{{abstract}}")
    raise RuntimeError("BREACH: an abstract socket")


relay = offset = mix


{{layer}}
