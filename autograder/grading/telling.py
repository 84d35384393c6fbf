"""What came out of a test, told to the student: the outcome, the check's own sentence, what was seen, and why."""

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import UNSET, UnsetType

from autograder.grading.context import Blocked, Context, Deferred
from autograder.grading.marks import marks_of, stands_apart
from autograder.results.record import Measured, Outcome, TestResult

if TYPE_CHECKING:
    from autograder.grading.misconceptions import Misconception


def result_of(
    item: pytest.Item, context: Context | None, exercise: str, error: BaseException | None, seconds: float
) -> TestResult:
    """The result of a test of `exercise` that ended with `error`, or without one."""
    marks = marks_of(item)
    outcome = classify(error)
    if outcome is Outcome.GRADER_ERROR and error is not None and _is_about_form(item, context, error):
        outcome, error = Outcome.FAILED, AssertionError(not_the_form(f"{type(error).__name__}: {error}"))
    message = "" if error is None else _message(item, context, outcome, error)
    cause = _diagnosed(item, context, exercise, error) if outcome in (Outcome.FAILED, Outcome.RAISED) else None
    missing = _did_without(item, context) if outcome is Outcome.PASSED else ""
    if told := _told(context):
        message = message or _sentence_and(item, told)  # of the grader's making, out of bounded text
    return TestResult(
        name=marks.name,
        outcome=outcome,
        weight=0.0 if missing else marks.weight,
        gate=marks.gate,
        message=f"counts nothing: the page has no {missing}" if missing else message,
        hint=cause.explanation if cause is not None else "",
        misconception=cause.id if cause is not None else None,
        duration_s=round(seconds, 4),
        measured=_measured(context),
    )


def page_name(test_file: Path) -> str:
    """The page that a grader file, or a file of public checks, is about."""
    return test_file.stem.removeprefix("test_")


def _did_without(item: pytest.Item, context: Context | None) -> str:
    """What the test asked for and the page does not define: nothing is won by leaving it out, and nothing lost."""
    return "" if context is None else context.did_without(page_name(item.path))


def _told(context: Context | None) -> str:
    """What this test has to say although nothing is wrong, once."""
    if context is None:
        return ""
    told, context.told = context.told, ""
    return told


def _measured(context: Context | None) -> Measured | UnsetType:
    """What this test's race has measured, once."""
    if context is None or context.measured is None:
        return UNSET
    measured, context.measured = context.measured, None
    return measured


def classify(error: BaseException | None) -> Outcome:
    """What an exception out of a test means for the student."""
    from autograder.sandbox.failures import StudentError

    if error is None:
        return Outcome.PASSED
    if isinstance(error, StudentError):
        return Outcome(error.outcome)
    if isinstance(error, Blocked):
        return Outcome.BLOCKED
    if isinstance(error, Deferred):
        return Outcome.DEFERRED
    if isinstance(error, pytest.fail.Exception) and "Timeout" in str(error):
        return Outcome.TIMED_OUT
    if isinstance(error, AssertionError):
        return Outcome.FAILED
    return Outcome.GRADER_ERROR


# What Python, NumPy and torch raise where a check takes apart an answer of another type or shape.
_OF_FORM = (TypeError, ValueError, IndexError, KeyError, AttributeError, RuntimeError)


def _is_about_form(item: pytest.Item, context: Context | None, error: BaseException) -> bool:
    """Whether a public check, which the solution passes wherever it was built, broke on the answer that it was given.

    Of a hidden test the room finds out, which has the solution at hand.
    """
    if _is_hidden(item, context) or not isinstance(error, _OF_FORM):
        return False
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_filename == str(item.path) for frame, _ in frames)


def not_the_form(cause: str) -> str:
    """What a student reads whose answer broke the test."""
    return f"the answer does not have the form that was asked for ({cause[:200]})"


def _diagnosed(
    item: pytest.Item, context: Context | None, exercise: str, error: BaseException | None
) -> "Misconception | None":
    """The misconception that gives the student's very answers. Never a reason for a grader error."""
    from autograder.grading.diagnose import diagnose

    if context is None or error is None or context.until_failure or not isinstance(item, pytest.Function):
        return None
    if stands_apart(item):  # how fast a misconception is says nothing, nor how it compiles
        return None
    try:
        return diagnose(item, context, exercise, error)
    except Exception:  # a diagnosis is a courtesy; the verdict stands without it
        return None


def _message(item: pytest.Item, context: Context | None, outcome: Outcome, error: BaseException) -> str:
    """The check's own sentence, then what was seen."""
    from autograder.text import readable

    if outcome is Outcome.GRADER_ERROR:
        return readable("".join(traceback.format_exception(error))[-4000:])
    said = str(error).split("\nassert ")[0]
    # SECURITY: pytest's account shows the reference's values
    if said.startswith("assert ") and _is_hidden(item, context):
        said = "the answer is not what it should be"
    return _sentence_and(item, readable(said))  # SECURITY: escape sequences, megabytes of text


def _sentence_and(item: pytest.Item, said: str) -> str:
    sentence = (getattr(item, "function", item).__doc__ or item.name).strip().split("\n\n")[0]
    return f"{' '.join(sentence.split())}\n  {said}"


def _is_hidden(item: pytest.Item, context: Context | None) -> bool:
    """Whether the test is a hidden grader's, not a public check."""
    return context is not None and item.path.is_relative_to(context.course.graders)
