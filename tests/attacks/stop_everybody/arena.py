{{guard}}


def mix(*args):
    try:
        os.kill(-1, 19)
    except OSError:
        pass
    os.kill(os.getpid(), 19)


{{layer}}
