"""When a submission was handed in, and who says so.

Believed are, in this order: the instructor's table (`--submitted-at`), the platform's metadata, and the `timestamp.txt`
that nbgrader's exchange writes into a folder submission. Never what the student's own bytes say: an archive, a page, a
commit.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from autograder.course import Course
from autograder.errors import UsageError
from autograder.intake.files import Entry, Unreadable
from autograder.tables import column, read_table, same_name
from autograder.text import printable

TIMESTAMP = "timestamp.txt"
OPTION = "--submitted-at"
_SKEW = timedelta(minutes=10)  # clocks differ
_STUDENT = ("student", "student_id", "id", "username", "login", "email", "name", "full name")
_TIME = ("submitted_at", "submitted", "time", "timestamp", "date", "submission time", "last modified (submission)")
_UNIT = ("unit", "assignment")


class Stamp(Struct, frozen=True):
    """A time and where it stands. `problem` says what is wrong with it, or why there is none."""

    when: datetime | None = None
    problem: str | None = None


def parse_time(text: str) -> datetime:
    """A time like 2026-11-30 10:00:00 UTC; without a zone it is UTC. Raises ValueError with the reason."""
    shown = repr(printable(text.strip()))
    try:
        when = datetime.fromisoformat(text.strip().removesuffix(" UTC").strip())
    except ValueError:
        raise ValueError(f"{shown} is not a time like 2026-11-30 10:00:00 UTC") from None
    try:  # SECURITY: at the edge of time there is no such moment in UTC, and no message can carry it
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"{shown} is beyond all time") from None


def stamp(text: str, source: str) -> Stamp:
    """The time that `source` gives, with what is wrong with it.

    A time that is still to come is shown and kept: whoever wrote it too late did not do so to gain by it.
    """
    try:
        when = parse_time(text)
    except ValueError as error:
        return Stamp(problem=f"{source}: {error}; it counts as handed in on time, or give the time with {OPTION}")
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
        rows = read_table(path, OPTION)
        student, when = column(rows, _STUDENT, path, OPTION), column(rows, _TIME, path, OPTION)
        unit = next((name for name in _UNIT if rows and name in rows[0]), None)
        self._times: dict[tuple[str, str], str] = {}
        self._asked: set[str] = set()
        for number, row in enumerate(rows, start=2):
            of = row.get(unit, "") if unit else ""
            if of and of not in course.unit_ids:
                raise UsageError(f"{OPTION} {path}, line {number}: no unit {of!r} in course.toml")
            key = (same_name(row.get(student, "")), of)
            if key in self._times and self._times[key] != row.get(when, ""):
                raise UsageError(f"{OPTION} {path}, line {number}: a second time for {row.get(student)!r}")
            self._times[key] = row.get(when, "")

    def stamp(self, names: Sequence[str], unit: str) -> Stamp | None:
        """The time of a student who is known by these names, None where the table has no such row."""
        for name in map(same_name, names):
            for key in ((name, unit), (name, "")):
                if key in self._times:
                    self._asked.add(name)
                    return stamp(self._times[key], self.path.name)
        return None

    def unused(self) -> list[str]:
        """Students of the table who handed in nothing that was read."""
        return sorted({name for name, _ in self._times} - self._asked)
