import os


def make(folder, arena):
    os.link(arena.course / "solutions" / "unit0_arena" / "arena.py", folder / "arena.py")
