import os


def make(folder, arena):
    with open(folder / "arena.py", "wb") as file:
        os.truncate(file.fileno(), 4 << 30)
