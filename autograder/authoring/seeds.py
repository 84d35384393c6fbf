"""`autograder validate --seeds N`: which verdicts hang on the seed.

What `--repeat` grades N times behind the wall, with its causes, is run here in plain processes and without them: each
test of each solution, accepted variant and misconception, on N seeds. A right answer that fails for one of them loses
points by bad luck; a wrong one that passes for some has them by good luck.
"""

import concurrent.futures
import multiprocessing
import os
import signal
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from rich.console import Console

from autograder.authoring.validate import Task, tasks_of
from autograder.course import Course, Page, Unit, load_course
from autograder.rooms.process import die_with

if TYPE_CHECKING:
    import pytest

_SLOW_S = 1.0  # tests that train a model: for those there is docs/calibration.md
_RIGHT = ("solution", "accepted")


class Chance(Struct, frozen=True):
    """A test of an answer that passes for some seeds, or that a right answer does not pass for all."""

    exercise: str
    kind: str  # solution, accepted or misconception
    name: str
    test: str
    passed: int
    seeds: int

    @property
    def right_answer_fails(self) -> bool:
        """Whether the kit marks down what is right."""
        return self.kind in _RIGHT

    def __str__(self) -> str:
        return f"{self.exercise} {self.kind} {self.name}: {self.test} passed for {self.passed} of {self.seeds} seeds"


class Chances(Struct, frozen=True):
    """All of them, the right answers first; and the tests that were not repeated, as they take long."""

    found: list[Chance]
    not_repeated: list[str]

    def to_json(self) -> str:
        """Both lists."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def chances(course: Course, units: Sequence[Unit], seeds: int, jobs: int) -> Chances:
    """Run every test of every exercise on as many seeds. Raises UsageError."""
    tasks: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in (task for unit in units for task in tasks_of(course, unit) if task.kind != "stub"):
        tasks[task.unit, task.exercise].append(task)
    with concurrent.futures.ProcessPoolExecutor(
        max_workers=max(1, min(jobs, len(tasks))),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=die_with,
        initargs=(os.getpid(), signal.SIGTERM),
    ) as pool:
        futures = [pool.submit(_of_exercise, course.root, *key, answers, seeds) for key, answers in tasks.items()]
        each = [future.result() for future in futures]
    found = [chance for chances, _ in each for chance in chances]
    return Chances(
        sorted(found, key=lambda chance: not chance.right_answer_fails), [name for _, names in each for name in names]
    )


def _of_exercise(
    root: Path, unit_id: str, exercise: str, tasks: Sequence[Task], seeds: int
) -> tuple[list[Chance], list[str]]:
    import torch

    from autograder.grading.marks import marks_of, stands_apart
    from autograder.grading.session import CollectedTests, grader_files

    torch.set_num_threads(1)  # as in a room: threads only get in the way of tensors this small
    course = load_course(root)
    unit = course.unit(unit_id)
    page = next(page for page in unit.pages if any(one.id == exercise for one in page.exercises))
    files = [file for file in grader_files(course, unit) if file.stem == f"test_{page.name}"]
    items = [item for item in CollectedTests(files).items if marks_of(item).exercise == exercise]
    items = [item for item in items if not stands_apart(item)]
    found: list[Chance] = []
    slow: list[str] = []
    for task in tasks:
        source = next(source for source in task.pages if source.name == page.name)
        for item in [item for item in items if item.name not in slow]:
            passed, ran = 0, 0
            for number in range(seeds):
                started = time.monotonic()
                ended = _passes(item, course, page, source.cells, number)
                if ended is None:  # deferred
                    break
                ran, passed = ran + 1, passed + ended
                if task.kind == "solution" and number == 0 and time.monotonic() - started > _SLOW_S:
                    slow.append(item.name)
                    break
            if (passed < ran) if task.kind in _RIGHT else (0 < passed < ran):
                found.append(Chance(exercise, task.kind, task.name, item.name, passed, ran))
    return found, [f"{exercise}: {name}" for name in slow]


def _passes(item: "pytest.Item", course: Course, page: Page, cells: list[str], number: int) -> bool | None:
    """Whether the page passes the test with the inputs of this seed; None where the test is for other hardware."""
    from autograder.grading.context import Deferred
    from autograder.grading.replay import run_locally
    from autograder.sandbox.local import LocalPage

    try:
        run_locally(item, LocalPage.of(page, cells, course.limits), course, f"{item.name} {number}".encode())  # type: ignore[arg-type]
    except Deferred:
        return None
    except Exception:
        return False
    return True


def render(chances: Chances, console: Console) -> None:
    """A line for each verdict that hangs on the seed, and the tests that were left out."""
    for chance in chances.found:
        style = "red" if chance.right_answer_fails else "yellow"
        heading = "right, and fails" if chance.right_answer_fails else "hangs on the seed"
        console.print(f"{heading}: {chance}", style=style, markup=False)
    for name in chances.not_repeated:
        console.print(f"not repeated, it takes long: {name}", markup=False)
    console.print(f"{len(chances.found)} verdicts hang on the seed", markup=False)
