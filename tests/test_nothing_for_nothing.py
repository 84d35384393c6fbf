"""What a page earns of which nothing was written, on every unit of the course; and what a missing picture costs."""

from collections.abc import Iterator

import pytest

from autograder.authoring.build import student_module
from autograder.course import Course, Unit, load_course
from autograder.grading.solution import solution_pages
from autograder.intake.cells import parse_cells
from autograder.intake.submission import PageSource, Submission
from autograder.results.record import Outcome
from autograder.results.scoring import score_exercise
from autograder.rooms.room import Room
from tests.conftest import ROOT

UNITS = load_course(ROOT).units
WITHOUT_PICTURE = "\nglobals().pop('figure_data', None)\n"


@pytest.fixture(scope="module")
def room(course: Course) -> Iterator[Room]:
    with Room(course.root, course.unit_ids, "none", b"nothing for nothing") as room:
        yield room


def earned(room: Room, unit: Unit, pages: list[PageSource]) -> dict[str, float]:
    """Points by exercise, those that wait for a GPU included, of exercises that got any."""
    graded = room.grade(Submission(student="eve", unit=unit.id, pages=pages, problems=[], digest=""))
    scored = [score_exercise(exercise, graded.results[exercise.id]) for exercise in unit.exercises]
    assert all(t.outcome is not Outcome.GRADER_ERROR for tests in graded.results.values() for t in tests)
    return {e.id: e.score + e.pending for e in scored if e.score + e.pending}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.id)
def test_a_page_that_defines_nothing_earns_nothing(room: Room, unit: Unit) -> None:
    """One statement on each page: no test passes because there was nothing to look at."""
    assert earned(room, unit, [PageSource(page.name, ["x = 1"]) for page in unit.pages]) == {}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.id)
def test_stubs_without_their_picture_earn_nothing(course: Course, room: Room, unit: Unit) -> None:
    """Taking away what the page draws wins nothing."""
    pages = []
    for page in unit.pages:
        cells = parse_cells(student_module(course, unit, page).encode(), ".py")
        pages.append(PageSource(page.name, [*cells, WITHOUT_PICTURE]))
    assert earned(room, unit, pages) == {}


def test_a_picture_is_not_asked_for(course: Course, room: Room) -> None:
    """The solution without its pictures has full marks, and the test of each says that it counts nothing."""
    unit = course.unit("unit3_multi_head_attention")
    pages = [PageSource(page.name, [*page.cells, WITHOUT_PICTURE]) for page in solution_pages(course, unit)]
    assert earned(room, unit, pages) == {exercise.id: exercise.points for exercise in unit.exercises}
    graded = room.grade(Submission(student="eve", unit=unit.id, pages=pages, problems=[], digest=""))
    told = [test for tests in graded.results.values() for test in tests if test.message]
    assert told and {(test.weight, test.message) for test in told} == {
        (0.0, "counts nothing: the page has no figure_data")
    }


# What each of these symbols returns becomes 0, in the right structure, shape and dtype; errors are raised as ever.
BLANKED = """
import functools

import numpy
import torch


def blank(value):
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, numpy.ndarray | numpy.generic):
        return numpy.zeros_like(value)
    if isinstance(value, tuple | list):
        return type(value)(map(blank, value))
    return value


def blanked(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return blank(function(*args, **kwargs))

    return wrapper


for symbol in {symbols}:
    if isinstance(globals()[symbol], type):
        globals()[symbol].forward = blanked(globals()[symbol].forward)
    else:
        globals()[symbol] = blanked(globals()[symbol])
"""
BLANK = {
    "unit0_prerequisites": ["softmax_stable", "cross_entropy_grad", "softmax_vjp"],
    "unit1_attention_fundamentals": ["additive_attention", "masked_softmax", "qkv_attention", "attention_vjp"],
    "unit2_self_attention": ["self_attention_layer"],
    "unit3_multi_head_attention": ["grouped_query_attention"],
    "unit5_transformer": ["decoder_layer", "cross_attention", "layer_norm"],
}


@pytest.mark.parametrize(("unit_id", "exercise_id"), [(unit, e) for unit, ids in BLANK.items() for e in ids])
def test_a_constant_earns_nothing(course: Course, room: Room, unit_id: str, exercise_id: str) -> None:
    """Zeros of the right form leave their arguments alone, are linear, and repeat themselves: none of that counts."""
    unit = course.unit(unit_id)
    exercise = unit.exercise(exercise_id)
    pages = [
        PageSource(page.name, [*page.cells, BLANKED.replace("{symbols}", repr(exercise.symbols))])
        if page.name == exercise.page
        else page
        for page in solution_pages(course, unit)
    ]
    graded = room.grade(Submission(student="eve", unit=unit.id, pages=pages, problems=[], digest=""), exercise.id)
    passed = [test.name for test in graded.results[exercise.id] if test.outcome is Outcome.PASSED and test.weight]
    assert passed == []
