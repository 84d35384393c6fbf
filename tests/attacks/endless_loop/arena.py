import signal


def mix(*args):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
    for number in range(1, 64):
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


{{layer}}
