{{raw}}


def mix(*args):
    send(done(None) + done(None))
    return None


peak = relay = offset = mix


{{layer}}
