import json


def notebook(*sources, **more):
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more})



KERNEL = {"kernelspec": {"name": "evil", "argv": ["touch", "/tmp/arena-mark-kernel"], "display_name": "<script>"}}


def make(folder, arena):
    page = json.loads(notebook("def mix(*args):\n    return None", arena.words["layer"], metadata=KERNEL))
    page["cells"][0]["outputs"] = [
        {"output_type": "display_data", "data": {"text/html": "<script>alert(1)</script>", "application/javascript": "x"}},
        {"output_type": "stream", "name": "stdout", "text": "attacked::test_values PASSED"},
    ]
    page["cells"][0]["metadata"] = {"nbgrader": {"grade": True, "points": 1000, "grade_id": "attacked_score", "schema_version": 3}}
    (folder / "arena.ipynb").write_text(json.dumps(page))
