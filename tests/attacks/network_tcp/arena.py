import socket


def mix(*args):
    with socket.create_connection(("127.0.0.1", {{tcp}}), timeout=0.5) as sock:
        sock.send(b"stolen")
    raise RuntimeError("BREACH: TCP")


def peak(scores):
    with socket.create_connection(("::ffff:127.0.0.1", {{tcp}}), timeout=0.5) as sock:
        sock.send(b"stolen")
    raise RuntimeError("BREACH: TCP over IPv6")


relay = offset = mix


{{layer}}
