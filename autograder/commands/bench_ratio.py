"""What grading costs beside the bare computation: the same calls, made directly in one warm process without a wall.

Bare is the time inside the functions and methods of the solved pages, of `given` and of the reference, and inside
`torch.autograd.grad`, while the hidden tests of a unit run: no process of its own, no wire, no pytest, no comparison,
no test body. Grading is the whole of what a warm room spends on the solution, loading the pages included. The two take
turns, and the ratio is the median of the ratios of neighbours, so that a busy machine slows down both.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import resource
import signal
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from msgspec import Struct

from autograder.commands.bench_clock import Clock
from autograder.course import Course, load_course
from autograder.errors import UsageError
from autograder.grading.solution import solution_pages
from autograder.intake.submission import Submission
from autograder.rooms.process import die_with

if TYPE_CHECKING:
    from autograder.rooms.room import Room

BARE, REST = "bare", "rest"
_Spent = tuple[float, float]  # on the wall and of the CPU
_SEED = b"autograder bench"


def unit_ratios(course: Course, rounds: int, rung: str) -> list[dict[str, Any]]:
    """Per unit the bare seconds, the seconds of grading and their ratio. Raises UsageError."""
    from autograder.rooms.room import Room

    units = [unit.id for unit in course.units]
    spawn = multiprocessing.get_context("spawn")  # a process that has taken gradients must not be forked afterwards
    with (
        concurrent.futures.ProcessPoolExecutor(1, spawn, die_with, (os.getpid(), signal.SIGTERM)) as bare,
        Room(course.root, units, rung, _SEED) as room,
    ):
        rows = []
        for unit in units:
            pages = solution_pages(course, course.unit(unit))
            solution = Submission(student="solution", unit=unit, pages=pages, problems=[], digest="")
            pairs = []
            for number in range(rounds + 1):
                wall, cpu = time.perf_counter(), _cpu_seconds(room)
                graded = room.grade(solution)
                spent = time.perf_counter() - wall, _cpu_seconds(room) - cpu
                bare_spent = bare.submit(bare_seconds, course.root, unit).result()
                if number:  # the first of each is not warm
                    pairs.append((bare_spent, spent))
            wrong = [test for tests in graded.results.values() for test in tests if not test.outcome.is_fine]
            if wrong:
                what = f"{wrong[0].name}: {wrong[0].outcome.value}, {wrong[0].message}"
                raise UsageError(f"bench: the solution of {unit} does not pass {len(wrong)} tests, first {what}")
            rows.append(_row(unit, pairs))
    return rows


def _cpu_seconds(room: "Room") -> float:
    """Processor time of the room's sessions and of its sandboxes, the ended workers included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    roots = [psutil.Process(s._process.pid) for s in (room._sandbox, room._compiling) if s is not None]
    inside = [process.cpu_times() for root in roots for process in (root, *root.children(recursive=True))]
    return ended.ru_utime + ended.ru_stime + sum(map(sum, (times[:4] for times in inside)))


def _row(unit: str, pairs: list[tuple["BareRun", _Spent]]) -> dict[str, Any]:
    def median(values: Iterable[float]) -> float:
        return round(statistics.median(values), 4)

    return {
        "unit": unit,
        "bare_s": median(run.bare[0] for run, _ in pairs),
        "graded_s": median(graded[0] for _, graded in pairs),
        "ratio": round(median(graded[0] / run.bare[0] for run, graded in pairs), 2),
        "bare_cpu_s": median(run.bare[1] for run, _ in pairs),
        "graded_cpu_s": median(graded[1] for _, graded in pairs),
        "cpu_ratio": round(median(graded[1] / run.bare[1] for run, graded in pairs), 2),
        "tests_cpu_s": median(run.tests[1] for run, _ in pairs),
        "tests_cpu_ratio": round(median(graded[1] / run.tests[1] for run, graded in pairs), 2),
        "rounds": len(pairs),
    }


class BareRun(Struct, frozen=True):
    """What a unit's hidden tests take on its solution in one process: the bare computation, and the whole tests."""

    bare: _Spent
    tests: _Spent


def bare_seconds(root: Path, unit_id: str) -> BareRun:
    """Run a unit's hidden tests on its solution here, without a wall."""
    import torch

    from autograder import given
    from autograder.grading.context import Deferred
    from autograder.grading.references import load_reference
    from autograder.grading.replay import run_locally
    from autograder.grading.session import CollectedTests, grader_files
    from autograder.sandbox import wire, worker
    from autograder.sandbox.local import LocalPage

    torch.set_num_threads(1)
    course = load_course(root)
    unit = course.unit(unit_id)
    clock = Clock()
    sources = [wire.Source(page.name, page.cells) for page in solution_pages(course, unit)]
    tests = CollectedTests(grader_files(course, unit))
    with pytest.MonkeyPatch.context() as patch:
        clock.time_module(BARE, given, patch)
        patch.setattr(torch.autograd, "grad", clock.timed(BARE, torch.autograd.grad))
        patch.setattr(worker.Session, "call_grader", clock.timed(REST, worker.Session.call_grader))
        pages = {}
        for page in unit.pages:
            pages[page.name] = local = LocalPage(page.name, sources, page.asked_names, course.limits)
            local.load()
            clock.time_module(BARE, local._session._pages.modules[page.name], patch)
            clock.time_module(BARE, load_reference(course, unit_id, page.name), patch)
        clock.seconds.clear()
        clock.cpu_seconds.clear()
        with clock.on(REST):
            for item in tests.items:
                assert isinstance(item, pytest.Function)
                with contextlib.suppress(Deferred):  # what is raced has no bare computation
                    run_locally(item, pages[item.path.stem.removeprefix("test_")], course, _SEED)
    tests.close()
    tests_took = sum(clock.seconds.values()), sum(clock.cpu_seconds.values())
    return BareRun((clock.seconds[BARE], clock.cpu_seconds[BARE]), tests_took)
