import os


def make(folder, arena):
    os.mkfifo(folder / "arena.py")
    os.mkfifo(folder / "arena.ipynb")
    os.mkfifo(folder / "timestamp.txt")
