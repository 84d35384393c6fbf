"""Grades every mutant of every solution with the hidden graders, in warm rooms, and says which ones got through."""

import concurrent.futures
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autograder.authoring.mutation import equivalent
from autograder.authoring.mutation.mutants import Mutant, diff, page_mutants
from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.intake.cells import parse_cells
from autograder.intake.submission import PageSource, Submission
from autograder.results.record import Outcome, TestResult
from autograder.rooms.process import die_with

CALL_WALL_S = 2.0  # solutions answer in milliseconds; only what exceeds this is held to the course's own limit
WANTED = 0.95


class Survivor(Struct, frozen=True, kw_only=True):
    """A mutant at full marks that is not listed as equivalent."""

    symbol: str
    line: int
    text: str
    change: str
    diff: list[str]


class MutatedExercise(Struct, frozen=True, kw_only=True):
    """`score` is the share of mutants caught, of those that are not equivalent."""

    id: str
    mutants: int
    caught: int
    equivalent: int
    score: float
    survivors: list[Survivor]


class MutatedUnit(Struct, frozen=True, kw_only=True):
    """`score` counts all exercises together. `stale`: entries of the list of equivalent mutants that are wrong."""

    id: str
    score: float
    exercises: list[MutatedExercise]
    stale: list[str]
    grader_errors: list[str]

    @property
    def passed(self) -> bool:
        """Whether nothing is to be mended."""
        return self.score >= WANTED and not self.stale and not self.grader_errors


class Options(Struct, frozen=True, kw_only=True):
    """What to run. `seed` decides the sample, and the inputs that the graders draw."""

    exercise: str | None = None
    sample: int | None = None
    seed: int = 0
    jobs: int = 1
    rung: str = "auto"

    @property
    def run_seed(self) -> bytes:
        return f"mutation {self.seed}".encode()


class _Task(Struct, frozen=True):
    """One page to grade: the solution with `mutant` in it, or as it is."""

    unit: str
    page: str
    exercise: str
    mutant: Mutant | None

    @property
    def key(self) -> equivalent.Key:
        assert self.mutant is not None
        return (self.exercise, self.mutant.symbol, self.mutant.text, self.mutant.change)


def run_mutants(
    course: Course, units: Sequence[Unit], options: Options, progress: Callable[[int, int], None] = lambda n, of: None
) -> list[MutatedUnit]:
    """Grade the mutants of the units (of one exercise, a sample of them). Raises UsageError."""
    listed = {unit.id: equivalent.listed(course, unit.id) for unit in units}
    everything = [task for unit in units for task in _tasks(course, unit, options.exercise)]
    tasks = everything
    if options.sample is not None and options.sample < len(tasks):
        tasks = random.Random(options.seed).sample(everything, options.sample)  # noqa: S311 - a sample, not a secret
    caught: dict[int, str] = {}
    errors: dict[int, str] = {}
    with _rooms(course, units, options, len(tasks)) as pool:
        _expect_full_marks(pool, tasks)
        for done, (task, failed) in enumerate(_grade_all(pool, tasks), start=1):
            if failed is not None:
                found = errors if failed.outcome is Outcome.GRADER_ERROR else caught
                found[id(task)] = f"{failed.name} ({failed.outcome})"
            progress(done, len(tasks))
        doubtful = [task for task in tasks if id(task) in caught and task.key in listed[task.unit]]
        for task, failed in _grade_all(pool, doubtful):  # to be sure that it was not the busy machine
            if failed is None:
                del caught[id(task)]
    return [
        _unit(
            course,
            unit,
            listed=listed[unit.id],
            known={task.key for task in everything if task.unit == unit.id},
            exercises=[e.id for e in unit.exercises if options.exercise in (None, e.id)],
            tasks=[task for task in tasks if task.unit == unit.id],
            caught=caught,
            errors=errors,
        )
        for unit in units
    ]


def _tasks(course: Course, unit: Unit, exercise: str | None) -> list[_Task]:
    return [
        _Task(unit.id, page.name, of, mutant)
        for page in unit.pages
        for of, mutants in page_mutants(_solution(course, unit.id, page.name)).items()
        for mutant in mutants
        if exercise in (None, of)
    ]


def _solution(course: Course, unit: str, page: str) -> str:
    path = course.solutions / unit / f"{page}.py"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: there is no solution to change") from None


def _grade_all(pool: concurrent.futures.Executor, tasks: Sequence[_Task]) -> Iterator[tuple[_Task, TestResult | None]]:
    """Each task with the first test that is not passed, in the order of completion."""
    futures = {pool.submit(_grade, msgspec.msgpack.encode(task)): task for task in tasks}
    for future in concurrent.futures.as_completed(futures):
        yield futures[future], msgspec.msgpack.decode(future.result(), type=TestResult | None)


def _expect_full_marks(pool: concurrent.futures.Executor, tasks: Sequence[_Task]) -> None:
    """A test that the solution fails would catch every mutant."""
    solutions = {(t.unit, t.page, t.exercise): _Task(t.unit, t.page, t.exercise, None) for t in tasks}
    for task, failed in _grade_all(pool, list(solutions.values())):
        if failed is not None:
            said = " ".join(failed.message.split())[:300]
            raise UsageError(f"{task.exercise}: the solution itself fails {failed.name}, put that right first: {said}")


def _unit(
    course: Course,
    unit: Unit,
    *,
    listed: set[equivalent.Key],
    known: set[equivalent.Key],
    exercises: Sequence[str],
    tasks: Sequence[_Task],
    caught: dict[int, str],
    errors: dict[int, str],
) -> MutatedUnit:
    listed = {key for key in listed if key[0] in exercises or not _has(unit, key[0])}
    parts = [_exercise(course, e, [t for t in tasks if t.exercise == e], caught, listed) for e in exercises]
    counted = sum(part.mutants - part.equivalent for part in parts)
    return MutatedUnit(
        id=unit.id,
        score=_share(sum(part.caught for part in parts), counted),
        exercises=parts,
        stale=equivalent.stale(
            course, unit.id, listed, known, {t.key: caught[id(t)] for t in tasks if id(t) in caught}
        ),
        grader_errors=[f"{t.exercise}: {t.key[3]}: grader error in {errors[id(t)]}" for t in tasks if id(t) in errors],
    )


def _exercise(
    course: Course, exercise: str, tasks: Sequence[_Task], caught: dict[int, str], listed: set[equivalent.Key]
) -> MutatedExercise:
    through = [task for task in tasks if id(task) not in caught]
    survivors = []
    for task in (task for task in through if not equivalent.is_listed(task.key, listed)):
        m = task.mutant
        assert m is not None
        lines = diff(_solution(course, task.unit, task.page), m.source)
        survivors.append(Survivor(symbol=m.symbol, line=m.line, text=m.text, change=m.change, diff=lines))
    n_caught, n_equivalent = len(tasks) - len(through), len(through) - len(survivors)
    return MutatedExercise(
        id=exercise,
        mutants=len(tasks),
        caught=n_caught,
        equivalent=n_equivalent,
        score=_share(n_caught, len(tasks) - n_equivalent),
        survivors=sorted(survivors, key=lambda s: s.line),
    )


def _has(unit: Unit, exercise: str) -> bool:
    return any(e.id == exercise for e in unit.exercises)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


# ---------------------------------------------------------------- processes


def _rooms(
    course: Course, units: Sequence[Unit], options: Options, tasks: int
) -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(
        max_workers=max(1, min(options.jobs, tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_open,
        initargs=(os.getpid(), course.root, [unit.id for unit in units], options.rung, options.run_seed),
    )


_state: dict[str, Any] = {}


def _open(parent: int, root: Path, units: Sequence[str], rung: str, seed: bytes) -> None:
    die_with(parent, signal.SIGTERM)
    _state.update(root=root, units=units, rung=rung, seed=seed)


def _grade(data: bytes) -> bytes:
    """The first test that is not passed, None where all are."""
    from autograder.grading.solution import solution_pages
    from autograder.rooms.room import Room

    task = msgspec.msgpack.decode(data, type=_Task)
    if "room" not in _state:  # made with the first task, so that what goes wrong is that task's error
        _state["room"] = Room(_state["root"], _state["units"], _state["rung"], _state["seed"])
    room = _state["room"]
    pages = solution_pages(room.course, room.course.unit(task.unit))
    if task.mutant is not None:
        mutant = PageSource(task.page, parse_cells(task.mutant.source.encode(), ".py"))
        pages = [mutant if page.name == task.page else page for page in pages]
    submission = Submission(student="mutant", unit=task.unit, pages=pages, problems=[], digest="")
    course = room.course
    quick = msgspec.structs.replace(course.limits, call_wall_s=min(CALL_WALL_S, course.limits.call_wall_s))
    for limits in (quick, course.limits):
        room.course = msgspec.structs.replace(course, limits=limits)
        results = room.grade(submission, task.exercise, until_failure=True, compiles=False).results[task.exercise]
        failed = [test for test in results if not test.outcome.is_fine]
        if not any(test.outcome is Outcome.TIMED_OUT for test in failed):
            break
    room.course = course
    first = next((test for test in failed if test.outcome is not Outcome.GRADER_ERROR), failed[0] if failed else None)
    return msgspec.msgpack.encode(first)
