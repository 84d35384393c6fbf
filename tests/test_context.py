"""What a context remembers of one submission."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from autograder.course import Course
from autograder.grading import shortcuts
from autograder.grading.context import Context
from autograder.intake.submission import PageSource
from autograder.sandbox.failures import StudentForbidden

_CLEAN = "import torch\n\ndef double(x):\n    return x + x\n\nclass Scale(torch.nn.Module):\n    pass\n"
_USES = "import torch\n\ndef double(x):\n    return torch.add(x, x)\n\nclass Scale(torch.nn.Module):\n    pass\n"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The symbols of every search for shortcuts."""
    seen: list[tuple[str, ...]] = []
    find = shortcuts.find_shortcut

    def counted(page: PageSource, symbols: list[str], *rest: object) -> object:
        seen.append(tuple(symbols))
        return find(page, symbols, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(shortcuts, "find_shortcut", counted)
    return seen


def context_of(course: Course, source: str, forbidden: dict[str, list[str]]) -> Context:
    """A submission of the tiny course's page, where exercises forbid what is asked."""
    unit = course.units[0]
    exercises = [msgspec.structs.replace(e, forbidden=forbidden[e.id]) for e in unit.exercises]
    unit = msgspec.structs.replace(unit, exercises=exercises)
    return Context(course, unit, [PageSource("tiny_page", [source])], None, b"seed")  # type: ignore[arg-type]


def refused(context: Context, exercise: str) -> str:
    try:
        context.refuse_shortcut("tiny_page", exercise)
    except StudentForbidden as error:
        return str(error)
    return ""


def test_a_page_without_shortcuts_is_read_once(
    tiny_course: Callable[[Path], Course], tmp_path: Path, looks: list[tuple[str, ...]]
) -> None:
    """Parsing costs more than many a test: one look for all exercises of the page, and none for the next test."""
    context = context_of(tiny_course(tmp_path), _CLEAN, {"twice": ["torch.add"], "scale_layer": ["torch.mul"]})
    assert [refused(context, exercise) for exercise in ("twice", "scale_layer", "twice")] == ["", "", ""]
    assert looks == [("double", "Scale")]


def test_a_shortcut_is_held_against_the_exercise_that_forbids_it(
    tiny_course: Callable[[Path], Course], tmp_path: Path, looks: list[tuple[str, ...]]
) -> None:
    """What one exercise uses and another forbids costs neither of them; what an exercise uses itself, every test."""
    course = tiny_course(tmp_path)
    context = context_of(course, _USES, {"twice": ["torch.add"], "scale_layer": ["torch.mul"]})
    first, again, other = (refused(context, exercise) for exercise in ("twice", "twice", "scale_layer"))
    assert "torch.add" in first and "line 4" in first
    assert again == first
    assert other == ""
    context = context_of(course, _USES, {"twice": ["torch.mul"], "scale_layer": ["torch.add"]})
    assert [refused(context, exercise) for exercise in ("twice", "scale_layer")] == ["", ""]
    looks.clear()
    assert [refused(context, exercise) for exercise in ("twice", "scale_layer")] == ["", ""]
    assert not looks
