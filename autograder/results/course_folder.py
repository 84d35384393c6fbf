"""A unit of a student's in nbgrader's course folder, as formgrader, `generate_feedback` and `autograde` read it.

    submitted/<id>/<unit>/<page>.ipynb, timestamp.txt      equal to the gradebook's time: else it is listed as ungraded
    autograded/<id>/<unit>/<page>.ipynb

Both notebooks are made here, of the released page and of the student's cells of code, whatever the student handed in:
so each graded cell is there once, with the id that the gradebook has. Nothing else of a student's file is in them: no
output, no metadata and no text, which nbgrader would show as HTML.

Source: nbgrader 0.9, apps/api.py and server_extensions/formgrader/handlers.py.
"""

import ast
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autograder.course import Course, Page, Unit
from autograder.errors import UsageError
from autograder.results.folders import gradebook_id
from autograder.results.gradebook import grade_cell
from autograder.results.record import write_atomically

Notebook = dict[str, Any]
SUBMITTED, AUTOGRADED = "submitted", "autograded"
TIMESTAMP = "timestamp.txt"
_HEAD = re.compile(r"\A# ?%%.*\n?")
_PICTURE = re.compile(r'<img alt="([^"]*)" src="data:[^"]*">')  # most of a page's bytes, once for each student


class Releases:
    """The released pages of a course, each read once."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._read: dict[str, Notebook] = {}

    def page(self, page: Page) -> Notebook:
        """The notebook as students received it, its pictures told in words. Raises UsageError."""
        if page.name not in self._read:
            path = self._course.assignments / page.unit / f"{page.name}.ipynb"
            try:
                notebook: Notebook = json.loads(path.read_bytes())
            except (OSError, ValueError):
                raise UsageError(f"{path} is not the released page; run `autograder build`") from None
            if ids_of(page) - {_grade_id(cell) for cell in notebook["cells"]}:
                raise UsageError(f"{path} has not the exercises of course.toml; run `autograder build`")
            for cell in notebook["cells"]:
                cell["source"] = _PICTURE.sub(r"<em>\1</em>", "".join(cell["source"]))
            self._read[page.name] = notebook
        return self._read[page.name]


def fill(
    root: Path, releases: Releases, unit: Unit, student: str, pages: Mapping[str, Sequence[str]], when: datetime | None
) -> None:
    """Write a student's unit; what lay there is replaced.

    Args:
        pages: the code cells of every page that was read, by its name; modules that they import by `<name>.py`.
        when: the time that the gradebook has.
    """
    notebooks = {
        f"{page.name}.ipynb": encode(gradable(releases.page(page), page, pages.get(page.name))) for page in unit.pages
    }
    modules = {name: "".join(cells).encode("utf-8", "replace") for name, cells in pages.items() if name.endswith(".py")}
    for step in (SUBMITTED, AUTOGRADED):
        folder = root / step / gradebook_id(student) / unit.id
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        for name, data in {**notebooks, **modules}.items():
            (folder / name).write_bytes(data)
    stamp(root, unit, student, when)


def stamp(root: Path, unit: Unit, student: str, when: datetime | None) -> None:
    """Write the time of hand-in, or take it away where nobody knows it; where no folder is, nothing is done."""
    for step in (SUBMITTED, AUTOGRADED):
        path = root / step / gradebook_id(student) / unit.id / TIMESTAMP
        if when is not None and path.parent.is_dir():
            said = f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC\n".encode()
            if not path.is_file() or path.read_bytes() != said:
                write_atomically(path, said)
        else:
            path.unlink(missing_ok=True)


def encode(notebook: Notebook) -> bytes:
    """The notebook's file."""
    return json.dumps(notebook, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace") + b"\n"


def gradable(release: Notebook, page: Page, cells: Sequence[str] | None) -> Notebook:
    """The released page with a student's cells in place of its own code, in the student's order.

    Args:
        cells: None where the page was not handed in, or could not be read.

    An exercise's cell is the student's last one that defines one of its symbols. Cells of neither the release nor an
    exercise stand where they stood among the others.
    """
    said = "nothing that could be read was handed in for this page" if cells is None else "not in what was handed in"
    released = release["cells"]
    titles = {_first_line(cell["source"]) for cell in released if cell["cell_type"] == "markdown"}
    theirs = [_HEAD.sub("", cell) for cell in cells or () if not _is_released_text(cell, titles)]
    of_exercise = {_grade_id(cell): number for number, cell in enumerate(released) if _grade_id(cell)}
    place = _places(theirs, released, {e.id: of_exercise[e.id] for e in page.exercises}, page)
    made: list[Notebook] = []
    done = 0

    def ours_until(end: int) -> None:
        nonlocal done
        for number in range(done, end):
            cell = released[number]
            if number in place.values() and not _is_check(cell):
                continue  # the student has one for it
            if cell["cell_type"] == "markdown" or _is_check(cell):
                made.append(cell)
            elif _grade_id(cell):
                made.append({**cell, "source": f"# {said}"})
        done = max(done, end)

    for index, source in enumerate(theirs):
        number = place.get(index)
        if number is None:
            made.append(_code(source, index))
            continue
        ours_until(number)
        if _is_check(released[number]):
            continue  # `ours_until` brings it, once
        made.append({**_code(source, index), "metadata": released[number]["metadata"]})
    ours_until(len(released))
    return {**release, "cells": made}


def _is_released_text(cell: str, titles: set[str]) -> bool:
    """Whether it is one of the release's texts, as a module has them: in comments."""
    if not cell.startswith("# %% [markdown]"):
        return False
    lines = [line for line in cell.splitlines()[1:] if line.strip()]
    words = "\n".join(line.removeprefix("#").strip() for line in lines)
    return all(line.startswith("#") for line in lines) and (
        _first_line(words) in titles or words.startswith(("![", "<img"))
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()


def _places(theirs: list[str], released: list[Notebook], of_exercise: dict[str, int], page: Page) -> dict[int, int]:
    """Which cell of the release each of the student's stands for: at most one each, and not every one has one."""
    place: dict[int, int] = {}
    defined = [_defined(source) for source in theirs]
    for exercise in page.exercises:
        owners = [i for i, names in enumerate(defined) if names & set(exercise.symbols) and i not in place]
        if owners:
            place[owners[-1]] = of_exercise[exercise.id]
    by_source = {cell["source"].strip(): number for number, cell in enumerate(released) if cell["cell_type"] == "code"}
    for index, source in enumerate(theirs):
        number = by_source.get(source.strip())
        if index not in place and number is not None and number not in place.values():
            place[index] = number
    return place


def _defined(source: str) -> set[str]:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(re.findall(r"^(?:async )?(?:def|class) +(\w+)", source, re.MULTILINE))
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    targets = [t for node in body if isinstance(node, ast.Assign) for t in node.targets]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


def _grade_id(cell: Notebook) -> str:
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


def _is_check(cell: Notebook) -> bool:
    return bool(cell["metadata"].get("nbgrader", {}).get("grade"))


def _code(source: str, index: int) -> Notebook:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": f"handed-in-{index}",
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def ids_of(page: Page) -> set[str]:
    """The ids of every cell that nbgrader looks up for a page."""
    return {name for exercise in page.exercises for name in (exercise.id, grade_cell(exercise.id))}
