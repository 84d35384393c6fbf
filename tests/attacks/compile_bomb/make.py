def make(folder, arena):
    (folder / "arena.py").write_text("x = (1,) * 1\n" + "y = (0," * 50 + ")" * 50 + "\nz = ((-1) ** 0,) * 0\nx = " + "+".join(["'a' * 4096"] * 20_000))
