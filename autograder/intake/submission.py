"""What a student handed in for one unit, as text."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct


class PageSource(Struct, frozen=True):
    """A page as cells of code. `helper` is a module of the student's own that a page imports, beside the pages."""

    name: str
    cells: list[str]
    notebook: bool = False
    helper: bool = False


class HandedIn(Struct, frozen=True, kw_only=True):
    """What is known of a submission without its pages: all that a class of thousands keeps in memory.

    `digest` covers all that is graded. Not covered is the time: nothing is graded again because of it.
    """

    student: str
    unit: str
    problems: list[str]
    digest: str
    submitted_at: datetime | None = None
    time_problem: str = ""  # which of the problems says what is wrong with the time


class Submission(HandedIn, frozen=True, kw_only=True):
    """`pages` holds the pages that differ from the release, and their helpers."""

    pages: list[PageSource]

    def without_pages(self) -> HandedIn:
        """What is kept of it while others are graded."""
        return HandedIn(
            student=self.student,
            unit=self.unit,
            problems=self.problems,
            digest=self.digest,
            submitted_at=self.submitted_at,
            time_problem=self.time_problem,
        )


_Kind = TypeVar("_Kind", bound=HandedIn)


def with_time_problem(submission: _Kind, problem: str) -> _Kind:
    """The submission with something to be said about its time."""
    problems = [*submission.problems, problem]  # what was not read comes first: the table shows the first
    return msgspec.structs.replace(submission, problems=problems, time_problem=problem)


def digest_of_submission(pages: Sequence[PageSource], problems: Sequence[str]) -> str:
    """Equal digest, nothing to grade again. What does not count (a notebook's outputs) does not change it."""
    digest = hashlib.sha256()
    for page in pages:
        digest.update(f"{page.name}\0{page.notebook}\0{page.helper}\0{len(page.cells)}\0".encode())
        for cell in page.cells:
            code = cell.encode("utf-8", "replace")
            digest.update(f"{len(code)}\0".encode() + code)
    for problem in problems:
        digest.update(problem.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()
