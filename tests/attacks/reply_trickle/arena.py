{{raw}}


import time


def mix(*args):
    for byte in framed(bytes(4000)):
        send(bytes([byte]))
        time.sleep(0.05)


{{layer}}
