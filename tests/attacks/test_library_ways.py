"""Ways to have a library, or the kit itself, do what an exercise of the course asks for: none gains anything.

A way is a piece of code in `_library/` that is put behind the solved page and writes the exercise anew; its first line
names the exercise and says how. Names are put together at run time where the syntax tree would show them.
"""

import ast
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from autograder.course import Course, Exercise, Unit
from autograder.grading.solution import solution_pages
from autograder.intake.submission import PageSource, Submission
from autograder.results.record import ExerciseResult, Outcome
from autograder.results.scoring import score_exercise
from autograder.rooms.room import Room
from tests.attacks.conftest import HERE

WAYS = sorted(path.stem for path in (HERE / "_library").glob("*.py"))
# What such a page has honestly: its forward pass calls the page's own function. And what stays open: a picture may be
# drawn with torch, also by a function that an exercise asks for without (docs/security.md).
KEEPS = {
    "flash_backward_tiled": {"test_forward", "test_inputs_are_left_alone"},
    "cross_entropy": {"test_cross_entropy_picture"},
    "layer_norm": {"test_norm_picture"},
}
SHUT = {"norm_by_the_static_runtime", "norm_out_of_the_collector"}  # whatever is forbidden: no page needs it
GATED = {"kernels_in_numpy"}  # stopped by a gate: what else passes is worth nothing


def free(course: Course) -> Course:
    """The course with nothing forbidden."""
    units = [replace(u, exercises=[replace(e, forbidden=[]) for e in u.exercises]) for u in course.units]
    return replace(course, units=units)


class Graders:
    """A room for each unit, started when a way needs it."""

    def __init__(self, course: Course) -> None:
        self._course, self._rooms = course, dict[str, Room]()

    def grade(self, way: str, with_ban: bool) -> ExerciseResult:
        text = (HERE / "_library" / f"{way}.py").read_text(encoding="utf-8")
        exercise_id = (ast.get_docstring(ast.parse(text)) or "").partition(":")[0]
        unit, exercise = self._find(exercise_id)
        if unit.id not in self._rooms:
            self._rooms[unit.id] = Room(self._course.root, [unit.id], "none", b"a library's answer")
        room = self._rooms[unit.id]
        room.course = self._course if with_ban else free(self._course)
        pages = [
            PageSource(page.name, [*page.cells, f"\n\n{text}"]) if page.name == exercise.page else page
            for page in solution_pages(self._course, unit)
        ]
        graded = room.grade(Submission(student="eve", unit=unit.id, pages=pages, problems=[], digest=""), exercise.id)
        return score_exercise(exercise, graded.results[exercise.id])

    def _find(self, exercise_id: str) -> tuple[Unit, Exercise]:
        return next((u, e) for u in self._course.units for e in u.exercises if e.id == exercise_id)

    def close(self) -> None:
        for room in self._rooms.values():
            room.close()


@pytest.fixture(scope="module")
def graders(course: Course) -> Iterator[Graders]:
    graders = Graders(course)
    yield graders
    graders.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_way_gains_nothing(graders: Graders, way: str) -> None:
    """No test passes but those that look at something else, and none breaks; no point waits for a GPU either."""
    result = graders.grade(way, with_ban=True)
    assert way not in GATED or result.score == result.pending == 0
    passed = {test.name for test in result.tests if test.outcome is Outcome.PASSED}
    assert way in GATED or passed <= KEEPS.get(result.id, set()), passed
    assert all(test.outcome is not Outcome.GRADER_ERROR for test in result.tests)


@pytest.mark.parametrize("way", WAYS)
def test_a_way_is_one(graders: Graders, way: str) -> None:
    """Where nothing is forbidden, the same page has most of the points: it is the ban that stops it."""
    if way in GATED:
        pytest.skip("a gate stops it, whatever is forbidden")
    if way in SHUT:
        pytest.skip("what it takes is not there, whatever is forbidden")
    result = graders.grade(way, with_ban=False)
    assert result.score > 0.8 * result.max_score, [(t.name, t.message) for t in result.tests if not t.outcome.is_fine]
