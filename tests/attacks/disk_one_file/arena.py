import tempfile


def mix(*args):
    with open(f"{tempfile.gettempdir()}/arena-mark-large", "wb") as file:
        for _ in range(64):
            file.write(bytes(16 << 20))


peak = relay = offset = mix


{{layer}}
