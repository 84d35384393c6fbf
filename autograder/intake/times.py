"""When a submission was handed in, and who says so.

Believed are, in this order: the instructor's table (`--submitted-at`), the platform's metadata, and the `timestamp.txt`
that nbgrader's exchange writes into a folder submission. Never what the student's own bytes say: an archive, a page, a
commit.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from msgspec import Struct

from autograder.course import Course
from autograder.errors import UsageError
from autograder.extensions import EVERY_UNIT
from autograder.intake.files import Entry, Unreadable
from autograder.settings import did_you_mean
from autograder.tables import column, read_people, same_name
from autograder.text import listed, printable

TIMESTAMP = "timestamp.txt"
OPTION = "--submitted-at"
ON_TIME = "it counts as handed in on time"  # what follows from a problem, unless there is another time
_SKEW = timedelta(minutes=10)  # clocks differ
_STUDENT = ("student", "student_id", "id", "username", "login", "email", "name", "full name")
_TIME = ("submitted_at", "submitted", "time", "timestamp", "date", "submission time", "last modified (submission)")
_UNIT = ("unit", "assignment")
_NO_TIME = ("", "-")  # as Moodle has it of who did not hand in
_BEFORE_OFFSET = re.compile(r"\s+(?=[+-]\d\d:?\d\d$)")
_MOODLE = "%A, %d %B %Y, %I:%M %p"


class Stamp(Struct, frozen=True):
    """A time and where it stands. `problem` says what is wrong with it, or why there is none."""

    when: datetime | None = None
    problem: str | None = None


def parse_time(text: str, zone: tzinfo = UTC) -> datetime:
    """A time like 2026-11-30 10:00:00 UTC; without a zone it is one of `zone`. Raises ValueError with the reason.

    Also as Gradescope has it (`2026-11-30 10:00:00 -0800`) or an English Moodle (`Monday, 30 November 2026, 10:00 AM`).
    """
    shown = repr(printable(text.strip()))
    plain = text.strip()
    if plain.endswith(("UTC", "GMT")):
        plain = f"{plain[:-3].rstrip()}+00:00"
    try:
        when = datetime.fromisoformat(_BEFORE_OFFSET.sub("", plain))
    except ValueError:
        try:
            when = datetime.strptime(plain, _MOODLE)
        except ValueError:
            raise ValueError(f"{shown} is not a time like 2026-11-30 10:00:00 UTC") from None
    try:  # SECURITY: at the edge of time there is no such moment in UTC, and no message can carry it
        return (when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{shown} is beyond all time") from None


def stamp(text: str, source: str, zone: tzinfo = UTC) -> Stamp:
    """The time that `source` gives, with what is wrong with it.

    A time that is still to come is shown and kept: whoever wrote it too late did not do so to gain by it.
    """
    try:
        when = parse_time(text, zone)
    except ValueError as error:
        return Stamp(problem=f"{source}: {error}; {ON_TIME}, or give the time with {OPTION}")
    return judged(when, source)


def judged(when: datetime, source: str) -> Stamp:
    """The same for a time that was read already."""
    if when > datetime.now(UTC) + _SKEW:
        shown = when.strftime("%Y-%m-%d %H:%M UTC")
        return Stamp(when, f"{source}: {shown} is still to come; the right time can be given with {OPTION}")
    return Stamp(when)


def exchange_stamp(entry: Entry) -> Stamp:
    """What nbgrader's exchange wrote beside the pages."""
    try:
        return stamp(entry.read()[:100].decode("utf-8", "replace"), TIMESTAMP)
    except Unreadable as error:
        return Stamp(problem=f"{TIMESTAMP}: {error}")


class SubmittedAt:
    """The instructor's table: who handed in when, for one unit or for all."""

    def __init__(self, path: Path, course: Course) -> None:
        self.path = path
        self._zone = course.zone or UTC
        sheet = read_people(path, OPTION)
        student, when = column(sheet, _STUDENT, path, OPTION), column(sheet, _TIME, path, OPTION)
        unit = next((name for name in _UNIT if name in sheet.header), None)
        self._times: dict[tuple[str, str], str] = {}
        self._lines: dict[tuple[str, str], int] = {}
        self._asked: set[str] = set()
        self._unread: dict[int, str] = {}
        problems = []
        for row in sheet.rows:
            name, of, time = row.cells[student], row.cells[unit] if unit else "", row.cells[when]
            of = "" if of == EVERY_UNIT else of
            self._lines.setdefault((same_name(name), of), row.line)
            if not name:
                problems.append(f"line {row.line}: {student} is empty; give the student's name or id")
            elif of and of not in course.unit_ids:
                near = did_you_mean(of, course.unit_ids)
                problems.append(f"line {row.line}: no unit {printable(of)!r} in course.toml{near}")
            elif self._times.setdefault((same_name(name), of), time) != time:
                problems.append(f"line {row.line}: a second time for {printable(name)!r}; keep one")
        if problems:
            raise UsageError("\n".join(f"{OPTION} {path}, {problem}" for problem in problems))

    def stamp(self, names: Sequence[str], unit: str) -> Stamp | None:
        """The time of a student who is known by these names, None where the table has no such row, or no time in it."""
        for name in map(same_name, names):
            for key in ((name, unit), (name, "")):
                if key in self._times:
                    self._asked.add(name)
                    text = self._times[key]
                    if text in _NO_TIME:
                        return None
                    found = stamp(text, self.path.name, self._zone)
                    if found.when is None:
                        self._unread[self._lines[key]] = text
                    return found
        return None

    def unread(self) -> str:
        """Which times of those that were asked for cannot be read, in words; empty where all can."""
        if not self._unread:
            return ""
        shown = listed([f"line {line} {text!r}" for line, text in sorted(self._unread.items())])
        return f"{self.path.name}: no time can be read in {shown}; write it like 2026-11-30 10:00:00 UTC"

    def unused(self) -> list[str]:
        """Students of the table who handed in nothing that was read."""
        return sorted({name for name, _ in self._times} - self._asked)
