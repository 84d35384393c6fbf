def make(folder, arena):
    (folder / "arena.py").write_bytes(b"# coding: raw_unicode_escape\nx = 'a\\ud800'\n")
    (folder / "arena.ipynb").write_bytes(b'{"cells": [{"cell_type": "code", "source": "x = \\ud800"}]}')
