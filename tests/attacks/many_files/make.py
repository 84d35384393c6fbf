def make(folder, arena):
    for number in range(1500):
        (folder / f"file{number}.py").write_text("raise SystemExit(0)")
    deep = folder.joinpath(*["deeper"] * 500)
    deep.mkdir(parents=True)
