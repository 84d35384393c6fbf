import json


def notebook(*sources, **more):
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more})



def make(folder, arena):
    cells = ["(" * 100_000, "-" * 100_000 + "1", "x = " + "[" * 90 + "]" * 90, "a" + ".a" * 50_000, "x = 1\0", "\\",
             "f" + "()" * 20_000, "lambda: " * 2000 + "1", "x = " + chr(39) * 3, "if 1:\n" * 101, "1 if 1 else " * 5000 + "1",
             "9" * 10_000, "x = 9**9**2", arena.words["layer"]]
    (folder / "arena.ipynb").write_text(notebook(*cells))
