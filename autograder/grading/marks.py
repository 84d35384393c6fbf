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

TIMED = frozenset(("race", "gpu"))  # fixtures


class Marks(Struct, frozen=True, kw_only=True):
    """A test's markers and its name. A test without an exercise counts for nothing."""

    name: str
    exercise: str | None = None
    weight: float = 1.0
    gate: bool = False
    needs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

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
        )
    return item.stash[_MARKS]


def is_timed(item: pytest.Item) -> bool:
    """Whether a test races the student's code, which takes walls and a clock outside: by the fixtures it asks for."""
    return not TIMED.isdisjoint(getattr(item, "fixturenames", ()))


def _arguments(item: pytest.Item, marker: str) -> tuple[Any, ...]:
    found = item.get_closest_marker(marker)
    return found.args if found is not None else ()
