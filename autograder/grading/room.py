"""A warm room: one process that has torch, the references, the graders and a sandbox ready, and grades unit after unit.

For every submission it forks a child that runs one pytest session and streams the results back over a pipe. The parent
never runs a test itself, so nothing carries over from one submission to the next.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from autograder.course import Course, Unit, load_course
from autograder.errors import UsageError
from autograder.grading.outcomes import Outcome, TestResult
from autograder.grading.rooms import die_with
from autograder.intake import PageSource, Submission, parse_cells
from autograder.sandbox.launch import Sandbox, SandboxError

if TYPE_CHECKING:
    from autograder.grading.session import CollectedTests

# Time limits are kept in the sandbox's client, which is patient on a busy machine; these only catch a fault of ours.
_BACKSTOP_FACTOR = 6.0


class Expected(Struct, frozen=True):
    """A test that a session must report."""

    exercise: str
    name: str
    weight: float
    gate: bool


class Graded(Struct, frozen=True, kw_only=True):
    """What came out of one session: results by exercise, and the problems of the pages."""

    results: dict[str, list[TestResult]]
    problems: list[str]
    duration_s: float


class _Told(Struct, frozen=True):
    """One line from the child: a result, or at the end the problems."""

    exercise: str = ""
    result: TestResult | None = None
    problems: list[str] | None = None


class Room:
    """Grades submissions one at a time. Use as a context manager.

    Args:
        root: the course folder.
        units: the units to be ready for.
        rung: the isolation rung, already chosen.
        run_seed: the secret that inputs are drawn from.
        hidden: further folders that must not be visible in the sandbox (submissions, results).
    """

    def __init__(
        self, root: Path, units: Sequence[str], rung: str, run_seed: bytes, hidden: Sequence[Path] = ()
    ) -> None:
        self.course = load_course(root)
        self.rung = rung
        self._run_seed = run_seed
        self._child: int | None = None
        self._tests = _warm_up(self.course, [self.course.unit(unit) for unit in units])
        self._expected = {unit: _expected(self.course, unit, tests) for unit, tests in self._tests.items()}
        self._sandbox = Sandbox(rung, self.course.limits, hidden=(self.course.root, *hidden))

    def __enter__(self) -> "Room":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session that is running, and the sandbox."""
        if self._child is not None:
            os.kill(self._child, signal.SIGKILL)
        self._sandbox.close()

    def grade(
        self,
        submission: Submission,
        exercise: str | None = None,
        seed: bytes | None = None,
        until_failure: bool = False,
    ) -> Graded:
        """Run the hidden graders of the submission's unit on it, if asked of one exercise only or with another seed.

        With `until_failure`, only up to the first test that is not passed, without naming a misconception.
        """
        started = time.monotonic()
        unit = self.course.unit(submission.unit)
        session = (unit, submission.pages, exercise, seed or self._run_seed, until_failure)
        results, problems, sound = self._session(*session)
        if problems is None or not sound:  # the child or the sandbox died: once more, then it is our fault
            results, problems, _ = self._session(*session)
        wanted = [test for test in self._expected[unit.id] if exercise in (None, test.exercise)]
        if until_failure and problems is not None:
            wanted = [test for test in wanted if f"{test.exercise}::{test.name}" in results]
        for expected in wanted:
            missing = TestResult(
                name=expected.name,
                outcome=Outcome.GRADER_ERROR,
                weight=expected.weight,
                gate=expected.gate,
                message="the grading process ended before this test; grade again",
            )
            results.setdefault(f"{expected.exercise}::{expected.name}", (expected.exercise, missing))
        by_exercise: dict[str, list[TestResult]] = {exercise.id: [] for exercise in unit.exercises}
        for expected in wanted:  # in the graders' order, and nothing that was not expected
            by_exercise[expected.exercise].append(results[f"{expected.exercise}::{expected.name}"][1])
        return Graded(
            results=by_exercise,
            problems=[*submission.problems, *(problems or [])],
            duration_s=round(time.monotonic() - started, 4),
        )

    def _session(
        self, unit: Unit, pages: Sequence[PageSource], exercise: str | None, seed: bytes, until_failure: bool
    ) -> tuple[dict[str, tuple[str, TestResult]], list[str] | None, bool]:
        """One forked pytest session. The problems are None where it did not finish.

        The last value is false where the sandbox did not survive: what its end looked like to a test is not the
        submission's fault.
        """
        reader, writer = os.pipe()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            os.close(reader)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            die_with(parent, signal.SIGKILL)
            context = (self.course, unit, pages, self._sandbox, seed)
            _child(self._tests[unit.id], context, exercise, until_failure, writer)
        self._child = child
        os.close(writer)
        try:
            results, problems = _collect(reader, _BACKSTOP_FACTOR * self.course.limits.submission_wall_s)
        finally:
            os.close(reader)
            os.kill(child, signal.SIGKILL)
            self._child = None
            os.waitpid(child, 0)
        try:
            self._sandbox.wipe()
        except SandboxError:
            self._sandbox.restart()
            return results, problems, False
        return results, problems, True


def grader_files(course: Course, unit: Unit) -> list[Path]:
    """The hidden grader of every page. Raises UsageError where one is missing."""
    files = [course.graders / unit.id / f"test_{page.name}.py" for page in unit.pages]
    for file in files:
        if not file.is_file():
            raise UsageError(f"{file} does not exist: page {file.stem[5:]!r} of {unit.id} has no hidden grader")
    return files


def _warm_up(course: Course, units: Sequence[Unit]) -> "dict[str, CollectedTests]":
    """Import torch, references and graders. Returns the tests of each unit."""
    from autograder.grading.references import load_reference
    from autograder.grading.session import CollectedTests
    from autograder.sandbox import worker

    tests = {}
    for unit in units:
        for page in unit.pages:
            load_reference(course, unit.id, page.name)
        backstop_s = (_BACKSTOP_FACTOR - 1) * course.limits.submission_wall_s
        tests[unit.id] = CollectedTests(grader_files(course, unit), backstop_s)
    worker.warm_up()  # its gc.freeze makes a session's collections take 1 ms instead of 260
    return tests


def _expected(course: Course, unit_id: str, tests: "CollectedTests") -> list[Expected]:
    """The tests that count, in the graders' order. Raises UsageError where they do not fit course.toml."""
    from autograder.grading.plugin import item_facts

    facts = [item_facts(item) for item in tests.items]
    expected = [Expected(ex, name, weight, gate) for ex, name, weight, gate in facts if ex is not None]
    found = {item.exercise for item in expected}
    ids = {exercise.id for exercise in course.unit(unit_id).exercises}
    if found != ids:
        odd = ", ".join(sorted(found ^ ids))
        raise UsageError(f"{course.graders / unit_id}: tests and course.toml disagree about the exercises {odd}")
    return expected


def _child(
    tests: "CollectedTests",
    facts: tuple[Course, Unit, Sequence[PageSource], Sandbox, bytes],
    exercise: str | None,
    until_failure: bool,
    writer: int,
) -> None:
    """In the fork: run the tests, stream the results, leave."""
    from autograder.grading.plugin import Context

    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the batch's to handle
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1):
            os.dup2(null, standard)
        doubtful: list[tuple[str, TestResult]] = []

        def on_result(of: str, result: TestResult) -> None:
            if result.outcome is Outcome.GRADER_ERROR:
                doubtful.append((of, result))
            else:
                _tell(writer, _Told(of, result))

        context = Context(*facts)
        context.on_result, context.until_failure = on_result, until_failure
        tests.run(context, exercise)
        context.close()
        if doubtful:
            sound = _passes_for_solution(tests, facts, [r.name for _, r in doubtful])
            for of, result in doubtful:
                _tell(writer, _Told(of, _blame(result, sound)))
        _tell(writer, _Told(problems=context.problems()))
        status = 0
    except BaseException as error:  # nothing may escape into the parent's code above the fork
        print(f"grading {facts[1].id}: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
    finally:
        os._exit(status)


def _passes_for_solution(
    tests: "CollectedTests", facts: tuple[Course, Unit, Sequence[PageSource], Sandbox, bytes], names: Sequence[str]
) -> set[str]:
    """Which of the tests pass, with the same inputs, for the course's own solution."""
    from autograder.grading.plugin import Context

    passed: set[str] = set()
    course, unit, _, sandbox, run_seed = facts
    context = Context(course, unit, solution_pages(course, unit), sandbox, run_seed)
    context.on_result = lambda exercise, r: passed.add(r.name) if r.outcome is Outcome.PASSED else None
    tests.run(context)
    context.close()
    return passed.intersection(names)


def _blame(result: TestResult, sound: set[str]) -> TestResult:
    """A test that broke on this submission: the submission's answer is to blame where the solution passes the test.

    SECURITY: a grader error never lowers a score, so an answer of a strange type must not be able to cause one.
    """
    if result.name not in sound:
        return result
    cause = result.message.strip().splitlines()[-1]
    message = f"the answer does not have the form that was asked for ({cause[:200]})"
    return msgspec.structs.replace(result, outcome=Outcome.FAILED, message=message)


def solution_pages(course: Course, unit: Unit) -> list[PageSource]:
    """The solution of every page of the unit, as a submission would carry it."""
    files = [course.solutions / unit.id / f"{page.name}.py" for page in unit.pages]
    return [PageSource(f.stem, parse_cells(f.read_bytes(), ".py")) for f in files if f.is_file()]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Told)


def _tell(writer: int, told: _Told) -> None:
    data = memoryview(_encoder.encode(told) + b"\n")
    while data:
        data = data[os.write(writer, data) :]


def _collect(reader: int, seconds: float) -> tuple[dict[str, tuple[str, TestResult]], list[str] | None]:
    """Everything the child says until it is done, dies or runs out of time."""
    results: dict[str, tuple[str, TestResult]] = {}
    ends_at = time.monotonic() + seconds
    buffer = b""
    while (left := ends_at - time.monotonic()) > 0:
        if not select.select([reader], [], [], left)[0]:
            break
        data = os.read(reader, 1 << 20)
        if not data:
            break
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            told = _decoder.decode(line)
            if told.problems is not None:
                return results, told.problems
            assert told.result is not None
            results[f"{told.exercise}::{told.result.name}"] = (told.exercise, told.result)
    return results, None
