"""moodle: fills the grading worksheet that Moodle itself exported, so that Moodle takes it back.

An assignment's worksheet (Submissions > Actions > Download grading worksheet, with offline grading switched on) is the
one thing that has Moodle's own identifiers, in the columns and the language of that Moodle. Filled are `Grade` and,
where it is there, `Feedback comments`; every other cell goes back as it came. A row is one of ours by its full name,
identifier, ID number or email, or by what the roster makes of them. Moodle skips rows that did not change and leaves
out an empty grade, so who handed in nothing stays without one.

Source: moodle/moodle, mod/assign/feedback/offline/importgradeslib.php and locallib.php.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from autograder.course import Unit
from autograder.errors import UsageError
from autograder.policies import exact
from autograder.results.exports.gathered import Gathered, lateness_in_words, write_file
from autograder.results.late import Counted
from autograder.tables import delimiter_of, read_rows, read_text, same_name
from autograder.text import CsvField, Html, csv_field, csv_number, decimal, html, listed, preformatted, printable

OPTION = "--worksheet"
# our name of a column -> Moodle's, in small letters; another language's are given with --column
COLUMNS = {
    "identifier": ("identifier",),
    "name": ("full name",),
    "number": ("id number",),
    "email": ("email address",),
    "grade": ("grade",),
    "maximum": ("maximum grade",),
    "changeable": ("grade can be changed",),
    "feedback": ("feedback comments",),
}
_EMPTY = ("", "-")
_NO = ("no", "nein", "non", "false", "0")
# what is not done where a column is not found
_LOSSES = {"feedback": "no comments are exported", "changeable": "grades that Moodle has locked are not named"}


def export(gathered: Gathered, out: Path) -> list[Path]:
    """Write OUT: the worksheet with the grades of one unit. Raises UsageError."""
    unit = gathered.the_unit("Moodle has a worksheet for each assignment")
    if gathered.asked.worksheet is None:
        raise UsageError(f"moodle needs {OPTION} FILE: the grading worksheet that Moodle exported for {unit.id}")
    sheet = _Worksheet(gathered, unit, gathered.asked.worksheet)
    return [write_file(out, sheet.filled())]


class _Worksheet:
    def __init__(self, gathered: Gathered, unit: Unit, path: Path) -> None:
        self._gathered, self._unit, self._path = gathered, unit, path
        text = read_text(path, OPTION)
        self._delimiter = delimiter_of(text)
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        self._rows = [row for _, row in read_rows(text, f"{OPTION} {path}")]
        if not self._rows:
            raise UsageError(f"{OPTION} {path}: the table is empty")
        self._header = self._rows[0]
        self._at = self._columns(self._header)
        self._by_name: dict[str, list[str]] = defaultdict(list)  # `Ada` and `ada` may be two students
        for student in gathered.students:
            self._by_name[same_name(student)].append(student)
            meant = gathered.roster.student([student])
            if meant is not None and meant not in gathered.students:  # graded without the roster
                self._by_name[same_name(meant)].append(student)
        self._replaced: list[str] = []  # what Moodle had, by student
        self._kept: list[str] = []  # the same of excused students

    def filled(self) -> str:
        """The worksheet's text, with a byte-order mark as Moodle writes one."""
        placed: dict[str, int] = {}
        unknown, locked = [], []
        filled = 0
        lines = [list(map(CsvField, self._header))]
        for number, row in enumerate(self._rows[1:], start=2):
            row = [*row, *[""] * (len(self._header) - len(row))]
            cells = list(map(CsvField, row))  # the platform's own, which it looks for as it wrote them
            student = self._student(row, number)
            if student is None:
                unknown.append(self._cell(row, "name") or self._cell(row, "identifier") or f"row {number}")
            elif student in placed:
                raise UsageError(
                    f"{OPTION} {self._path}: rows {placed[student]} and {number} are both {printable(student)}; "
                    "give a --roster that tells them apart"
                )
            else:
                placed[student] = number
                counted = self._gathered.counted.get((student, self._unit.id))
                if self._cell(row, "changeable").casefold() in _NO:
                    locked.append(student)
                elif counted is not None and not counted.grade.excused:
                    self._fill(cells, row, counted, number)
                    filled += 1
                elif self._gathered.is_excused(student, self._unit) and self._cell(row, "grade") not in _EMPTY:
                    self._kept.append(f"{student} ({self._cell(row, 'grade')})")
            lines.append(cells)
        self._say(placed, unknown, locked)
        self._gathered.exported = filled
        buffer = io.StringIO(newline="")
        csv.writer(buffer, delimiter=self._delimiter, lineterminator=self._line_end).writerows(lines)
        return "\ufeff" + buffer.getvalue()

    def _say(self, placed: dict[str, int], unknown: list[str], locked: list[str]) -> None:
        said, unit = self._gathered.said, self._unit
        if not placed:
            raise UsageError(
                f"{OPTION} {self._path}: no row is a student of ours, not {listed(unknown)}; a --roster can say who "
                "they are, and in another language --column which column has the name, the email or the number"
            )
        for key, loss in _LOSSES.items():
            if key not in self._at:
                said.append(
                    f"no column {COLUMNS[key][0]!r} in the worksheet, so {loss}; --column {key}=... says which it is"
                )
        if unknown:
            said.append(f"no student of ours, left as they are: {listed(unknown)}; a --roster can say who they are")
        if locked:
            said.append(f"Moodle says that the grade cannot be changed: {listed(locked)}")
        ours = [student for student, of, counted in self._gathered.rows() if counted is not None and of is unit]
        missing = [student for student in ours if student not in placed]
        if missing:
            said.append(f"not in the worksheet, so not exported: {listed(missing)}")
        excused = [student for student in placed if self._gathered.is_excused(student, unit)]
        if excused:
            said.append(f"excused, so without a grade (Moodle has no word for it here): {listed(excused)}")
        if self._kept:
            said.append(f"excused, and Moodle keeps the grade that it has; delete it there: {listed(self._kept)}")
        if self._replaced:
            said.append(f"in place of what the worksheet had: {listed(self._replaced)}")

    # -- columns

    def _columns(self, header: list[str]) -> dict[str, int]:
        names = [name.strip().casefold() for name in header]
        given = self._gathered.asked.columns
        at: dict[str, int] = {}
        for key, expected in COLUMNS.items():
            wanted = (given[key].strip().casefold(),) if key in given else expected
            found = next((names.index(name) for name in wanted if name in names), None)
            if found is not None:
                at[key] = found
            elif key in given:
                raise UsageError(f"{OPTION} {self._path}: no column {given[key]!r}; it has {', '.join(header)}")
        lacking = [key for key in ("identifier", "grade", "maximum") if key not in at]
        if lacking:  # without the maximum nobody could tell 62 of 75 points from 62 of 100
            columns = " ".join(f"--column {key}=..." for key in lacking)
            names_of = " and no column ".join(repr(COLUMNS[key][0]) for key in lacking)
            raise UsageError(
                f"{OPTION} {self._path}: no column {names_of}; it has {printable(', '.join(header), 400)}. In another "
                f"language say which it is: {columns}"
            )
        for i in at.values():
            if names.count(names[i]) > 1:
                raise UsageError(f"{OPTION} {self._path}: column {header[i]!r} is there more than once; keep one")
        return at

    def _cell(self, row: Sequence[str], key: str) -> str:
        return row[self._at[key]].strip() if key in self._at else ""

    # -- rows

    def _student(self, row: Sequence[str], row_number: int) -> str | None:
        """Whose row it is. The number of a participant is Moodle's own, and may be what a student is called here."""
        identifier, name = self._cell(row, "identifier"), self._cell(row, "name")
        digits = "".join(re.findall(r"\d+", identifier)[-1:])  # `Participant 123`, in whatever language
        for clue in (self._cell(row, "number"), self._cell(row, "email"), identifier, f"{name} ({digits})"):
            if (student := self._meant(clue)) is not None:
                return student
        by_number, by_name = self._meant(digits), self._meant(name)
        if by_number is not None and by_name is not None and by_number != by_name:
            raise UsageError(
                f"{OPTION} {self._path}, row {row_number}: {printable(identifier)!r} is {printable(by_number)} here, "
                f"and {printable(name)!r} is {printable(by_name)}; give a --roster with the row's ID number or email"
            )
        return by_number if by_number is not None else by_name

    def _meant(self, clue: str) -> str | None:
        """The student of ours whom a cell names, by the roster or as it stands."""
        wanted = (self._gathered.roster.student([clue]) or clue) if clue else ""
        found = self._by_name.get(same_name(wanted), [])
        return wanted if wanted in found else found[0] if len(found) == 1 else None

    def _fill(self, cells: list[CsvField], row: Sequence[str], counted: Counted, number: int) -> None:
        cells[self._at["grade"]] = csv_number(self._points(row, counted, number))
        if "feedback" in self._at:
            cells[self._at["feedback"]] = csv_field(_feedback(self._gathered, counted))
        lost = [key for key in ("grade", "feedback") if self._differs(key, row, cells)]
        if lost:
            what = [self._cell(row, "grade")] * ("grade" in lost) + ["comments"] * ("feedback" in lost)
            self._replaced.append(f"{counted.grade.student} ({' and '.join(what)})")

    def _differs(self, key: str, row: Sequence[str], cells: Sequence[CsvField]) -> bool:
        """Whether Moodle has something there already, and not what we would write."""
        had = self._cell(row, key)
        if had in _EMPTY:
            return False
        if key == "feedback":
            return had != cells[self._at[key]].strip()
        try:
            return float(had.replace(",", ".")) != float(cells[self._at[key]])
        except ValueError:
            return True

    def _points(self, row: Sequence[str], counted: Counted, number: int) -> float:
        """The grade on the worksheet's scale, which is the unit's points unless --scale allows another."""
        text = self._cell(row, "maximum").replace(",", ".")
        try:
            most = exact(float(text)) if text else exact(counted.grade.max_score)
        except ValueError:
            most = None
        if most is None or most <= 0:
            shown = printable(self._cell(row, "maximum"))
            raise UsageError(
                f"{OPTION} {self._path}, row {number}: the maximum {shown!r} is no number above 0;"
                " let the assignment's grade be of type Point in Moodle, and export the worksheet again"
            )
        ours = exact(counted.grade.max_score)
        if most == ours:
            return counted.grade.score
        if not self._gathered.asked.scale:
            raise UsageError(
                f"{OPTION} {self._path}, row {number}: the maximum is {float(most):g}, and {self._unit.id} has "
                f"{float(ours):g} points; set the maximum in Moodle, or give --scale to convert"
            )
        return float(round(exact(counted.grade.score) * most / ours, 2))


def _feedback(gathered: Gathered, counted: Counted) -> Html:
    """HTML on one line, as Moodle keeps comments; what students wrote is text in it."""
    lines = [html(lateness_in_words(counted.grade))]
    for exercise in counted.result.exercises:
        points = f"{decimal(exercise.score)} of {decimal(exercise.max_score)}"
        lines.append(Html(f"<p>{html(exercise.id)}: {points}</p>"))
        if words := gathered.comment(counted, exercise):
            lines.append(preformatted(words))
    return Html("".join(lines))
