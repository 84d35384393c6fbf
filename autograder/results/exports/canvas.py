"""canvas: a file for Grades > Import, one column for each unit.

A student is found by Canvas's own id, SIS ID or login where the roster has them (columns `canvas id`, `sis user id`,
`sis login id` or `canvas`), else by name (column `name`). An assignment is found by its title, which is the unit's;
where Canvas has none of that title it asks whether to make one. Excused is `EX`, not handed in is an empty cell, which
changes nothing there.

Source: instructure/canvas-lms, lib/gradebook_importer.rb.
"""

import re
import unicodedata
from collections import defaultdict
from pathlib import Path

from autograder.course import Unit
from autograder.errors import UsageError
from autograder.results.exports.gathered import Gathered, csv_text, write_file
from autograder.tables import same_name
from autograder.text import CsvField, csv_field, csv_number, listed, printable

_ID = ("canvas id", "canvas_id")
_SIS_ID = ("sis user id", "sis_user_id", "sis id")
_LOGIN = ("sis login id", "sis_login_id", "login", "canvas")
_NAME = ("name", "full name", "student name")
_LOOKS_LIKE_AN_ID = re.compile(r"\(\d+\)\s*$")  # Canvas takes a number in parentheses for the assignment's own


def export(gathered: Gathered, out: Path) -> list[Path]:
    """Write OUT, UTF-8 with a mark. Who has neither id nor login in the roster is named: Canvas goes by the name."""
    titles = _titles(gathered)
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *titles]
    possible = ["    Points Possible", "", "", "", "", *(csv_number(unit.points) for unit in gathered.units)]
    rows = [[csv_field(text) for text in head], [csv_field(text) for text in possible]]
    by_name, changed = [], []
    rows_of: dict[tuple[str, str], list[str]] = defaultdict(list)  # by what Canvas finds a person with
    for student in gathered.students:
        details = gathered.roster.details(student)
        of_canvas = ("id",) if {"student", "section"} <= details.keys() else ()  # in a gradebook that Canvas wrote
        ids = [_first(details, names) for names in ((*_ID, *of_canvas), _SIS_ID, _LOGIN)]
        if not any(ids):
            by_name.append(student)
        person = [_first(details, _NAME) or student, *ids, ""]
        for kind, value in zip(("ID", "SIS User ID", "SIS Login ID", "name"), [*ids, person[0]], strict=True):
            if value:
                rows_of[kind, same_name(value) if kind != "name" else value].append(student)
        cells = [csv_field(text) for text in person]
        if any(cell != unicodedata.normalize("NFC", text) for cell, text in zip(cells, person, strict=True)):
            changed.append(student)
        rows.append([*cells, *(_cell(gathered, student, unit) for unit in gathered.units)])
    _refuse_one_for_two(rows_of, by_name)
    if by_name:
        gathered.said.append(
            "no `canvas id`, `sis user id` or `sis login id` in the roster, so Canvas goes by the name: "
            + listed(by_name)
        )
    if changed:
        gathered.said.append(f"a name or id would be read as a formula, so Canvas may not find it: {listed(changed)}")
    return [write_file(out, "\ufeff" + csv_text(rows))]


def _refuse_one_for_two(rows_of: dict[tuple[str, str], list[str]], by_name: list[str]) -> None:
    """Two rows that Canvas takes for one person: the grade of either would be the other's. Raises UsageError.

    Two may have one name, as long as Canvas goes by an id for both.
    """
    for (kind, value), students in rows_of.items():
        if len(students) > 1 and (kind != "name" or not set(by_name).isdisjoint(students)):
            raise UsageError(
                f"Canvas would take {listed(students)} for one person, of the {kind} {printable(value)!r}; give each "
                "a `canvas id`, `sis user id` or `sis login id` of their own in the --roster"
            )


def _first(details: dict[str, str], names: tuple[str, ...]) -> str:
    return next((details[name] for name in names if details.get(name)), "")


def _cell(gathered: Gathered, student: str, unit: Unit) -> CsvField:
    if gathered.is_excused(student, unit):
        return CsvField("EX")
    counted = gathered.counted.get((student, unit.id))
    return CsvField("") if counted is None else csv_number(counted.grade.score)


def _titles(gathered: Gathered) -> list[str]:
    """The units' titles, or the id where a title would be misread or is there twice."""
    titles = [unit.title.strip() for unit in gathered.units]
    chosen = []
    for unit, title in zip(gathered.units, titles, strict=True):
        misread = _LOOKS_LIKE_AN_ID.search(title) is not None
        if misread or titles.count(title) > 1:
            why = "Canvas would take its number for an id" if misread else "another unit is called so too"
            gathered.said.append(f"the column of {title!r} is called {unit.id}: {why}")
            title = unit.id
        chosen.append(title)
    return chosen
