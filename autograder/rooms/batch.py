"""Grades a folder of submissions: what is new, in parallel, with every result on disk as soon as it is known."""

import contextlib
import hashlib
import importlib.metadata
import os
import secrets
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from autograder.course import COURSE_FILE, Course, Unit
from autograder.errors import UsageError
from autograder.intake.finding import Asked, read_class
from autograder.intake.submission import Submission
from autograder.results.folders import colliding, result_path
from autograder.results.record import (
    Late,
    Outcome,
    TestResult,
    UnitResult,
    read_result,
    write_atomically,
    write_result,
)
from autograder.results.scoring import score_exercise
from autograder.rooms.pool import grade_all
from autograder.rooms.room import Graded
from autograder.text import listed

RUNS_FILE = "runs.json"


class Run(Struct, frozen=True, kw_only=True):
    """One call of `grade`: everything that its results depend on besides the submissions."""

    course: Course
    submitted: Path
    out: Path
    rung: str
    seed: bytes
    jobs: int
    regrade: bool = False

    @property
    def seed_id(self) -> str:
        """Names the seed without telling it."""
        return seed_id(self.seed)


class Job(Struct, frozen=True):
    """A submission to grade, and the fingerprint that its result will carry."""

    submission: Submission
    fingerprint: str
    content: str


class Finished(Struct, frozen=True):
    """A result, and whether it was graded just now or stood already."""

    result: UnitResult
    fresh: bool


class Plan(Struct, frozen=True):
    """What `grade` is going to do."""

    jobs: list[Job]
    standing: list[UnitResult]
    passed_over: list[str]
    notes: list[str]

    @property
    def total(self) -> int:
        return len(self.jobs) + len(self.standing)


def seed_id(seed: bytes) -> str:
    """Names a seed without telling it."""
    return hashlib.sha256(seed).hexdigest()[:12]


def new_seed() -> bytes:
    """A fresh secret to draw inputs from."""
    return secrets.token_bytes(16)


def make_plan(run: Run, asked: Asked) -> Plan:
    """Read every submission, and leave out those whose result stands. Raises UsageError."""
    found = read_class(run.submitted, run.course, asked)
    for students in colliding(run.out, (submission.student for submission in found.submissions)):
        found.submissions = [s for s in found.submissions if s.student not in students]
        found.passed_over.append(
            f"{listed(students)}: one folder on this file system, which ignores capitals; rename one"
        )
    units = {submission.unit for submission in found.submissions}
    contents = {unit: unit_digest(run.course, run.course.unit(unit)) for unit in units}
    machine = _machine(run.rung)
    jobs: list[Job] = []
    standing: list[UnitResult] = []
    for submission in found.submissions:
        content = _sha256(contents[submission.unit] + submission.digest)
        fingerprint = _sha256(content + machine)
        result = None if run.regrade else read_result(result_path(run.out, submission.student, submission.unit))
        if result is not None and result.fingerprint == fingerprint and not result.has_grader_error():
            standing.append(result)
        else:
            jobs.append(Job(submission, fingerprint, content))
    return Plan(jobs, standing, found.passed_over, found.notes)


def run_plan(run: Run, plan: Plan, meanwhile: Callable[[], None]) -> Generator[Finished, None, None]:
    """Grade the plan's jobs; yields each result once it is safely on disk, the standing ones first.

    `meanwhile` is called while the rooms start.
    """
    for result in plan.standing:
        yield Finished(result, fresh=False)
    if not plan.jobs:
        return
    remember_seed(run.out, run.seed)
    with contextlib.closing(_grade_all(run, plan.jobs, meanwhile)) as outcomes:
        for job, graded in outcomes:
            result = finish(run, job, graded)
            try:
                write_result(run.out, result)
            except OSError as error:
                raise UsageError(
                    f"{result_path(run.out, result.student, result.unit)} cannot be written: {error.strerror}; "
                    "what was graded before is kept: mend this and run the same command again"
                ) from None
            yield Finished(result, fresh=True)


def finish(run: Run, job: Job, graded: Graded) -> UnitResult:
    """The record of one submission: points, late penalty, problems."""
    unit = run.course.unit(job.submission.unit)
    exercises = [score_exercise(exercise, graded.results.get(exercise.id, [])) for exercise in unit.exercises]
    earned = sum(exercise.score for exercise in exercises)
    late = _late(run.course, unit, job.submission, earned)
    return UnitResult(
        course=run.course.id,
        student=job.submission.student,
        unit=unit.id,
        score=round(earned - late.penalty, 4),
        max_score=float(unit.points),
        pending=round(sum(exercise.pending for exercise in exercises), 4),
        graded_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        fingerprint=job.fingerprint,
        content=job.content,
        isolation=run.rung,
        seed_id=run.seed_id,
        duration_s=graded.duration_s,
        late=late,
        problems=graded.problems,
        exercises=exercises,
    )


# ---------------------------------------------------------------- fingerprints, seeds, late days


def unit_digest(course: Course, unit: Unit) -> str:
    """Covers all that a result depends on besides the submission's own bytes and the machine."""
    digest = hashlib.sha256()
    files = [course.root / COURSE_FILE]
    for folder in (course.graders / unit.id, course.reference / unit.id):
        files += sorted(folder.rglob("*.py"))
    for file in files:
        data = file.read_bytes()
        digest.update(f"{file.relative_to(course.root)}\0{len(data)}\0".encode() + data)
    digest.update(f"autograder {importlib.metadata.version('autograder')}\0".encode())
    return digest.hexdigest()


def content_of(course: Course, submission: Submission) -> str:
    """What `UnitResult.content` is for a submission."""
    return _sha256(unit_digest(course, course.unit(submission.unit)) + submission.digest)


def _machine(rung: str) -> str:
    """What a result depends on that another machine may have otherwise: versions, isolation; hardware goes unnamed,
    since whatever depends on it is pending until it is there.
    """
    versions = (f"{package} {importlib.metadata.version(package)}\0" for package in ("torch", "numpy"))
    return "".join(versions) + rung


def _sha256(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def remember_seed(out: Path, seed: bytes) -> None:
    """Keep the seed beside the results, for `--seed`: the instructor's folder, never a student's."""
    path = out / RUNS_FILE
    try:
        known = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        known = {}
    known[seed_id(seed)] = seed.hex()
    try:
        write_atomically(path, msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}; give another folder with --out") from None
    os.chmod(path, 0o600)


def _late(course: Course, unit: Unit, submission: Submission, earned: float) -> Late:
    if unit.due is None or submission.submitted_at is None:
        return Late()
    seconds = max(0.0, (submission.submitted_at - unit.due).total_seconds())
    return Late(seconds=seconds, penalty=round(earned * course.late.penalty_share(seconds), 4))


# ---------------------------------------------------------------- processes


def _grade_all(
    run: Run, jobs: Sequence[Job], meanwhile: Callable[[], None]
) -> Generator[tuple[Job, Graded], None, None]:
    """Every job with its outcome, in the order of completion."""
    units = sorted({job.submission.unit for job in jobs})
    hidden = [run.submitted.resolve(), run.out.resolve()]
    submissions = [job.submission for job in jobs]
    graded = grade_all(submissions, run.jobs, run.course.root, units, run.rung, run.seed, hidden, meanwhile)
    with contextlib.closing(graded):
        for position, data in graded:
            job = jobs[position]
            if data is None:
                yield job, _our_fault(run.course.unit(job.submission.unit), job.submission)
            else:
                yield job, msgspec.msgpack.decode(data, type=Graded)


def _our_fault(unit: Unit, submission: Submission) -> Graded:
    """Every exercise undecided: the room died on this submission each time."""
    message = "the grading process died; nothing was decided, grade again"
    test = TestResult(name="grading", outcome=Outcome.GRADER_ERROR, message=message)
    return Graded(results={e.id: [test] for e in unit.exercises}, problems=submission.problems, duration_s=0.0)
