"""A warm room: one process that has torch, the references, the graders and a sandbox ready, and grades unit after unit.

For every submission it forks a child that runs one pytest session and streams the results back over a pipe. The parent
never runs a test itself, so nothing carries over from one submission to the next.
"""

import os
import signal
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from autograder.course import Course, Unit, load_course
from autograder.errors import UsageError
from autograder.intake.submission import Submission
from autograder.results.record import Outcome, PageLoad, TestResult
from autograder.rooms.process import die_with
from autograder.rooms.sitting import Results, Sitting, Told, collect, sit
from autograder.sandbox.devices import Device
from autograder.sandbox.launch import Sandbox
from autograder.sandbox.workers import SandboxError

if TYPE_CHECKING:
    from autograder.grading.marks import Marks
    from autograder.grading.session import CollectedTests

# Time limits are kept in the sandbox's client, which is patient on a busy machine; these only catch a fault of ours.
_BACKSTOP_FACTOR = 6.0
_ON_A_DEVICE = 10.0  # kernels are compiled afresh in every worker of every race


class Graded(Struct, frozen=True, kw_only=True):
    """What came out of one session: results by exercise, the problems of the pages, and what they took to load."""

    results: dict[str, list[TestResult]]
    problems: list[str]
    duration_s: float
    pages: list[PageLoad] = []


class Room:
    """Grades submissions one at a time. Use as a context manager.

    Args:
        root: the course folder.
        units: the units to be ready for.
        rung: the isolation rung, already chosen.
        run_seed: the secret that inputs are drawn from.
        hidden: further folders that must not be visible in the sandbox (submissions, results).
        device: the GPU that tests may use; without, those that need one are deferred.
        pairs: of a race on it, for a rehearsal that wants fewer than usual.
        privileged: as of `Sandbox`, where it is known already.
    """

    def __init__(
        self,
        root: Path,
        units: Sequence[str],
        rung: str,
        run_seed: bytes,
        hidden: Sequence[Path] = (),
        device: Device | None = None,
        pairs: int | None = None,
        privileged: bool | None = None,
    ) -> None:
        self.course = load_course(root)
        self.rung = rung
        self._device, self._pairs = device, pairs
        self._patience = _BACKSTOP_FACTOR * (_ON_A_DEVICE if device is not None else 1)
        self._run_seed = run_seed
        self._child: int | None = None
        self._second: Sandbox | None = None
        self._compiling: Sandbox | None = None  # started where the first page comes that has kernels
        self._cannot_compile = ""  # why it could not be started
        self._hidden = (self.course.root, *hidden)
        self._sandbox = self._sandbox_of(self._hidden, privileged)  # first: it imports torch beside us
        try:
            self._tests = _warm_up(self.course, [self.course.unit(unit) for unit in units], self._patience)
            self._compiled = {unit: _compiled_exercises(tests) for unit, tests in self._tests.items()}
            self._expected = {unit: _expected(self.course, unit, tests) for unit, tests in self._tests.items()}
            exercises = (exercise for unit in units for exercise in self.course.unit(unit).exercises)
            if any(threshold.device == "cpu" for exercise in exercises for threshold in exercise.thresholds):
                self._second = self._sandbox_of(self._hidden, self._sandbox.privileged)
                self._second.ready()
            self._sandbox.ready()
        except BaseException:
            self.close()
            raise

    def _sandbox_of(self, hidden: tuple[Path, ...], privileged: bool | None, compiles: bool = False) -> Sandbox:
        return Sandbox(self.rung, self.course.limits, hidden, privileged=privileged, compiles=compiles, wait=False)

    def __enter__(self) -> "Room":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session that is running, and the sandbox."""
        if self._child is not None:
            os.kill(self._child, signal.SIGKILL)
        self._sandbox.close()
        for sandbox in (self._second, self._compiling):
            if sandbox is not None:
                sandbox.close()

    def grade(
        self,
        submission: Submission,
        exercise: str | None = None,
        seed: bytes | None = None,
        until_failure: bool = False,
        only: Collection[str] | None = None,
        compiles: bool = True,
    ) -> Graded:
        """Run the hidden graders of the submission's unit on it, if asked of one exercise only or with another seed.

        With `until_failure`, only up to the first test that is not passed, without naming a misconception. With `only`,
        just these tests, as `UnitResult.waiting` names them. Without `compiles`, kernels are run and not compiled.
        """
        started = time.monotonic()
        unit = self.course.unit(submission.unit)
        sitting = Sitting(
            unit=unit,
            pages=submission.pages,
            seed=seed or self._run_seed,
            exercise=exercise,
            until_failure=until_failure,
            only=None if only is None else list(only),
            device=self._device,
            pairs=self._pairs,
            compiles=compiles,
        )
        results, ended, sound = self._hold(sitting)
        if ended is None or not sound:  # the child or the sandbox died: once more, then it is our fault
            results, ended, _ = self._hold(sitting)
        by_exercise: dict[str, list[TestResult]] = {exercise.id: [] for exercise in unit.exercises}
        for of, marks in self._expected[unit.id]:  # in the graders' order, and nothing that was not expected
            told = results.get((of, marks.name))
            if (only is not None and marks.full_name not in only) or (marks.compiles and not compiles):
                continue
            if exercise in (None, of) and (told is not None or not until_failure or ended is None):
                by_exercise[of].append(told or _untold(marks))
        return Graded(
            results=by_exercise,
            problems=[*submission.problems, *((ended.problems or []) if ended is not None else [])],
            pages=ended.pages if ended is not None else [],
            duration_s=round(time.monotonic() - started, 4),
        )

    def on_device(self, unit_id: str) -> list[str]:
        """The tests of a unit that need a GPU, as `only` takes them."""
        from autograder.grading.marks import marks_of

        items = self._tests[unit_id].items
        return [marks_of(item).full_name for item in items if "gpu" in getattr(item, "fixturenames", ())]

    def _hold(self, sitting: Sitting) -> tuple[Results, Told | None, bool]:
        """One forked pytest session. Its last line is None where it did not finish.

        The last value is false where the sandbox did not survive: what its end looked like to a test is not the
        submission's fault.
        """
        compiling = self._compiling_for(sitting)
        sitting = msgspec.structs.replace(sitting, cannot_compile=self._cannot_compile)
        reader, writer = os.pipe()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            os.close(reader)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            die_with(parent, signal.SIGKILL)
            sit(self._tests[sitting.unit.id], sitting, self.course, self._sandbox, writer, self._second, compiling)
        self._child = child
        os.close(writer)
        try:
            results, ended = collect(reader, self._patience * self.course.limits.submission_wall_s)
        finally:
            os.close(reader)
            os.kill(child, signal.SIGKILL)
            self._child = None
            os.waitpid(child, 0)
        if compiling is not None:
            self._wipe_compiling(compiling)
        return results, ended, _wiped(self._sandbox)

    def _compiling_for(self, sitting: Sitting) -> Sandbox | None:
        """The sandbox that compiles, where the submission has a page with kernels: half a class never gets there."""
        pages = {page.name for page in sitting.pages}
        asked = [e for e in sitting.unit.exercises if e.page in pages and sitting.exercise in (None, e.id)]
        if not sitting.compiles or not any(e.id in self._compiled[sitting.unit.id] for e in asked):
            return None
        if self._compiling is None and not self._cannot_compile:
            compiling = self._sandbox_of(self._hidden, self._sandbox.privileged, compiles=True)
            try:
                compiling.ready()
            except SandboxError as error:  # no points hang on it, and no submission may
                self._cannot_compile = str(error)
            else:
                self._compiling = compiling
        return self._compiling

    def _wipe_compiling(self, compiling: Sandbox) -> None:
        try:
            _wiped(compiling)
        except SandboxError:  # nor does a fresh one start: the next submission that needs one tries again
            compiling.close()
            self._compiling = None


def _wiped(sandbox: Sandbox) -> bool:
    """End what is left in a sandbox; false where that took a new one."""
    try:
        sandbox.wipe()
    except SandboxError:
        sandbox.restart()
        return False
    return True


def _compiled_exercises(tests: "CollectedTests") -> set[str | None]:
    """The exercises of which a test asks whether their kernels compile."""
    from autograder.grading.marks import marks_of

    return {marks.exercise for marks in map(marks_of, tests.items) if marks.compiles}


def _warm_up(course: Course, units: Sequence[Unit], patience: float) -> "dict[str, CollectedTests]":
    """Import torch, references and graders. Returns the tests of each unit."""
    from autograder.grading.references import load_reference
    from autograder.grading.session import CollectedTests, grader_files
    from autograder.sandbox import warm

    tests = {}
    for unit in units:
        for page in unit.pages:
            load_reference(course, unit.id, page.name)
        backstop_s = (patience - 1) * course.limits.submission_wall_s
        tests[unit.id] = CollectedTests(grader_files(course, unit), backstop_s)
    warm.warm_up()  # its gc.freeze makes a session's collections take 1 ms instead of 260
    return tests


def _expected(course: Course, unit_id: str, tests: "CollectedTests") -> "list[tuple[str, Marks]]":
    """The tests that count, in the graders' order. Raises UsageError where they do not fit course.toml."""
    from autograder.grading.marks import marks_of

    marked = [marks_of(item) for item in tests.items]
    expected = [(marks.exercise, marks) for marks in marked if marks.exercise is not None]
    found = {exercise for exercise, _ in expected}
    ids = {exercise.id for exercise in course.unit(unit_id).exercises}
    if found != ids:
        odd = ", ".join(sorted(found ^ ids))
        raise UsageError(f"{course.graders / unit_id}: tests and course.toml disagree about the exercises {odd}")
    return expected


def _untold(marks: "Marks") -> TestResult:
    """The result of a test that the session did not come to."""
    return TestResult(
        name=marks.name,
        outcome=Outcome.GRADER_ERROR,
        weight=marks.weight,
        gate=marks.gate,
        message="the grading process ended before this test; grade again",
    )
