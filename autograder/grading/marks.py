"""What the markers of a hidden test say, read once per test."""

from typing import Any

import pytest
from msgspec import Struct

MARKERS = (
    "exercise(id): the exercise that a test belongs to",
    "weight(n): how much the test counts within its exercise (1 unless given)",
    "gate: must pass before any other test of its exercise counts",
    "needs(id): blocked when that exercise of the same page failed a test",
    "names(*ids): the misconceptions that this test is about, where several give the same answer",
)

APART = frozenset(("race", "gpu", "compiler"))  # fixtures


class Marks(Struct, frozen=True, kw_only=True):
    """A test's markers and its name. A test without an exercise counts for nothing.

    `compiles`: it asks what a compiler makes of the page's kernels, which takes seconds and decides no points.
    """

    name: str
    exercise: str | None = None
    weight: float = 1.0
    gate: bool = False
    needs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    compiles: bool = False

    @property
    def full_name(self) -> str:
        """Unique within a unit."""
        return f"{self.exercise}::{self.name}"


_MARKS = pytest.StashKey[Marks]()


def marks_of(item: pytest.Item) -> Marks:
    """The marks of a collected test."""
    if _MARKS not in item.stash:
        exercise, weight = _arguments(item, "exercise"), _arguments(item, "weight")
        item.stash[_MARKS] = Marks(
            name=item.name,
            exercise=str(exercise[0]) if exercise else None,
            weight=float(weight[0]) if weight else 1.0,
            gate=item.get_closest_marker("gate") is not None,
            needs=_arguments(item, "needs"),
            names=_arguments(item, "names"),
            compiles="compiler" in getattr(item, "fixturenames", ()),
        )
    return item.stash[_MARKS]


def stands_apart(item: pytest.Item) -> bool:
    """Whether a test takes walls of its own, to race the student's code or to compile it: by the fixtures it asks for.

    Its answers are no values, so nothing but the submission itself can be put to it.
    """
    return not APART.isdisjoint(getattr(item, "fixturenames", ()))


def _arguments(item: pytest.Item, marker: str) -> tuple[Any, ...]:
    found = item.get_closest_marker(marker)
    return found.args if found is not None else ()
