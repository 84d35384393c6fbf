"""The result of a test, of an exercise and of a unit, and their JSON form (`result.json`, design contract v1)."""

import os
import tempfile
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from autograder.policies import exact
from autograder.results.folders import result_path

SCHEMA = "autograder/result/v1"


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"  # a wrong answer
    RAISED = "raised"  # student code raised, died, or answered with something unreadable
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    MISSING = "missing"  # not written yet
    FORBIDDEN = "forbidden"  # calls the library function that the exercise asks to write
    BLOCKED = "blocked"  # its prerequisite on the same page failed; the message names it
    DEFERRED = "deferred"  # needs hardware that this machine lacks
    GRADER_ERROR = "grader_error"  # our fault; never lowers a score

    @property
    def is_fine(self) -> bool:
        """Whether it leaves a student nothing to mend: passed, or waiting for hardware."""
        return self in (Outcome.PASSED, Outcome.DEFERRED)


class Measured(Struct, frozen=True, kw_only=True):
    """A ratio to the grader's baseline: the median with its bounds, and where. `pseudonym` is the student's own choice.

    The ratio was measured outside the wall; the pseudonym came through it and is made fit to be shown.
    """

    measure: str
    device: str
    title: str
    ratio: float
    lower: float
    upper: float
    pairs: int
    pseudonym: str = ""


class TestResult(Struct, frozen=True, kw_only=True):
    """One hidden test. `message` is for the student; `hint` and `misconception` are set when the cause is known."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    name: str
    outcome: Outcome
    weight: float = 1.0
    gate: bool = False
    message: str = ""
    hint: str = ""
    misconception: str | None = None
    duration_s: float = 0.0
    measured: Measured | UnsetType = UNSET

    @property
    def informs(self) -> bool:
        """Whether it counts nothing and says something all the same."""
        return self.outcome is Outcome.PASSED and not self.weight and bool(self.message)


class ExerciseResult(Struct, frozen=True, kw_only=True):
    """`status` is full, partial, none, pending or error. `measured` is there where something was raced."""

    id: str
    page: str
    score: float
    max_score: float
    pending: float
    status: str
    tests: list[TestResult]
    measured: list[Measured] | UnsetType = UNSET


class Late(Struct, frozen=True, kw_only=True):
    """What was known about the time when it was graded: seconds past the due date of that day, and points at stake.

    A memory, not a rule: the unit's `score` is without it, and what a late submission costs is computed whenever
    results are read (late.py), from the time, the policy and the extensions as they are then.
    """

    seconds: float = 0.0
    penalty: float = 0.0


class Basis(Struct, frozen=True, kw_only=True):
    """What a result rests on, each part as a digest, so that a change has a name. Together they are the fingerprint.

    `submission` is the digest of what was graded, without its time; `grader` of hidden graders and reference; `course`
    of what course.toml says about the unit's exercises and the limits.
    """

    submission: str = ""
    grader: str = ""
    course: str = ""
    versions: dict[str, str] = {}


class Completion(Struct, frozen=True, kw_only=True):
    """On which machine pending tests were completed, with a seed of that run's own."""

    at: str
    device: str
    title: str
    isolation: str
    versions: dict[str, str]
    seed_id: str


class PageLoad(Struct, frozen=True, kw_only=True):
    """What running a page took before any test: seconds of those allowed, and what it printed and was warned of.

    `ended` is false where the time limit came first. `defines` are the exercises' symbols that it left behind.
    """

    page: str
    seconds: float
    limit_s: float
    ended: bool = True
    printed_chars: int = 0
    warnings: list[str] = []
    defines: list[str] = []


class UnitResult(Struct, frozen=True, kw_only=True):
    """One student, one unit: all that anything after grading reads.

    `score` is what the tests gave, whenever it was handed in (`submitted_at`, where somebody knows).
    `fingerprint` covers everything that the result depends on. `content` leaves the machine out of it (the isolation
    and the versions of torch and numpy): where it is the same, the same submission is judged by the same tests, and a
    machine with other hardware may complete what is pending.
    """

    schema: str = SCHEMA
    course: str
    student: str
    unit: str
    score: float
    max_score: float
    pending: float
    graded_at: str
    fingerprint: str
    content: str = ""
    isolation: str
    seed_id: str
    duration_s: float
    late: Late
    problems: list[str]
    exercises: list[ExerciseResult]
    submitted_at: datetime | None = None
    time_problem: str = ""  # the one of the problems that is about the time
    basis: Basis = Basis()
    pages: list[PageLoad] | UnsetType = UNSET  # that were tried; a file of an earlier version does not say

    @property
    def earned(self) -> Fraction:
        """The points of its tests, exactly; the `score` of an older file has the late penalty taken off."""
        return sum((exact(exercise.score) for exercise in self.exercises), Fraction(0))

    completed: list[Completion] | UnsetType = UNSET

    def waiting(self) -> list[str]:
        """The tests that wait for hardware, as `<exercise>::<test>`."""
        return [f"{e.id}::{test.name}" for e in self.exercises for test in e.tests if test.outcome is Outcome.DEFERRED]

    def has_grader_error(self) -> bool:
        """Whether anything in it is our fault."""
        return any(test.outcome is Outcome.GRADER_ERROR for e in self.exercises for test in e.tests)


class _Schema(Struct):
    schema: str = SCHEMA


def read_result(path: Path) -> UnitResult | None:
    """The result at `path`, or None where there is none that can be read (then it is graded again)."""
    try:
        result = msgspec.json.decode(path.read_bytes(), type=UnitResult)
    except (OSError, msgspec.DecodeError):
        return None
    return result if result.schema == SCHEMA else None


def why_unreadable(path: Path) -> str:
    """Why `read_result` finds nothing there, and what to do."""
    return of_another_version(path) or "cannot be read as a result; grade that student again"


def of_another_version(path: Path) -> str:
    """That the result was written by another version of the kit, and what to do; empty where it was not."""
    try:
        schema = msgspec.json.decode(path.read_bytes(), type=_Schema).schema
    except (OSError, msgspec.DecodeError):
        return ""
    if schema == SCHEMA:
        return ""
    return f"of the form {schema[:80]!r}, and this version of the kit reads {SCHEMA!r}; take the one that wrote it"


def write_result(out: Path, result: UnitResult) -> Path:
    """Write the result so that a reader sees the old file or the new one, never half of one."""
    path = result_path(out, result.student, result.unit)
    write_atomically(path, encode_json(result))
    return path


def encode_json(content: object) -> bytes:
    """A JSON file that people can read."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def write_atomically(path: Path, data: bytes) -> None:
    """Write through a temporary file in the same folder, flushed to the disk before it takes the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
