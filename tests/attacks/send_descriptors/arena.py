{{raw}}


import array
import socket


def mix(*args):
    sock = socket.socket(fileno=os.dup(3))
    pipes = [end for _ in range(10) for end in os.pipe()]
    for _ in range(50):
        try:
            sock.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", pipes))])
        except OSError:
            break
    os._exit(0)


def peak(scores):
    socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_WR)


def relay(function, x):
    socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RD)


offset = mix


{{layer}}
