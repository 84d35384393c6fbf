def make(folder, arena):
    (folder / "arena.py").mkdir()
    (folder / "arena.ipynb" / "deep" / "deeper").mkdir(parents=True)
