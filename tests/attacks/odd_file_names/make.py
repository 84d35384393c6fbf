import os

NAMES = [
    b"a\nPASSED arena.py",
    b"\x1b]0;owned\x07.py",
    "\u202egnp.ani\u202c.py".encode(),
    b"\xff\xfe.py",
    b"arena.py\n",
    b"ARENA.PY",
    b"arena.py ",
    b"-rf",
    b"; touch arena-mark",
    b"x" * 255,
]


def make(folder, arena):
    for name in NAMES:
        with open(os.path.join(os.fsencode(folder), name), "w") as file:
            file.write("raise SystemExit(0)")
    for name in NAMES[:4]:
        os.mkdir(os.path.join(os.fsencode(folder.parent), b"unit" + name))
