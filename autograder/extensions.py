"""extensions.csv, beside course.toml: who may hand in later, and who need not hand in at all.

    student,unit,due,days,excused,note
    ada,unit2_self_attention,2026-12-20,,,doctor's letter
    bob,*,,3,,
    eve,unit0_prerequisites,,,yes,

Each line says one of three things: a new `due` date (a date alone lasts until its end), some more `days`, or `excused`.
`*` stands for every unit; a line for one unit counts before it. A name is the one that results have: as it was handed
in, or the roster's id. `note` is for people.
"""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from msgspec import Struct, field

from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.settings import did_you_mean
from autograder.tables import Row, read_sheet, same_name
from autograder.text import listed, printable

EXTENSIONS_FILE = "extensions.csv"
COLUMNS = ("student", "unit", "due", "days", "excused", "note")
EVERY_UNIT = "*"
_YES, _NO = ("yes", "true", "x", "1"), ("", "no", "false", "0")
_MOST_DAYS = 366


class Extension(Struct, frozen=True, kw_only=True):
    """One line of the file; exactly one of `due`, `days` and `excused` is set."""

    student: str
    unit: str
    line: int
    due: datetime | None = None
    days: int | None = None
    excused: bool = False

    @property
    def where(self) -> str:
        """Where it stands, for a person."""
        return f"{EXTENSIONS_FILE}, line {self.line}"


class Extensions(Struct, frozen=True):
    """All of the file, by student and unit."""

    by_key: dict[tuple[str, str], Extension] = field(default_factory=dict)

    def of(self, student: str, unit: str) -> Extension | None:
        """What a student was granted for a unit."""
        name = same_name(student)
        return self.by_key.get((name, unit)) or self.by_key.get((name, EVERY_UNIT))

    def notes(self, course: Course, students: list[str]) -> list[str]:
        """Lines that change nothing, with the reason: an unknown name, a unit without a due date, a date too early.

        Args:
            students: everybody who has a result.
        """
        known: dict[str, list[str]] = {}
        for student in students:
            known.setdefault(same_name(student), []).append(student)
        said = []
        strangers: list[str] = []
        for extension in self.by_key.values():
            near = did_you_mean(same_name(extension.student), list(known)) if known else ""
            meant = known.get(same_name(extension.student), [])
            if len(meant) > 1:
                said.append(f"{extension.where}: holds for {listed(meant)}, who differ in capitals only")
            if not meant:
                if near.startswith("; did"):
                    said.append(f"{extension.where}: nobody called {printable(extension.student)} handed in{near}")
                elif extension.student not in strangers:
                    strangers.append(extension.student)
            elif not extension.excused and extension.unit != EVERY_UNIT:
                unit = course.unit(extension.unit)
                if unit.due is None:
                    said.append(f"{extension.where}: {unit.id} has no due date in course.toml, so nothing is late")
                elif extension.due is not None and extension.due <= unit.due:
                    said.append(f"{extension.where}: not later than {unit.id} is due anyway; the later date counts")
        if strangers:
            who = f"nobody called {listed(strangers)} handed in yet"
            said.append(f"{EXTENSIONS_FILE}: {who}; names are those of the results, or the ids of the roster")
        return said

    def due(self, course: Course, unit: Unit, student: str) -> datetime | None:
        """When a unit is due for a student; never earlier than for the others.

        More days end at the same time of day: where course.toml names a time zone, its summer time moves nothing.
        """
        extension = self.of(student, unit.id)
        if unit.due is None or extension is None or extension.excused:
            return unit.due
        if extension.due is not None:
            return max(unit.due, extension.due)
        local = unit.due.astimezone(course.zone) if course.zone is not None else unit.due
        return (local + timedelta(days=extension.days or 0)).astimezone(UTC)


def load_extensions(course: Course) -> Extensions:
    """Read the file, where there is one. Raises UsageError, which names every bad line with its key and the fix."""
    path = course.root / EXTENSIONS_FILE
    if not path.exists():
        return Extensions()
    return _Reading(course, path).read()


class _Reading:
    def __init__(self, course: Course, path: Path) -> None:
        self._course = course
        self._path = path
        self._sheet = read_sheet(path, "extensions")
        self._problems: list[str] = []
        self._found: dict[tuple[str, str], Extension] = {}

    def read(self) -> Extensions:
        for name in self._sheet.header:
            if name not in COLUMNS:
                self._say(self._sheet.line, f"unknown column {printable(name)!r}{did_you_mean(name, list(COLUMNS))}")
        for name in ("student", "unit"):
            if name not in self._sheet.header:
                self._say(self._sheet.line, f"no column {name!r}; the columns are {', '.join(COLUMNS)}")
        for line, problem in self._sheet.problems("a note") if not self._problems else ():
            self._say(line, problem)
        for row in self._sheet.rows if not self._problems else ():
            self._row(row)
        if self._problems:
            raise UsageError("\n".join(self._problems))
        return Extensions(self._found)

    def _say(self, line: int, problem: str) -> None:
        self._problems.append(f"{self._path}, line {line}: {problem}")

    def _row(self, row: Row) -> None:
        before = len(self._problems)
        student, unit = row.cells.get("student", ""), row.cells.get("unit", "")
        if not student:
            self._say(row.line, "student is empty; give the name that the results have")
        if unit != EVERY_UNIT and unit not in self._course.unit_ids:
            near = did_you_mean(unit, self._course.unit_ids)
            self._say(row.line, f"unit: no unit {printable(unit)!r} in course.toml{near} ({EVERY_UNIT} stands for all)")
        extension = Extension(
            student=student,
            unit=unit,
            line=row.line,
            due=self._due(row),
            days=self._days(row),
            excused=self._excused(row),
        )
        if len(self._problems) > before:
            return
        said = [extension.due is not None, extension.days is not None, extension.excused]
        if sum(said) != 1:
            what = "none is" if not any(said) else "more than one is"
            self._say(row.line, f"one of due, days and excused is needed, and {what} given")
        elif unit == EVERY_UNIT and extension.due is not None:
            self._say(row.line, f"due: one date for every unit ({EVERY_UNIT}); give days, or a line for each unit")
        elif (first := self._found.setdefault((same_name(student), unit), extension)) is not extension:
            self._say(row.line, f"student {printable(student)!r} has line {first.line} for the same unit; keep one")

    def _due(self, row: Row) -> datetime | None:
        text = row.cells.get("due", "")
        if not text:
            return None
        try:
            when = _moment(text)
        except ValueError:
            shown = printable(text)
            self._say(row.line, f"due: {shown!r} is not a time like 2026-12-20 23:59 or a date like 2026-12-20")
            return None
        if when.tzinfo is None:
            if self._course.zone is None:
                self._say(
                    row.line,
                    f"due: {printable(text)!r} has no time zone; write it like 2026-12-20 23:59+01:00, or name the "
                    'course\'s own in course.toml: timezone = "Europe/Berlin"',
                )
                return None
            when = when.replace(tzinfo=self._course.zone)
        try:
            return when.astimezone(UTC)  # dates of one zone would be compared by their clocks, whatever the season
        except OverflowError:
            self._say(row.line, f"due: {printable(text)!r} is beyond all time")
            return None

    def _days(self, row: Row) -> int | None:
        text = row.cells.get("days", "")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= _MOST_DAYS):
            self._say(row.line, f"days: {printable(text)!r} is not a whole number from 1 to {_MOST_DAYS}")
            return None
        return int(text)

    def _excused(self, row: Row) -> bool:
        text = row.cells.get("excused", "").casefold()
        if text not in (*_YES, *_NO):
            self._say(row.line, f"excused: {printable(text)!r} is neither yes nor no")
        return text in _YES


def _moment(text: str) -> datetime:
    """A time, or the end of a date. Raises ValueError."""
    text = text.removesuffix("UTC").strip() + "+00:00" if text.endswith("UTC") else text
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)
    try:
        return datetime.combine(day + timedelta(days=1), time())
    except OverflowError:
        raise ValueError(text) from None
