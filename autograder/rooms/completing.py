"""Completes what is pending: the tests that waited for hardware, of results that stand, on a machine that has it.

Exactly these tests are run, one submission after the other, since the clock wants the card for itself. Every other
outcome stays as it is. A result is completed only where `content` is what it was when it was graded: the same
submission, tests, reference, course.toml and kit. Isolation and the versions of torch and numpy may be others; the
result names them.
"""

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct

from autograder.course import Course
from autograder.extensions import load_extensions
from autograder.intake.finding import Asked, read_class
from autograder.intake.submission import Submission
from autograder.results import late
from autograder.results.folders import result_path
from autograder.results.record import Completion, Late, Outcome, TestResult, UnitResult, read_result
from autograder.results.scoring import score_exercise
from autograder.rooms.batch import content_of
from autograder.rooms.room import Graded, Room
from autograder.sandbox.devices import Device
from autograder.text import printable

_UNDECIDED = (Outcome.DEFERRED, Outcome.GRADER_ERROR)


class Waiting(Struct, frozen=True):
    """A result with pending tests, and the submission that it is about."""

    submission: Submission
    result: UnitResult


class Found(Struct, frozen=True):
    """What `find_waiting` came upon. `refused` names what cannot be completed, and why."""

    waiting: list[Waiting]
    complete: list[UnitResult]
    refused: list[str]
    notes: list[str]


def find_waiting(course: Course, submitted: Path, out: Path, asked: Asked) -> Found:
    """The results in `out` with pending tests, beside the submissions that they are about. Raises UsageError."""
    read = read_class(submitted, course, asked)
    found = Found([], [], list(read.passed_over), list(read.notes))
    for submission in read.submissions:
        who = f"{printable(submission.student, 128)}/{submission.unit}"
        result = read_result(result_path(out, submission.student, submission.unit))
        if result is None:
            found.refused.append(f"{who}: not graded yet; grade it first, without --only-pending")
        elif not result.waiting():
            found.complete.append(result)
        elif result.content != content_of(course, submission):
            found.refused.append(
                f"{who}: the submission, its time or the course has changed since it was graded; grade it again first "
                "(with the same --layout, --roster and --submitted-at)"
            )
        else:
            found.waiting.append(Waiting(submission, result))
    return found


def complete_all(
    course: Course,
    waiting: Sequence[Waiting],
    *,
    rung: str,
    device: Device | None,
    seed: bytes,
    seed_id: str,
    hidden: Sequence[Path],
) -> Iterator[UnitResult]:
    """Each result with its pending tests judged on `device`; those that broke in our code stay pending.

    Without a device those that need one wait on, and a race on the CPU that was disturbed is run again.
    """
    if not waiting:
        return
    units = sorted({one.submission.unit for one in waiting})
    completion = Completion(
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        device="cpu" if device is None else device.kinds[0] if device.is_cuda else device.name,
        title="no GPU" if device is None else device.title,
        isolation=rung,
        versions=versions(),
        seed_id=seed_id,
    )
    with Room(course.root, units, rung, seed, hidden, device) as room:
        for one in waiting:
            yield completed(
                course, one.result, told_of(room.grade(one.submission, only=one.result.waiting())), completion
            )


def told_of(graded: Graded) -> dict[str, TestResult]:
    """The outcomes by `<exercise>::<test>`."""
    return {f"{exercise}::{test.name}": test for exercise, tests in graded.results.items() for test in tests}


def completed(course: Course, result: UnitResult, told: Mapping[str, TestResult], completion: Completion) -> UnitResult:
    """The result with what was pending replaced by what was told of it, and the points that follow.

    A test that was not pending stays as it was whatever is told; so do weights, gates, and what is still undecided.
    """
    unit = course.unit(result.unit)
    exercises = []
    for exercise in result.exercises:
        tests = [_one(test, told.get(f"{exercise.id}::{test.name}")) for test in exercise.tests]
        exercises.append(score_exercise(unit.exercise(exercise.id), tests))
    before = [] if result.completed is UNSET else list(result.completed)
    new = msgspec.structs.replace(
        result,
        score=round(sum(exercise.score for exercise in exercises), 4),
        pending=round(sum(exercise.pending for exercise in exercises), 4),
        exercises=exercises,
    )
    if new.waiting() == result.waiting():
        return new  # with what was said about it
    worth = late.grade(course, load_extensions(course), new)
    settled = Late(seconds=worth.seconds_late, penalty=worth.penalty)
    return msgspec.structs.replace(new, late=settled, completed=[*before, completion])


def _one(test: TestResult, told: TestResult | None) -> TestResult:
    if test.outcome is not Outcome.DEFERRED or told is None:
        return test
    if told.outcome in _UNDECIDED:
        return msgspec.structs.replace(test, message=told.message)
    return msgspec.structs.replace(told, weight=test.weight, gate=test.gate)


def versions() -> dict[str, str]:
    """What the measurements of this machine depend on."""
    found = {"python": platform.python_version()}
    for package in ("torch", "triton", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
