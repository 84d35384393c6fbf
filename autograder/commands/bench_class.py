"""The class that `bench` grades: all right, or mixed as a class before a deadline is.

Of twenty students of the mixed class eight are right (the solution, accepted variants), six hold misconceptions,
several of one page at once, three have not finished or not begun, two wrote a cell that raises, and one hangs or eats
memory. Every other one hands in notebooks, the others modules. The same number makes the same class.
"""

from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from autograder.authoring.build import source_notebook, student_notebook
from autograder.course import Course, Page, Unit
from autograder.grading.misconceptions import load, mutant_page
from autograder.intake.cells import parse_cells

RIGHT, WRONG, UNFINISHED, RAISING, GREEDY = "right", "wrong", "unfinished", "raises", "hangs or eats memory"
SHARES = {RIGHT: 8, WRONG: 6, UNFINISHED: 3, RAISING: 2, GREEDY: 1}  # of twenty
_TURN = [kind for kind, count in SHARES.items() for _ in range(count)]

_RAISE = "return 3\n"  # outside of a function: Python runs nothing of the cell
_LOOP = "def {symbol}(*args, **kwargs):\n    while True:\n        pass\n"
_EAT = 'def {symbol}(*args, **kwargs):\n    return b"1" * (3 << 30)\n'
_LOOP_AT_IMPORT = "while True:\n    pass\n"


class Member(Struct, frozen=True, kw_only=True):
    """A student of the class: the code cells of every page that is handed in."""

    name: str
    kind: str
    pages: dict[str, list[str]]
    notebook: bool = False
    untouched: bool = False  # the release's own files


class _Cell(Struct, frozen=True):
    source: str
    exercise: str | None = None


def right_class(course: Course, unit: Unit, count: int) -> list[Member]:
    """The solution, `count` times, as modules."""
    pages = {page.name: _sources(_solved(course, unit, page)) for page in unit.pages}
    return [Member(name=f"student{number:04d}", kind=RIGHT, pages=pages) for number in range(count)]


def mixed_class(course: Course, unit: Unit, count: int) -> list[Member]:
    """`count` students in the shares of `SHARES`, to the nearest below where `count` is no multiple of twenty."""
    makers = {RIGHT: _right, WRONG: _wrong, UNFINISHED: _unfinished, RAISING: _raising, GREEDY: _greedy}
    made: dict[str, int] = dict.fromkeys(SHARES, 0)
    members = []
    for number in range(count):
        kind = _TURN[number % len(_TURN)]
        pages = {page.name: _sources(_solved(course, unit, page)) for page in unit.pages}
        changed = makers[kind](course, unit, made[kind])
        members.append(
            Member(
                name=f"student{number:04d}",
                kind=kind,
                pages={**pages, **changed},
                notebook=(number + number // len(_TURN)) % 2 == 1,
                untouched=kind == UNFINISHED and made[kind] % 3 == 0,
            )
        )
        made[kind] += 1
    return members


def write_class(course: Course, unit: Unit, members: list[Member], submitted: Path) -> None:
    """One folder for each, as `grade` reads it."""
    for member in members:
        folder = submitted / member.name / unit.id
        folder.mkdir(parents=True)
        suffix = ".ipynb" if member.notebook else ".py"
        for name, cells in member.pages.items():
            target = folder / f"{name}{suffix}"
            if member.untouched:
                target.write_bytes((course.assignments / unit.id / target.name).read_bytes())
            else:
                target.write_text(_notebook(cells) if member.notebook else _module(cells), encoding="utf-8")


def _notebook(cells: list[str]) -> str:
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    return str(nbformat.writes(new_notebook(cells=[new_code_cell(cell) for cell in cells])))


def _module(cells: list[str]) -> str:
    return "".join(f"# %%\n{cell}\n\n" for cell in cells)


# ---------------------------------------------------------------- kinds; each gives the pages that are not solved


def _right(course: Course, unit: Unit, number: int) -> dict[str, list[str]]:
    """The solution in turn with accepted variants, one on every page that has some, in the place of the solution's."""
    if number % 2 == 0:
        return {}
    pages = {}
    for page in unit.pages:
        folders = [course.root / "tests" / "accepted" / unit.id / exercise.id for exercise in page.exercises]
        files = sorted(file for folder in folders for file in folder.glob("*.py"))
        if files:
            variant = parse_cells(files[number // 2 % len(files)].read_bytes(), ".py")
            pages[page.name] = [*_sources(_solved(course, unit, page)), *variant]
    return pages


def _wrong(course: Course, unit: Unit, number: int) -> dict[str, list[str]]:
    """One, two or three misconceptions on one page, each of another exercise."""
    turn, place = divmod(number, len(unit.pages))
    page = unit.pages[place]
    of_exercise: dict[str, list[Any]] = {}
    for wrong in load(course.root, unit.id, page.name):
        of_exercise.setdefault(wrong.exercise, []).append(wrong)
    held = [wrongs[turn % len(wrongs)] for wrongs in of_exercise.values()]
    held = held[number % len(held) :] + held[: number % len(held)]
    first, *others = held[: 1 + turn % 3]
    cells = mutant_page(course, unit.id, page.name, first).cells
    return {page.name: [*cells, *(f"{wrong.symbol} = {wrong.definition}" for wrong in others)]}


def _unfinished(course: Course, unit: Unit, number: int) -> dict[str, list[str]]:
    """Nothing written, or a third or two thirds of the exercises."""
    share = number % 3
    count = max(1, len(unit.exercises) * share // 3) if share else 0
    done = {exercise.id for exercise in unit.exercises[:count]}
    pages = {}
    for page in unit.pages:
        stubs = _cells(student_notebook(course, unit, page))
        both = zip(_solved(course, unit, page), stubs, strict=True)
        pages[page.name] = [(solved if solved.exercise in done else stub).source for solved, stub in both]
    return pages


def _raising(course: Course, unit: Unit, number: int) -> dict[str, list[str]]:
    """The cell of one exercise raises (a SyntaxError) before it defines anything."""
    exercise = unit.exercises[(3 * number + 1) % len(unit.exercises)]
    cells = _solved(course, unit, unit.page(exercise.page))
    return {exercise.page: [_RAISE + c.source if c.exercise == exercise.id else c.source for c in cells]}


def _greedy(course: Course, unit: Unit, number: int) -> dict[str, list[str]]:
    """A function that does not return, one that takes 3 GiB, and an exercise's cell that never ends, in turn."""
    functions = [(e, s) for e in unit.exercises for s in e.symbols if s[0].islower()]
    exercise, symbol = functions[number % len(functions)]
    solved = _solved(course, unit, unit.page(exercise.page))
    if number % 3 == 2:  # in the place of the exercise: what stands beside a loop counts
        return {exercise.page: [_LOOP_AT_IMPORT if c.exercise == exercise.id else c.source for c in solved]}
    code = (_LOOP, _EAT)[number % 3].format(symbol=symbol)
    return {exercise.page: [*_sources(solved), code]}


# ---------------------------------------------------------------- pages as cells


@cache
def _solved(course: Course, unit: Unit, page: Page) -> list[_Cell]:
    return _cells(source_notebook(course, unit, page))


def _cells(notebook: Any) -> list[_Cell]:
    """The code cells of a page, without the check cells."""
    found = []
    for cell in notebook.cells:
        metadata = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and not metadata.get("grade"):
            found.append(_Cell(cell.source, metadata.get("grade_id")))
    return found


def _sources(cells: list[_Cell]) -> list[str]:
    return [cell.source for cell in cells]
