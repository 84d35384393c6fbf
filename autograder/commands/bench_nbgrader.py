"""The same class under `nbgrader autograde`: hidden tests in locked cells, run in the notebook's kernel.

nbgrader takes some seconds for a submission, so a few of each kind stand for the class. Its log says when it comes to
which student. A cell that does not end costs nbgrader's own time limit.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from autograder.authoring.build import source_notebook
from autograder.commands.bench_class import RIGHT, Member
from autograder.course import Course, Unit, load_course
from autograder.errors import UsageError
from autograder.results.gradebook import grade_cell

_CELL_LIMIT_S = 30  # nbgrader's default
_KERNEL_CELL = """from autograder.commands.bench_nbgrader import checks_in_kernel

checks_in_kernel(globals(), {root!r}, {unit!r}, {exercise!r})
"""


def time_nbgrader(
    course: Course, unit: Unit, members: Sequence[Member], folder: Path
) -> tuple[float, dict[str, float]]:
    """Seconds before the first student, and seconds by student. Raises UsageError."""
    import nbformat

    source = folder / "source" / unit.id
    source.mkdir(parents=True)
    locked = {page.name: _locked_cells(course, unit, page.name) for page in unit.pages}
    for name, cells in locked.items():
        nbformat.write(_notebook([], cells), source / f"{name}.ipynb")
    for member in members:
        submitted = folder / "submitted" / member.name / unit.id
        submitted.mkdir(parents=True)
        for name, code in member.pages.items():
            nbformat.write(_notebook(code, locked[name]), submitted / f"{name}.ipynb")
    (folder / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.CourseDirectory.course_id = 'bench'\nc.ExecutePreprocessor.timeout = {_CELL_LIMIT_S}\n"
    )
    _nbgrader(["generate_assignment", unit.id, "--create", "--force"], folder)
    # it ends with an error where it gave up on a student; who is right must have full marks all the same
    lines = _nbgrader(["autograde", unit.id, "--create", "--force"], folder, may_fail=True)
    starts: dict[str, float] = {}
    for at, line in lines:
        for member in members:
            if f"{os.sep}{member.name}{os.sep}" in line:
                starts.setdefault(member.name, at)
    if starts.keys() != {member.name for member in members}:
        raise UsageError("bench: nbgrader's log does not name every student")
    in_order = sorted(starts, key=lambda name: starts[name])
    ends = [*(starts[name] for name in in_order[1:]), lines[-1][0]]
    _same_verdict(folder, unit, {member.name for member in members if member.kind == RIGHT})
    return min(starts.values()), {name: end - starts[name] for name, end in zip(in_order, ends, strict=True)}


def _locked_cells(course: Course, unit: Unit, page: str) -> list[Any]:
    """The page's check cells, with the hidden tests in them."""
    notebook = source_notebook(course, unit, unit.page(page))
    by_id = {grade_cell(exercise.id): exercise.id for exercise in unit.page(page).exercises}
    cells = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") in by_id]
    for cell in cells:
        exercise = by_id[cell.metadata["nbgrader"]["grade_id"]]
        cell.source = _KERNEL_CELL.format(root=str(course.root), unit=unit.id, exercise=exercise)
    return cells


def _notebook(code: Sequence[str], locked: Sequence[Any]) -> Any:
    from nbformat.v4 import new_code_cell, new_notebook

    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(
        cells=[*(new_code_cell(source) for source in code), *locked],
        metadata={"kernelspec": kernel, "language_info": {"name": "python"}},
    )


def _nbgrader(arguments: list[str], folder: Path, may_fail: bool = False) -> list[tuple[float, str]]:
    """What the command says, each line with the seconds since its start. The last one is its end."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    started = time.perf_counter()
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append((time.perf_counter() - started, line.rstrip()))
    if process.returncode and not may_fail:
        raise UsageError(f"bench: nbgrader {arguments[0]} failed: {lines[-1][1] if lines else 'no message'}")
    return [*lines, (time.perf_counter() - started, "")]


def _same_verdict(folder: Path, unit: Unit, right: set[str]) -> None:
    """A race against checks that did not run would prove nothing: nbgrader must tell right from wrong as we do."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        scores = {submission.student.id: submission.score for submission in gradebook.assignment_submissions(unit.id)}
    full = {student for student, score in scores.items() if score == unit.points}
    if full != right:
        odd = sorted(full ^ right)[0]
        if odd not in scores:
            raise UsageError(f"bench: nbgrader gave up on {odd}, who is right; is the machine too busy?")
        raise UsageError(f"bench: nbgrader gave {odd} {scores.get(odd, 0.0):g} of {unit.points:g} points")


# ---------------------------------------------------------------- in nbgrader's kernel


def checks_in_kernel(namespace: dict[str, Any], root: str, unit: str, exercise: str) -> None:
    """Run an exercise's hidden tests on the names of a notebook, in its own process, as nbgrader's courses do."""
    import secrets

    import torch

    from autograder.grading.context import Deferred
    from autograder.grading.marks import marks_of
    from autograder.grading.replay import run_locally
    from autograder.sandbox.local import LocalPage

    torch.set_num_threads(1)
    course = load_course(Path(root))
    page_name = course.unit(unit).exercise(exercise).page
    seed = secrets.token_bytes(16)
    page = LocalPage(page_name, [], list(namespace), course.limits)
    page.adopt(ModuleType(page_name), namespace)
    for item in _items(course.root, unit):
        if marks_of(item).exercise != exercise:
            continue
        with contextlib.suppress(Deferred):  # nbgrader has nothing that could race
            run_locally(item, page, course, seed)


@cache
def _items(root: Path, unit: str) -> list[Any]:
    from autograder.grading.session import CollectedTests, grader_files

    course = load_course(root)
    return CollectedTests(grader_files(course, course.unit(unit))).items
