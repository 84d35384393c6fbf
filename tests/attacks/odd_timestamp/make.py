def make(folder, arena):
    (folder / "timestamp.txt").write_text("0001-01-01T00:00:00+14:00")
