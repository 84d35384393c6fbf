"""`autograder bench`: submissions per minute, ours against `nbgrader autograde`, measured in one run on this machine.

Both grade the solved unit 2 with the same hidden tests. Ours runs them behind the wall, through the real command;
nbgrader runs them in the notebook's kernel, in locked test cells, as its courses do. Both times are wall time of the
whole command, start-up included. A third figure is the latency of a fresh worker with its first call.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from autograder.authoring.build import source_notebook
from autograder.course import Course, Limits, Unit, load_course
from autograder.errors import UsageError
from autograder.results.gradebook import grade_cell

_UNIT = "unit2_self_attention"
_NBGRADER_SUBMISSIONS = 4
_FRESH_WORKERS = 25
_SAVES = 20


def run_bench(course: Course, submissions: int, isolation: str, progress: Console) -> dict[str, Any]:
    """Measure. Returns the figures. Raises UsageError."""
    from autograder.sandbox.rungs import choose_rung

    unit = course.unit(_UNIT)
    rung = choose_rung(isolation)
    with tempfile.TemporaryDirectory(prefix="autograder-bench-") as folder:
        progress.print(f"ours: {submissions} submissions of {unit.id}, isolation {rung}", markup=False)
        ours_s = _time_ours(course, unit, Path(folder) / "ours", submissions, rung)
        progress.print(f"nbgrader autograde: {_NBGRADER_SUBMISSIONS} submissions", markup=False)
        theirs_s = _time_nbgrader(course, unit, Path(folder) / "nbgrader")
    progress.print(f"{_FRESH_WORKERS} fresh workers, {_SAVES} saves under check --watch", markup=False)
    latency = _fresh_worker_ms(course.limits, rung)
    saves = _save_to_verdict_s(course, unit)
    ours, theirs = 60 * submissions / ours_s, 60 * _NBGRADER_SUBMISSIONS / theirs_s
    return {
        "unit": unit.id,
        "isolation": rung,
        "cores": os.cpu_count(),
        "tests": len(_items(course.root, unit.id)),
        "ours": {"submissions": submissions, "wall_s": round(ours_s, 2), "per_minute": round(ours, 1)},
        "nbgrader": {
            "submissions": _NBGRADER_SUBMISSIONS,
            "wall_s": round(theirs_s, 2),
            "per_minute": round(theirs, 2),
        },
        "ratio": round(ours / theirs, 1),
        "fresh_worker_ms": {
            "median": round(statistics.median(latency), 2),
            "max": round(max(latency), 2),
            "count": len(latency),
        },
        "save_to_verdict_s": {
            "median": round(statistics.median(saves), 3),
            "max": round(max(saves), 3),
            "count": len(saves),
        },
    }


def render_bench(figures: dict[str, Any], console: Console) -> None:
    """The figures as lines."""
    fresh, save = figures["fresh_worker_ms"], figures["save_to_verdict_s"]
    lines = [
        f"{figures['unit']}, {figures['tests']} hidden tests, {figures['isolation']}, {figures['cores']} cores",
        *(
            f"  {name:9} {side['per_minute']:8.1f} submissions/min ({side['submissions']} in {side['wall_s']:.1f} s)"
            for name, side in (("ours", figures["ours"]), ("nbgrader", figures["nbgrader"]))
        ),
        f"  ratio     {figures['ratio']:8.1f}",
        f"  fresh worker, first call: median {fresh['median']:.1f} ms, max {fresh['max']:.1f} ms of {fresh['count']}",
        f"  check --watch, save to verdict: median {save['median']:.2f} s, max {save['max']:.2f} s of {save['count']}",
    ]
    for line in lines:
        console.print(line, markup=False)


def _time_ours(course: Course, unit: Unit, folder: Path, submissions: int, rung: str) -> float:
    submitted = folder / "submitted"
    for number in range(submissions):
        target = submitted / f"student{number:04d}" / unit.id
        target.mkdir(parents=True)
        for page in unit.pages:
            shutil.copy(course.solutions / unit.id / f"{page.name}.py", target)
    command = [sys.executable, "-m", "autograder.cli", "grade", str(submitted), "--out", str(folder / "graded")]
    command += ["--isolation", rung, "--min-score", "1", "--course", str(course.root)]
    return _time(command, folder, "a solution did not get full marks")


def _time_nbgrader(course: Course, unit: Unit, folder: Path) -> float:
    import nbformat

    source = folder / "source" / unit.id
    source.mkdir(parents=True)
    for page in unit.pages:
        notebook = source_notebook(course, unit, page)
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            for exercise in page.exercises:
                if grade_id == grade_cell(exercise.id):
                    cell.source = _KERNEL_CELL.format(root=str(course.root), unit=unit.id, exercise=exercise.id)
        nbformat.write(notebook, source / f"{page.name}.ipynb")
    (folder / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'bench'\nc.ExecutePreprocessor.timeout = 120\n"
    )
    nbgrader = [sys.executable, "-m", "nbgrader"]
    _time([*nbgrader, "generate_assignment", unit.id, "--create", "--force"], folder, "generate_assignment failed")
    for number in range(_NBGRADER_SUBMISSIONS):
        shutil.copytree(source, folder / "submitted" / f"student{number}" / unit.id)
    seconds = _time([*nbgrader, "autograde", unit.id, "--create", "--force"], folder, "autograde failed")
    _same_verdict(folder, unit)
    return seconds


_KERNEL_CELL = """from autograder.commands.bench import checks_in_kernel

checks_in_kernel(globals(), {root!r}, {unit!r}, {exercise!r})
"""


def _same_verdict(folder: Path, unit: Unit) -> None:
    """A race against checks that did not run would prove nothing: nbgrader must have given full marks too."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        for submission in gradebook.assignment_submissions(unit.id):
            if submission.score != unit.points:
                raise UsageError(f"bench: nbgrader gave the solution {submission.score:g} of {unit.points:g} points")


def _time(command: list[str], folder: Path, complaint: str) -> float:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise UsageError(f"bench: {complaint}: {' '.join(last)}")
    return seconds


def _fresh_worker_ms(limits: Limits, rung: str) -> list[float]:
    """Milliseconds from asking for a worker to the value of its first call."""
    import torch

    from autograder.grading.context import Student
    from autograder.sandbox import wire
    from autograder.sandbox.client import Page
    from autograder.sandbox.launch import Sandbox

    torch.set_num_threads(1)
    source = wire.Source("page", ["import torch\ndef mix(q, k, v):\n    return torch.softmax(q @ k.mT, -1) @ v\n"])
    q = torch.ones(2, 5, 7)
    times = []
    with Sandbox(rung, limits) as sandbox:
        for _ in range(_FRESH_WORKERS):
            started = time.perf_counter()
            page = Page(sandbox, "page", [source], ["mix"], limits)
            Student(page).mix(q, q, q)
            times.append(1000 * (time.perf_counter() - started))
            page.close()
    return times


def _save_to_verdict_s(course: Course, unit: Unit) -> list[float]:
    """Seconds from saving a solved page to its verdict, under `check --watch` in this process."""
    import queue
    import threading

    from autograder.commands.check import watch_path
    from autograder.commands.checked import CheckedFolder

    verdicts: queue.Queue[CheckedFolder] = queue.Queue()
    stop = threading.Event()
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="autograder-bench-") as folder:
        page = Path(shutil.copy(course.solutions / unit.id / f"{unit.pages[0].name}.py", folder))
        text = page.read_text()
        # pytest-timeout wants the main thread for its signal, so the saving happens in the other one
        saver = threading.Thread(target=_save_and_time, args=(page, text, verdicts, stop, times))
        saver.start()
        watch_path(course, page, None, verdicts.put, stop)
        saver.join()
    return times


def _save_and_time(page: Path, text: str, verdicts: Any, stop: Any, times: list[float]) -> None:
    verdicts.get(timeout=60)
    try:
        for number in range(_SAVES):
            started = time.perf_counter()
            page.write_text(f"{text}\n# {number}\n")
            assert verdicts.get(timeout=60).all_passed
            times.append(time.perf_counter() - started)
    finally:
        stop.set()


# ---------------------------------------------------------------- in nbgrader's kernel


def checks_in_kernel(namespace: dict[str, Any], root: str, unit: str, exercise: str) -> None:
    """Run an exercise's hidden tests on the names of a notebook, in its own process, as nbgrader's courses do."""
    import secrets

    import torch

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
        run_locally(item, page, course, seed)


@cache
def _items(root: Path, unit: str) -> list[Any]:
    from autograder.grading.session import CollectedTests, grader_files

    course = load_course(root)
    return CollectedTests(grader_files(course, course.unit(unit))).items
