"""A folder of submissions to the tiny course, to be filled and read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autograder.course import Course
from autograder.intake.finding import Asked, ClassRead, read_class
from autograder.intake.submission import Submission

UNIT = "unit0_tiny"


class Handed:
    """SUBMITTED. Ada's folder of the unit exists from the start."""

    def __init__(self, course: Course, folder: Path) -> None:
        self.course = course
        self.submitted = folder / "submitted"
        self.folder = self.submitted / "ada" / UNIT
        self.folder.mkdir(parents=True)

    def put(self, path: str, data: str | bytes = "x = 1\n") -> "Handed":
        """Write a file below SUBMITTED."""
        target = self.submitted / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())
        return self

    def page(self, name: str, data: str | bytes = "x = 1\n") -> "Handed":
        """Write a file into Ada's folder of the unit."""
        return self.put(f"ada/{UNIT}/{name}", data)

    def released(self, name: str) -> str:
        """A file as it was released."""
        return (self.course.assignments / UNIT / name).read_text(encoding="utf-8")

    def read(self, path: Path | None = None, **asked: Any) -> ClassRead:
        """Everything that was handed in, at SUBMITTED or at another path."""
        return read_class(path or self.submitted, self.course, Asked(**asked))

    def by_student(self, path: Path | None = None, **asked: Any) -> dict[str, Submission]:
        """The same by student; one unit each."""
        found = self.read(path, **asked).submissions
        read = {submission.student: submission for submission in found}
        assert len(read) == len(found)
        return read

    def ada(self, **asked: Any) -> Submission:
        """Ada's submission, where nobody else handed in and nothing was passed over."""
        found = self.read(**asked)
        assert [s.student for s in found.submissions] == ["ada"] and found.passed_over == []
        return found.submissions[0]


@pytest.fixture
def handed(tiny_course: Callable[[Path], Course], tmp_path: Path) -> Handed:
    return Handed(tiny_course(tmp_path), tmp_path)


def notebook(*cells: Any) -> str:
    """A notebook of code cells."""
    return json.dumps({"cells": [{"cell_type": "code", "source": source} for source in cells], "nbformat": 4})
