"""Runs a hidden test on code of ours, in this process: for diagnosis, the separation matrix and the benchmark."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograder.course import Course
from autograder.grading.context import Deferred, Student
from autograder.grading.draw import Draw
from autograder.grading.marks import stands_apart
from autograder.grading.references import load_reference
from autograder.sandbox.local import LocalPage


def run_locally(item: pytest.Function, page: LocalPage, course: Course, seed: bytes) -> None:
    """Run the test with `page` as the student's, on the inputs of `seed`. Raises what the test raises.

    Fills `page.transcript` from the start. Raises Deferred for a test that takes walls of its own.
    """
    stem, unit = Path(item.path).stem, Path(item.path).parent.name
    page.transcript = []
    given: dict[str, Any] = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    given["student"] = Student(page)
    given["draw"] = Draw(seed, f"{stem}::{item.name}")
    wanted = item._fixtureinfo.argnames
    if stands_apart(item):
        raise Deferred("nothing is raced or compiled in this process")
    if "reference" in wanted:
        given["reference"] = load_reference(course, unit, stem.removeprefix("test_"))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a wrong implementation may overflow; that is its point
        item.obj(**{name: given[name] for name in wanted})
