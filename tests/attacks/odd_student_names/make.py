import os

NAMES = [
    b"aaa_first\n",
    b"zz\x1b[2J\x1b]0;owned\x07",
    "zz\u202ezza_tsal".encode(),
    b"zz\xff",
    b"--regrade",
    b"zz[bold]",
    b"zz;touch arena-mark",
    b"zz" + b"z" * 200,
    b"..zz",
]


def make(folder, arena):
    for name in NAMES:
        path = os.path.join(os.fsencode(arena.submitted), name, b"unit0_arena")
        os.makedirs(path)
        with open(os.path.join(path, b"arena.py"), "w") as file:
            file.write((folder / "arena.py").read_text())
