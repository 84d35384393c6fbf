"""Which misconception gives exactly the student's answers?

The failed test is run again, with the same inputs, on each mutant of its exercise (a misconception in the otherwise
solved page, run in this process: it is our own code). The first answer that differs rules a mutant out. One that gives
every answer the student gave, up to the failure, and then fails in the same words, explains it; when several do, nobody
is accused, unless the test names one of them (`@pytest.mark.names("id")`) or one alone has explained another test of
the exercise: most wrong pages have one mistake. Such a one is asked first and believed, since interpreted kernels are
dear to run.

Words count since equal answers do not say everything: what a call cost is none, and of an exception only its class is
ours to compare exactly. Numbers in them do not: a rounding error has others.
"""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autograder.grading.compare import Disagreement, Tolerance, close
from autograder.grading.context import Context
from autograder.grading.marks import marks_of
from autograder.grading.misconceptions import Misconception, load, mutant_page
from autograder.grading.replay import run_locally
from autograder.sandbox.callbacks import SeenModule
from autograder.sandbox.client import Answered, Remote
from autograder.sandbox.failures import StudentError, StudentRaised
from autograder.sandbox.local import LocalPage

# What a failure's words do not depend on: numbers, and what a student or we called a class or function.
_NAMELESS = re.compile(r"0x[0-9a-f]+|[-+]?\d[\d.,]*(?:e[-+]?\d+)?|[\w.<>]+\(\)|(?<=state_dict for )\w+", re.IGNORECASE)
_BUDGET_S = 6.0  # of CPU time: on a busy machine a wrong answer has the same cause; interpreted kernels need most of it
_SAME = {
    torch.float64: Tolerance(1e-7, 1e-9),
    torch.float32: Tolerance(1e-3, 1e-5),
    torch.float16: Tolerance(1e-2, 1e-3),
    torch.bfloat16: Tolerance(5e-2, 1e-2),
}


class _Different(BaseException):
    """The mutant's answer is not the student's. Not an Exception, so that no test can catch it by accident."""


def diagnose(item: pytest.Function, context: Context, exercise: str, error: BaseException) -> Misconception | None:
    """The misconception behind a test that failed with `error`, or None."""
    page_name = Path(item.path).stem.removeprefix("test_")
    suspects = [m for m in load(context.course.root, context.unit.id, page_name) if m.exercise == exercise]
    transcript = list(context.page(page_name).transcript)
    if not suspects or not transcript:
        return None
    ends_at = time.process_time() + _BUDGET_S
    matching = []
    seen: set[str] = context.__dict__.setdefault("causes", {}).setdefault(exercise, set())
    believed = seen | set(marks_of(item).names)
    for suspect in sorted(suspects, key=lambda suspect: (suspect.id not in seen, suspect.id not in believed)):
        if time.process_time() > ends_at:
            return None
        if _gives(suspect, item, context, page_name, transcript, error):
            if suspect.id in believed:
                return suspect
            matching.append(suspect)
    if len(matching) != 1:
        return None
    seen.add(matching[0].id)
    return matching[0]


def _gives(
    suspect: Misconception,
    item: pytest.Function,
    context: Context,
    page_name: str,
    transcript: list[Any],
    error: BaseException,
) -> bool:
    """Whether the mutant gives the student's answers, and then fails as the student did."""
    page = _mutant(context, page_name, suspect)
    settled = 0  # answers that were compared: the last one waits for the next, since its test may leave out a part

    def note(seen: Any) -> None:
        nonlocal settled
        page.transcript.append(seen)
        if len(page.transcript) > len(transcript):
            raise _Different
        while settled < len(page.transcript) - 1:
            if not same_answer(page.transcript[settled], transcript[settled]):
                raise _Different
            settled += 1

    page.note = note  # type: ignore[method-assign]
    try:
        run_locally(item, page, context.course, context.run_seed)
    except _Different:
        return False
    except Exception as own:  # it fails, as it should
        return same_transcript(page.transcript[settled:], transcript[settled:]) and _same_failure(own, error)
    return False


def _same_failure(a: BaseException, b: BaseException) -> bool:
    """Whether two failures of one test say the same, but for numbers. A student's own error was an answer already."""
    if isinstance(a, StudentError) or isinstance(b, StudentError):
        return isinstance(a, StudentError) and isinstance(b, StudentError)
    return _words(str(a)) == _words(str(b))


def _words(text: str) -> str:
    """The first line of a message, numbers and names left out; of weights that do not fit, also in what."""
    first, _, rest = text.strip().partition("\n")
    more = rest.partition("\n")[0] if "loading state_dict" in first else ""
    return _NAMELESS.sub("#", first + more)


def _mutant(context: Context, page_name: str, suspect: Misconception) -> LocalPage:
    """The mutant, made once per session."""
    made: dict[tuple[str, str], LocalPage] = context.__dict__.setdefault("mutants", {})
    key = (suspect.exercise, suspect.id)  # exercises share names: `scale_missing` is one of several
    if key not in made:
        source = mutant_page(context.course, context.unit.id, page_name, suspect)
        made[key] = context.local_page(page_name, source)
    return made[key]


def same_transcript(a: list[Any], b: list[Any]) -> bool:
    """Whether two runs of a test saw the same answers."""
    return len(a) == len(b) and all(map(same_answer, a, b))


def same_answer(a: Any, b: Any) -> bool:
    """Whether two entries of a transcript are the same answer within rounding."""
    if isinstance(a, StudentError) or isinstance(b, StudentError):
        if isinstance(a, StudentRaised) and isinstance(b, StudentRaised):
            return a.bases[:1] == b.bases[:1] and _words(a.text) == _words(b.text)
        return type(a) is type(b)
    assert isinstance(a, Answered) and isinstance(b, Answered)
    fields = ("value", "echo", "grads", "parameters", "randoms")
    return all(_same(getattr(a, field), getattr(b, field)) for field in fields)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Remote | SeenModule) or isinstance(b, Remote | SeenModule):
        return type(a) is type(b) and (isinstance(a, Remote) or a.training == b.training)
    if isinstance(b, list | tuple):
        return isinstance(a, list | tuple) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(_same(a[key], b[key]) for key in b)
    if isinstance(b, torch.Tensor | np.ndarray | float):
        dtype = (
            b.dtype if isinstance(b, torch.Tensor) else torch.float32 if "32" in str(getattr(b, "dtype", "")) else None
        )
        try:
            close(a, b, tolerance=_SAME.get(dtype or torch.float64, Tolerance(0.0, 0.0)))
        except Disagreement:
            return False
        return True
    return type(a) is type(b) and bool(a == b)
