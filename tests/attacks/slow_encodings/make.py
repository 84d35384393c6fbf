def make(folder, arena):
    (folder / "arena.py").write_bytes(b"# coding: punycode\n" + b"a" * 4_000_000 + b"-" + b"z" * 4_000_000)
    (folder / "fair.py").write_bytes(b"# coding: zip\n" + b"PK" * 1000)
