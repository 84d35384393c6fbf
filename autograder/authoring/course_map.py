"""The course as one picture: every exercise, and what it builds on (`builds_on` in course.toml).

A column is a unit; a box is an exercise; a line leads from an exercise to those that build on it. `build` writes it to
assignments/course_map.svg, for the README and the student kit.
"""

import re

from autograder.authoring.diagrams.drawing import Box, Diagram, Point
from autograder.course import Course, Unit

FILE = "course_map.svg"
_TONES = ("grey", "blue", "green", "orange", "purple", "red")
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _PAGE_GAP = 204, 24, 64, 6, 12
_TOP, _LEFT, _BOTTOM = 86, 34, 64
_STEPS = 12  # points of a curve


def draw_map(course: Course) -> bytes:
    """The picture as SVG, the same bytes every time."""
    height = _TOP + max(map(_column_height, course.units)) + _BOTTOM
    width = 2 * _LEFT + len(course.units) * (_WIDTH + _GAP_X) - _GAP_X
    d = Diagram(width, height, title=f"{course.title}: a map of the course", description=_description(course))
    places = {
        exercise: Box(_LEFT + column * (_WIDTH + _GAP_X), y, _WIDTH, _HEIGHT)
        for column, unit in enumerate(course.units)
        for exercise, y in _heights(unit).items()
    }
    tones = {e.id: _TONES[column % len(_TONES)] for column, unit in enumerate(course.units) for e in unit.exercises}
    for unit in course.units:  # the lines first: boxes lie on top of those that pass behind them
        for exercise in unit.exercises:
            for earlier in exercise.builds_on:
                d.line(*_way(places[earlier], places[exercise.id]), tone=tones[earlier], width=1.2)
    for column, unit in enumerate(course.units):
        middle = _LEFT + column * (_WIDTH + _GAP_X) + _WIDTH / 2
        d.label(middle, 26, _number(unit, column), size=15, bold=True)
        d.label(middle, 46, unit.title, size=12)
        d.label(middle, 64, f"{unit.points:g} points", size=12, tone="muted")
        for exercise in unit.exercises:
            box = places[exercise.id]
            d.box(box.x, box.y, box.width, box.height, exercise.id, tone=tones[exercise.id], size=12)
    d.caption("A line leads from an exercise to one that builds on it; boxes close together are one page.")
    return d.svg().encode()


def _number(unit: Unit, column: int) -> str:
    """ "Unit 7" for unit7_attention_core; a unit whose name has no number is counted."""
    found = re.search(r"\d+", unit.id)
    return f"Unit {found.group() if found else column}"


def _heights(unit: Unit) -> dict[str, float]:
    """The upper edge of each exercise's box: pages in their order, a little apart."""
    heights: dict[str, float] = {}
    y = float(_TOP)
    for page in unit.pages:
        for exercise in page.exercises:
            heights[exercise.id] = y
            y += _HEIGHT + _GAP_Y
        y += _PAGE_GAP
    return heights


def _column_height(unit: Unit) -> float:
    return max(_heights(unit).values()) + _HEIGHT - _TOP


def _way(start: Box, end: Box) -> list[Point]:
    """An S from right to left between columns, a bow on the left within one."""
    if start.x == end.x:
        (x, y0), (_, y1) = start.left, end.left
        bow = min(_GAP_X / 2 - 6, 8 + 0.06 * abs(y1 - y0))
        return [(x - bow * 4 * t * (1 - t), y0 + (y1 - y0) * t) for t in _steps()]
    (x0, y0), (x1, y1) = start.right, end.left
    return [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t * t * (3 - 2 * t)) for t in _steps()]


def _steps() -> list[float]:
    return [step / _STEPS for step in range(_STEPS + 1)]


def _description(course: Course) -> str:
    """What the picture shows, for those who cannot see it."""
    links = [
        f"{exercise.id} builds on {' and '.join(exercise.builds_on)}"
        for unit in course.units
        for exercise in unit.exercises
        if exercise.builds_on
    ]
    columns = "; ".join(
        f"{_number(unit, column).lower()}, {unit.title}: {', '.join(e.id for e in unit.exercises)}"
        for column, unit in enumerate(course.units)
    )
    return f"Columns of boxes, one a unit. {columns}. {'; '.join(links)}."
