"""The kit as a student meets it: unpacked into an empty folder, installed as its README says, every page run."""

import html
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from autograder.authoring import build
from autograder.course import Course
from tests.outside import unpacked_kit

RUN = """\
import json, sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
print(json.dumps(shown))
"""


@pytest.mark.slow
def test_every_page_in_a_fresh_environment(course: Course, tmp_path: Path) -> None:
    """The README's own commands set it up; each page's solved notebook runs to its picture and passes its checks."""
    root = unpacked_kit(course, tmp_path)
    commands = [
        line.strip().split("  ")[0] for line in (root / "README.md").read_text().splitlines() if line[:4] == "    "
    ]
    venv, activate, torch, wheel = commands[:4]
    assert (venv, activate) == ("python3 -m venv .venv", "source .venv/bin/activate") and "pip install torch" in torch
    torch = f"pip install torch=={version('torch').split('+')[0]}"  # the build that is at hand for the tests
    for command in (venv.replace("python3", sys.executable), torch, wheel):
        line = command if command.startswith(sys.executable) else f"{activate} && {command}"
        done = subprocess.run(["bash", "-c", line], cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    python, autograder = root / ".venv/bin/python", root / ".venv/bin/autograder"
    for unit in course.units:
        for page in unit.pages:
            solved = build._write_notebook(build.source_notebook(course, unit, page))
            notebook = root / "assignments" / unit.id / f"{page.name}.ipynb"
            notebook.write_bytes(solved)
            done = subprocess.run([python, "-c", RUN, notebook], cwd=notebook.parent, capture_output=True, text=True)
            assert done.returncode == 0, f"{notebook}\n{done.stderr}"
            shown = json.loads(done.stdout)
            text = html.unescape(re.sub("<[^>]+>", "", "".join("".join(data.get("text/html", "")) for data in shown)))
            assert text.count("✓") == len(page.exercises) and "✗" not in text and "differs" not in text, text
            assert any("image/png" in data for data in shown), f"{notebook} shows no picture"
    done = subprocess.run([autograder, "check"], cwd=root, capture_output=True, text=True, check=False)
    exercises = sum(len(page.exercises) for unit in course.units for page in unit.pages)
    assert done.returncode == 0 and f"{exercises} of {exercises} exercises pass" in done.stdout, done.stdout
