"""`autograder validate`: the grader proves itself.

Per exercise: the solution gets full marks, the untouched stub none, every misconception is caught and named by its own
explanation, every accepted variant gets full marks; and no two misconceptions give the same answers to every test.
"""

import concurrent.futures
import itertools
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autograder.authoring.build import student_module
from autograder.course import Course, Exercise, Unit, load_course
from autograder.errors import UsageError
from autograder.grading.misconceptions import load, mutant_page
from autograder.grading.references import load_reference
from autograder.grading.solution import solution_pages
from autograder.intake.cells import parse_cells
from autograder.intake.submission import PageSource, Submission
from autograder.results.record import Outcome, TestResult
from autograder.results.scoring import score_exercise
from autograder.rooms.batch import new_seed
from autograder.rooms.process import die_with
from autograder.rooms.room import Graded

NAMED_SHARE = 0.95


class CheckedMisconception(Struct, frozen=True):
    id: str
    caught: bool
    named: bool


class CheckedVariant(Struct, frozen=True):
    name: str
    score: float  # with what is pending


class CheckedExercise(Struct, frozen=True):
    """`pending` is what of the solution's points waits for hardware; with its score it must be full."""

    id: str
    max_score: float
    solution_score: float
    pending: float
    stub_score: float
    misconceptions: list[CheckedMisconception]
    accepted: list[CheckedVariant]


class CheckedUnit(Struct, frozen=True):
    id: str
    exercises: list[CheckedExercise]


class Validation(Struct, frozen=True, kw_only=True):
    """`units` is the contract's part; the rest says what is wrong, in words."""

    units: list[CheckedUnit]
    failures: list[str]
    not_named: list[str]
    not_separated: list[str]
    changed: list[str]
    runs: int

    @property
    def passed(self) -> bool:
        """Whether nothing at all is to be mended."""
        return not self.failures and not self.changed


class Task(Struct, frozen=True):
    """One thing to grade: `kind` is solution, stub, misconception or accepted."""

    unit: str
    exercise: str
    kind: str
    name: str
    pages: list[PageSource]


class _Verdict(Struct, frozen=True):
    task: Task
    tests: list[TestResult]

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.task.exercise, self.task.kind, self.task.name)

    def named(self) -> str | None:
        """The first misconception that a failed test names."""
        return next((t.misconception for t in self.tests if t.misconception is not None), None)


def validate(course: Course, units: Sequence[Unit], rung: str, repeat: int, jobs: int) -> Validation:
    """Grade everything the course says about itself, `repeat` times with fresh seeds. Raises UsageError."""
    tasks = [task for unit in units for task in tasks_of(course, unit)]
    first: dict[tuple[str, str, str], _Verdict] = {}
    changed: set[str] = set()
    with _rooms(course, units, rung, min(jobs, len(tasks))) as pool:
        for run in range(repeat):
            for verdict in _grade(pool, tasks, new_seed()):
                if run == 0:
                    first[verdict.key] = verdict
                elif _outcomes(verdict) != _outcomes(first[verdict.key]):
                    changed.add(f"{' '.join(verdict.key)}: {_difference(first[verdict.key], verdict)}")
        # last: what all the mutants leave on the heap would be part of every session that is forked after it
        separated = [pool.submit(_separate, unit.id, new_seed()) for unit in units]
        alike = [pair for future in separated for pair in future.result()]
    checked = [CheckedUnit(unit.id, [_exercise(unit, e, first) for e in unit.exercises]) for unit in units]
    return Validation(
        units=checked,
        failures=_failures(checked, first),
        not_named=[
            f"{e.id}: {m.id} is caught but explained by {first[(e.id, 'misconception', m.id)].named() or 'nothing'}"
            for unit in checked
            for e in unit.exercises
            for m in e.misconceptions
            if m.caught and not m.named
        ],
        not_separated=alike,
        changed=sorted(changed),
        runs=repeat,
    )


def tasks_of(course: Course, unit: Unit) -> Iterator[Task]:
    """Solution and stub of every exercise, each misconception, each accepted variant."""
    solution = solution_pages(course, unit)
    for page in unit.pages:
        checks = course.solutions / unit.id / f"test_{page.name}.py"
        if not checks.is_file():
            raise UsageError(f"{checks} does not exist: page {page.name!r} of {unit.id} has no public checks")
        reference = load_reference(course, unit.id, page.name)
        for symbol in (s for exercise in page.exercises for s in exercise.symbols):
            if not hasattr(reference, symbol):
                raise UsageError(f"{reference.__file__}: {symbol} is missing, which course.toml puts on this page")
        solved = next(source for source in solution if source.name == page.name)
        others = [source for source in solution if source.name != page.name]
        stub = PageSource(page.name, [student_module(course, unit, page)])
        wrongs = load(course.root, unit.id, page.name)
        known = {exercise.id for exercise in page.exercises}
        for wrong in wrongs:
            if wrong.exercise not in known:
                raise UsageError(f"misconception {wrong.id!r}: no exercise {wrong.exercise!r} on page {page.name!r}")
        for exercise in page.exercises:
            yield Task(unit.id, exercise.id, "solution", "solution", solution)
            yield Task(unit.id, exercise.id, "stub", "stub", [*others, stub])
            for wrong in wrongs:
                if wrong.exercise == exercise.id:
                    mutant = mutant_page(course, unit.id, page.name, wrong)
                    yield Task(unit.id, exercise.id, "misconception", wrong.id, [*others, mutant])
            folder = course.root / "tests" / "accepted" / unit.id / exercise.id
            for file in sorted(folder.glob("*.py")):
                # on the solved page, in the solution's place, as a student has it: the page's pictures draw it too
                variant = PageSource(page.name, [*solved.cells, *parse_cells(file.read_bytes(), ".py")])
                yield Task(unit.id, exercise.id, "accepted", file.stem, [*others, variant])


def _exercise(unit: Unit, exercise: Exercise, verdicts: dict[tuple[str, str, str], _Verdict]) -> CheckedExercise:
    def score(verdict: _Verdict, pending: bool = True) -> float:
        """With what waits for hardware, or else everything would be caught by what nobody has run."""
        result = score_exercise(exercise, verdict.tests)
        return round(result.score + (result.pending if pending else 0.0), 4)

    solution = verdicts[(exercise.id, "solution", "solution")]
    own = [verdict for key, verdict in verdicts.items() if key[0] == exercise.id]
    by_kind = {kind: [v for v in own if v.task.kind == kind] for kind in ("misconception", "accepted")}
    return CheckedExercise(
        id=exercise.id,
        max_score=float(exercise.points),
        solution_score=score(solution, pending=False),
        pending=round(score(solution) - score(solution, pending=False), 4),
        stub_score=score(verdicts[(exercise.id, "stub", "stub")]),
        misconceptions=[
            CheckedMisconception(v.task.name, score(v) < exercise.points, v.named() == v.task.name)
            for v in by_kind["misconception"]
        ],
        accepted=[CheckedVariant(v.task.name, score(v)) for v in by_kind["accepted"]],
    )


def _failures(units: Sequence[CheckedUnit], verdicts: dict[tuple[str, str, str], _Verdict]) -> list[str]:
    """Everything that is not as it must be, one line each."""
    found: list[str] = []
    for unit in units:
        for e in unit.exercises:
            if round(e.solution_score + e.pending, 4) != e.max_score:
                pending = f" and {e.pending:g} pending" if e.pending else ""
                found.append(
                    f"{e.id}: the solution gets {e.solution_score:g}{pending} of {e.max_score:g}{_why(e, verdicts)}"
                )
            if e.stub_score:
                found.append(f"{e.id}: the untouched stub gets {e.stub_score:g} points")
            if not e.misconceptions:
                found.append(f"{e.id}: no misconception in autograder/graders/{unit.id}/misconceptions/")
            found += [f"{e.id}: the misconception {m.id} is not caught" for m in e.misconceptions if not m.caught]
            found += [
                f"{e.id}: the accepted variant {v.name} gets {v.score:g} of {e.max_score:g}"
                f"{_why(e, verdicts, 'accepted', v.name)}"
                for v in e.accepted
                if v.score != e.max_score
            ]
            if len(e.accepted) < 2:
                found.append(
                    f"{e.id}: {len(e.accepted)} accepted variants in tests/accepted/{unit.id}/{e.id}/, two are asked"
                )
    for (exercise, kind, name), verdict in verdicts.items():
        found += [
            f"{exercise}: {kind} {name}: grader error in {test.name}: {test.message.strip().splitlines()[-1]}"
            for test in verdict.tests
            if test.outcome is Outcome.GRADER_ERROR
        ]
    everything = [m for unit in units for e in unit.exercises for m in e.misconceptions]
    named = sum(m.named for m in everything)
    if everything and named < NAMED_SHARE * len(everything):
        found.append(f"{named} of {len(everything)} misconceptions are named by their own explanation: too few")
    return found


def _why(e: CheckedExercise, verdicts: Any, kind: str = "solution", name: str = "solution") -> str:
    failed = next((t for t in verdicts[(e.id, kind, name)].tests if not t.outcome.is_fine), None)
    return f": {failed.name}: {' '.join(failed.message.split())[:300]}" if failed is not None else ""


def _outcomes(verdict: _Verdict) -> Any:
    """What must not change with the seed: which tests pass, and what is named."""
    return [(t.name, t.outcome is Outcome.PASSED) for t in verdict.tests], verdict.named()


def _difference(a: _Verdict, b: _Verdict) -> str:
    for one, other in zip(a.tests, b.tests, strict=True):
        if (one.outcome is Outcome.PASSED) != (other.outcome is Outcome.PASSED):
            return f"{one.name} was {one.outcome}, then {other.outcome}"
    return f"named {a.named()}, then {b.named()}"


# ---------------------------------------------------------------- processes


def _rooms(course: Course, units: Sequence[Unit], rung: str, jobs: int) -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(
        max_workers=max(1, jobs),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_open,
        initargs=(os.getpid(), course.root, [unit.id for unit in units], rung),
    )


def _grade(pool: concurrent.futures.ProcessPoolExecutor, tasks: Sequence[Task], seed: bytes) -> Iterator[_Verdict]:
    futures = {pool.submit(_grade_task, msgspec.msgpack.encode(task), seed): task for task in tasks}
    for future in concurrent.futures.as_completed(futures):
        graded = msgspec.msgpack.decode(future.result(), type=Graded)
        task = futures[future]
        yield _Verdict(task, graded.results[task.exercise])


_state: dict[str, Any] = {}


def _open(parent: int, root: Path, units: Sequence[str], rung: str) -> None:
    die_with(parent, signal.SIGTERM)
    _state.update(root=root, units=units, rung=rung)


def _room() -> Any:
    """The process's room, made with its first task, so that what goes wrong is that task's error."""
    from autograder.rooms.room import Room

    if "room" not in _state:
        _state["room"] = Room(_state["root"], _state["units"], _state["rung"], new_seed())
    return _state["room"]


def _grade_task(data: bytes, seed: bytes) -> bytes:
    task = msgspec.msgpack.decode(data, type=Task)
    submission = Submission(student=task.name, unit=task.unit, pages=task.pages, problems=[], digest="")
    right = task.kind in ("solution", "accepted")  # what a wrong answer compiles to says nothing
    return msgspec.msgpack.encode(_room().grade(submission, task.exercise, seed, compiles=right))


# ---------------------------------------------------------------- the separation matrix


def _separate(unit_id: str, seed: bytes) -> list[str]:
    """Pairs of misconceptions of one exercise that give the same answers to every hidden test."""
    import torch

    from autograder.grading.diagnose import same_transcript
    from autograder.grading.marks import marks_of
    from autograder.grading.replay import run_locally
    from autograder.grading.session import CollectedTests, grader_files
    from autograder.sandbox.local import LocalPage

    torch.set_num_threads(1)  # as in a room: threads only get in the way of tensors this small
    course = load_course(_state["root"])
    unit = course.unit(unit_id)
    items = [(marks_of(item).exercise, item) for item in CollectedTests(grader_files(course, unit)).items]
    alike = []
    for page in unit.pages:
        transcripts: dict[tuple[str, str], list[Any]] = {}
        for wrong in load(course.root, unit.id, page.name):
            local = LocalPage.of(page, mutant_page(course, unit.id, page.name, wrong).cells, course.limits)
            seen = transcripts[(wrong.exercise, wrong.id)] = []
            for item in (item for exercise, item in items if exercise == wrong.exercise):
                try:
                    run_locally(item, local, course, seed)  # type: ignore[arg-type]
                except Exception as error:  # the mutant fails the test, as it should
                    seen.append((local.transcript, type(error).__name__))
                else:
                    seen.append((local.transcript, ""))
        for (a, seen_a), (b, seen_b) in itertools.combinations(transcripts.items(), 2):
            same = a[0] == b[0] and all(
                end_a == end_b and same_transcript(t_a, t_b)
                for (t_a, end_a), (t_b, end_b) in zip(seen_a, seen_b, strict=True)
            )
            alike += [f"{a[0]}: {a[1]} and {b[1]} give the same answers to every test"] if same else []
    return alike
