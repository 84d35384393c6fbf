import json


def notebook(*sources, **more):
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more})



def make(folder, arena):
    cells = [
        "!touch /tmp/arena-mark-shell",
        "%%bash\ntouch /tmp/arena-mark-bash",
        f"%run {arena.course}/reference/unit0_arena/arena.py",
        "%load_ext autoreload\nget_ipython().system('touch /tmp/arena-mark-ipython')",
        "def mix(*args):\n    !touch /tmp/arena-mark-inside\n    return 1",
        "%%javascript\nalert(1)",
        arena.words["layer"],
    ]
    (folder / "arena.ipynb").write_text(notebook(*cells))
