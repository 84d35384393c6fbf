"""One sitting: a forked pytest session over one submission, and the pipe on which it tells its results."""

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import msgspec
from msgspec import Struct

from autograder.course import Course, Unit
from autograder.grading.solution import solution_pages
from autograder.intake.submission import PageSource
from autograder.results.record import Outcome, PageLoad, TestResult
from autograder.sandbox.devices import Device
from autograder.sandbox.launch import Sandbox

if TYPE_CHECKING:
    from autograder.grading.session import CollectedTests


Results = dict[tuple[str, str], TestResult]  # by exercise and name


class Sitting(Struct, frozen=True, kw_only=True):
    """What is examined: the pages of a unit, with inputs drawn from `seed`; all exercises or one.

    With `until_failure`, only up to the first test that is not passed, without naming a misconception. With `only`,
    these tests (`<exercise>::<test>`), which an earlier run has deferred; `device` is the GPU that they may use.
    """

    unit: Unit
    pages: list[PageSource]
    seed: bytes
    exercise: str | None = None
    until_failure: bool = False
    only: list[str] | None = None
    device: Device | None = None
    pairs: int | None = None  # of a race; as many as usual unless said
    compiles: bool = True
    cannot_compile: str = ""


class Told(Struct, frozen=True):
    """One line from the child: a result, or at the end the problems and what the pages took to load."""

    exercise: str = ""
    result: TestResult | None = None
    problems: list[str] | None = None
    pages: list[PageLoad] = []


def sit(
    tests: "CollectedTests",
    sitting: Sitting,
    course: Course,
    sandbox: Sandbox,
    writer: int,
    second: Sandbox | None = None,
    compiling: Sandbox | None = None,
) -> NoReturn:
    """In the fork: run the tests, stream the results, leave."""
    from autograder.grading.carry import carry_over
    from autograder.grading.context import Context

    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the batch's to handle
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1):
            os.dup2(null, standard)
        doubtful: list[tuple[str, TestResult]] = []
        seen: Results = {}

        def on_result(of: str, result: TestResult) -> None:
            seen[of, result.name] = result
            if result.outcome is Outcome.GRADER_ERROR:
                doubtful.append((of, result))
            else:
                tell(writer, Told(of, result))

        context = Context(course, sitting.unit, sitting.pages, sandbox, sitting.seed, second, sitting.device, compiling)
        context.on_result, context.until_failure = on_result, sitting.until_failure
        context.completing, context.pairs = sitting.only is not None, sitting.pairs
        context.compiles, context.cannot_compile = sitting.compiles, sitting.cannot_compile
        tests.run(context, sitting.exercise, sitting.only)
        context.close()
        if not sitting.until_failure and sitting.only is None:
            for of, result in carry_over(tests, context, seen):  # the same test again: the later result counts
                tell(writer, Told(of, result))
        if doubtful:
            sound = _passes_for_solution(tests, sitting, course, sandbox, [r.name for _, r in doubtful])
            for of, result in doubtful:
                tell(writer, Told(of, _blame(result, sound)))
        tell(writer, Told(problems=context.problems(), pages=context.loads()))
        status = 0
    except BaseException as error:  # nothing may escape into the parent's code above the fork
        print(f"grading {sitting.unit.id}: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
    finally:
        os._exit(status)


def _passes_for_solution(
    tests: "CollectedTests", sitting: Sitting, course: Course, sandbox: Sandbox, names: Sequence[str]
) -> set[str]:
    """Which of the tests pass, with the same inputs, for the course's own solution."""
    from autograder.grading.context import Context

    passed: set[str] = set()
    pages = solution_pages(course, sitting.unit)
    context = Context(course, sitting.unit, pages, sandbox, sitting.seed, None, sitting.device)
    context.on_result = lambda exercise, r: passed.add(r.name) if r.outcome is Outcome.PASSED else None
    context.completing, context.pairs = sitting.only is not None, sitting.pairs
    tests.run(context, None, sitting.only)
    context.close()
    return passed.intersection(names)


def _blame(result: TestResult, sound: set[str]) -> TestResult:
    """A test that broke on this submission: the submission's answer is to blame where the solution passes the test.

    SECURITY: a grader error never lowers a score, so an answer of a strange type must not be able to cause one.
    """
    from autograder.grading.telling import not_the_form

    if result.name not in sound:
        return result
    message = not_the_form(result.message.strip().splitlines()[-1])
    return msgspec.structs.replace(result, outcome=Outcome.FAILED, message=message)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Told)


def tell(writer: int, told: Told) -> None:
    data = memoryview(_encoder.encode(told) + b"\n")
    while data:
        data = data[os.write(writer, data) :]


def collect(reader: int, seconds: float) -> tuple[Results, Told | None]:
    """Everything the child says until it is done, dies or runs out of time."""
    results: Results = {}
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
                return results, told
            assert told.result is not None
            results[told.exercise, told.result.name] = told.result
    return results, None
