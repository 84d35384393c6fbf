"""Grades a folder of submissions: what is new, in parallel, with every result on disk as soon as it is known."""

import contextlib
import hashlib
import importlib.metadata
import os
import secrets
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autograder import installed
from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.extensions import Extensions
from autograder.intake.finding import ClassSeen
from autograder.intake.submission import HandedIn, Submission
from autograder.results import late
from autograder.results.attempts import read_submissions, write_latest
from autograder.results.folders import RUNS_FILE, colliding, result_path
from autograder.results.record import (
    Basis,
    Late,
    Outcome,
    TestResult,
    UnitResult,
    encode_json,
    of_another_version,
    write_atomically,
)
from autograder.results.scoring import score_exercise
from autograder.rooms.pool import grade_all
from autograder.rooms.room import Graded
from autograder.text import listed

SUBMITTED = "submitted"
_KIT = Path(__file__).resolve().parents[1]
_DECIDING = (
    "given",
    "grading",
    "intake",
    "sandbox",
    "rooms/room.py",
    "rooms/sitting.py",
    "results/scoring.py",
    "text.py",
)


class Run(Struct, frozen=True, kw_only=True):
    """One call of `grade`: everything that its results depend on besides the submissions."""

    course: Course
    submitted: Path
    out: Path
    rung: str
    seed: bytes
    jobs: int
    regrade: bool = False
    dry: bool = False  # grade, and write nothing
    privileged: bool | None = None  # as of `Sandbox`, where it is known already
    extensions: Extensions = Extensions()

    @property
    def seed_id(self) -> str:
        """Names the seed without telling it."""
        return seed_id(self.seed)


class Job(Struct, frozen=True):
    """A submission to grade, and what its result will rest on."""

    handed_in: HandedIn
    basis: Basis

    @property
    def fingerprint(self) -> str:
        """Equal fingerprint, equal basis: nothing to grade again."""
        return f"sha256:{hashlib.sha256(msgspec.json.encode(self.basis)).hexdigest()}"

    @property
    def content(self) -> str:
        """The same whatever machine grades it: see `UnitResult`."""
        return _content(self.basis)


class Finished(Struct, frozen=True):
    """A result, and whether it was graded just now or stood already, with something else in its file."""

    result: UnitResult
    fresh: bool


class Plan(Struct, frozen=True):
    """What `grade` is going to do, without a page and without a result: these are read when it comes to them.

    `changed` are those of `standing` whose file says something else by now. They were handed in at another time than it
    says, or are of an earlier submission that was handed in again: no student's code runs for that.
    """

    jobs: list[Job]
    standing: list[Job]
    changed: list[Job]
    passed_over: list[str]
    notes: list[str]
    read: Callable[[HandedIn], Submission]

    def handed_in(self) -> dict[tuple[str, str], HandedIn]:
        """Everything that was handed in, by student and unit."""
        found = (job.handed_in for job in (*self.jobs, *self.standing))
        return {(one.student, one.unit): one for one in found}


class _Submissions(Sequence[Submission]):
    """The submissions of a plan's jobs, each read when it is asked for.

    What lies there by then is graded, and its result rests on that: the job takes over what was read.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __len__(self) -> int:
        return len(self._plan.jobs)

    def __getitem__(self, position: Any) -> Any:
        jobs = self._plan.jobs
        submission = self._plan.read(jobs[position].handed_in)
        basis = jobs[position].basis
        if submission.digest != basis.submission:
            basis = msgspec.structs.replace(basis, submission=submission.digest)
            jobs[position] = Job(submission.without_pages(), basis)
        return submission


def seed_id(seed: bytes) -> str:
    """Names a seed without telling it."""
    return hashlib.sha256(seed).hexdigest()[:12]


def new_seed() -> bytes:
    """A fresh secret to draw inputs from."""
    return secrets.token_bytes(16)


def make_plan(run: Run, found: ClassSeen) -> Plan:
    """Leave out those submissions whose result stands."""
    names = [] if run.dry else [submission.student for submission in found.submissions]
    for students in colliding(run.out, names):
        found.submissions = [s for s in found.submissions if s.student not in students]
        found.passed_over.append(
            f"{listed(students)}: one folder on this file system, which ignores capitals; rename one"
        )
    units = {submission.unit for submission in found.submissions}
    bases = {unit: _basis(run.course, run.course.unit(unit), run.rung) for unit in units}
    plan = Plan([], [], [], found.passed_over, found.notes, found.read)
    timeless: list[str] = []
    for submission in found.submissions:
        job = Job(submission, msgspec.structs.replace(bases[submission.unit], submission=submission.digest))
        path = result_path(run.out, submission.student, submission.unit)
        if newer := of_another_version(path):
            plan.passed_over.append(f"{path}: {newer}, or another folder with --out; it stays as it is")
            continue
        before = read_submissions(run.out, submission.student, submission.unit)
        if before and before[0].submitted_at is not None and submission.submitted_at is None:
            timeless.append(f"{submission.student} {submission.unit}")
        known = [] if run.regrade else before
        standing = _standing(known, job)
        if standing is None:
            plan.jobs.append(job)
            continue
        plan.standing.append(job)
        if _with_time_of(run, standing, submission) is not standing or standing is not known[0]:
            plan.changed.append(job)
    if timeless:
        said = "the time of hand-in was known before and is not now, so nothing is late; give --submitted-at again"
        plan.notes.append(f"{said}: {listed(timeless)}")
    return plan


def _standing(known: Sequence[UnitResult], job: Job) -> UnitResult | None:
    return next((r for r in known if r.fingerprint == job.fingerprint and not r.has_grader_error()), None)


def run_plan(run: Run, plan: Plan, meanwhile: Callable[[], None]) -> Generator[Finished, None, None]:
    """Grade the plan's jobs; yields each result once it is safely on disk, first those that stand with other words.

    `meanwhile` is called while the rooms start. A dry run writes nothing.
    """
    for job in plan.changed:
        of = job.handed_in
        standing = _standing(read_submissions(run.out, of.student, of.unit), job)
        if standing is None:
            path = result_path(run.out, of.student, of.unit)
            raise UsageError(f"{path} was taken away or changed meanwhile: run the same command again")
        result = _with_time_of(run, standing, of)
        if not run.dry:
            _write(run, result)
        yield Finished(result, fresh=False)
    if not plan.jobs:
        return
    if not run.dry:
        remember_seed(run.out, run.seed, run.submitted)
    with contextlib.closing(_grade_all(run, plan, meanwhile)) as outcomes:
        for job, graded in outcomes:
            result = finish(run, job, graded)
            if not run.dry:
                _write(run, result)
            yield Finished(result, fresh=True)


def _write(run: Run, result: UnitResult) -> None:
    try:
        write_latest(run.out, run.course, result)
    except OSError as error:
        raise UsageError(
            f"{result_path(run.out, result.student, result.unit)} cannot be written: {error.strerror}; "
            "what was graded before is kept: mend this and run the same command again"
        ) from None


def finish(run: Run, job: Job, graded: Graded) -> UnitResult:
    """The record of one submission: points, time, problems."""
    unit = run.course.unit(job.handed_in.unit)
    exercises = [score_exercise(exercise, graded.results.get(exercise.id, [])) for exercise in unit.exercises]
    result = UnitResult(
        course=run.course.id,
        student=job.handed_in.student,
        unit=unit.id,
        score=round(sum(exercise.score for exercise in exercises), 4),
        max_score=float(unit.points),
        pending=round(sum(exercise.pending for exercise in exercises), 4),
        graded_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        fingerprint=job.fingerprint,
        content=job.content,
        isolation=run.rung,
        seed_id=run.seed_id,
        duration_s=graded.duration_s,
        late=Late(),
        problems=graded.problems,
        exercises=exercises,
        submitted_at=job.handed_in.submitted_at,
        time_problem=job.handed_in.time_problem,
        basis=job.basis,
        pages=graded.pages,
    )
    return _with_lateness(run, result)


def _with_lateness(run: Run, result: UnitResult) -> UnitResult:
    """The result with what is known about its lateness now."""
    worth = late.grade(run.course, run.extensions, result)
    return msgspec.structs.replace(result, late=Late(seconds=worth.seconds_late, penalty=worth.penalty))


def _with_time_of(run: Run, result: UnitResult, submission: HandedIn) -> UnitResult:
    """The standing result of a submission, with the time that is known for it by now."""
    if (result.submitted_at, result.time_problem) == (submission.submitted_at, submission.time_problem):
        return result
    rest = [problem for problem in result.problems if problem != result.time_problem]
    said = [submission.time_problem] if submission.time_problem else []
    moved = msgspec.structs.replace(
        result,
        submitted_at=submission.submitted_at,
        time_problem=submission.time_problem,
        problems=[*said, *rest],
    )
    return _with_lateness(run, moved)


# ---------------------------------------------------------------- fingerprints, seeds


def _basis(course: Course, unit: Unit, rung: str) -> Basis:
    """All that a result depends on besides the submission itself.

    Of course.toml the unit's exercises and the limits: titles, due dates, the late policy and what other units say
    change no answer.
    """
    files = [file for of in (course.graders, course.reference) for file in sorted((of / unit.id).rglob("*.py"))]
    grader = hashlib.sha256()
    for file in files:
        data = file.read_bytes()
        grader.update(f"{file.relative_to(course.root)}\0{len(data)}\0".encode() + data)
    asked = [msgspec.structs.replace(exercise, title="") for exercise in unit.exercises]
    versions = {package: importlib.metadata.version(package) for package in ("torch", "numpy")}
    return Basis(
        grader=grader.hexdigest(),
        course=hashlib.sha256(msgspec.json.encode([course.id, unit.id, asked, course.limits])).hexdigest(),
        versions={"autograder": f"{installed.version()} {_code()}", **versions, "isolation": rung},
    )


@cache
def _code() -> str:
    """A digest of the kit's code that has a part in results: the version alone tells no two checkouts apart."""
    code = hashlib.sha256()
    parts = [_KIT / part for part in _DECIDING]
    for file in sorted(file for part in parts for file in (part.rglob("*.py") if part.is_dir() else [part])):
        data = file.read_bytes()
        code.update(f"{file.relative_to(_KIT)}\0{len(data)}\0".encode() + data)
    return code.hexdigest()[:8]


def _content(basis: Basis) -> str:
    """The basis without the machine: isolation and the versions of torch and numpy. Hardware goes unnamed, since what
    depends on it is pending until it is there.
    """
    kit = {"autograder": basis.versions["autograder"]}
    bare = msgspec.structs.replace(basis, versions=kit)
    return f"sha256:{hashlib.sha256(msgspec.json.encode(bare)).hexdigest()}"


def content_of(course: Course, submission: Submission) -> str:
    """What `UnitResult.content` is for a submission."""
    basis = _basis(course, course.unit(submission.unit), "")
    return _content(msgspec.structs.replace(basis, submission=submission.digest))


def read_runs(out: Path) -> dict[str, str]:
    """Seed id -> seed, and `<seed id> submitted` -> what was graded with it; empty where nothing is known."""
    try:
        return msgspec.json.decode((out / RUNS_FILE).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}


def remember_seed(out: Path, seed: bytes, submitted: Path) -> None:
    """Keep the seed beside the results, for `--seed`: the instructor's folder, never a student's.

    With it goes what was graded, so that `autograder show` can print the command that repeats it.
    """
    path = out / RUNS_FILE
    known = read_runs(out)
    known[seed_id(seed)] = seed.hex()
    known[f"{seed_id(seed)} {SUBMITTED}"] = str(submitted.resolve())
    try:
        write_atomically(path, encode_json(known))
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}; give another folder with --out") from None
    os.chmod(path, 0o600)


# ---------------------------------------------------------------- processes


def _grade_all(run: Run, plan: Plan, meanwhile: Callable[[], None]) -> Generator[tuple[Job, Graded], None, None]:
    """Every job with its outcome, in the order of completion."""
    units = sorted({job.handed_in.unit for job in plan.jobs})
    hidden = [path.resolve() for path in (run.submitted, run.out) if path.exists()]
    submissions, root = _Submissions(plan), run.course.root
    graded = grade_all(submissions, run.jobs, root, units, run.rung, run.seed, hidden, meanwhile, run.privileged)
    with contextlib.closing(graded):
        for position, data in graded:
            job = plan.jobs[position]
            if data is None:
                yield job, _our_fault(run.course.unit(job.handed_in.unit), job.handed_in)
            else:
                yield job, msgspec.msgpack.decode(data, type=Graded)


def _our_fault(unit: Unit, submission: HandedIn) -> Graded:
    """Every exercise undecided: the room died on this submission each time."""
    message = "the grading process died; nothing was decided, grade again"
    test = TestResult(name="grading", outcome=Outcome.GRADER_ERROR, message=message)
    return Graded(results={e.id: [test] for e in unit.exercises}, problems=submission.problems, duration_s=0.0)
