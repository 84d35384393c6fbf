import json


def notebook(*sources, **more):
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more})



def make(folder, arena):
    (folder / "arena.ipynb").write_text('{"cells": ' + "[" * 10_000 + "]" * 10_000 + "}")
    (folder / "fair.ipynb").write_text(notebook(*["x = 1"] * 5000))
