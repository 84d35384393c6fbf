"""roster.csv: whatever a platform calls a person -> the student's id in this course.

    student,name,moodle,canvas
    ada,Ada Lovelace,1234567,lovelaceada

The first column is the id; every other cell of the row is a name or id that stands for it. A cell that several students
have (two of one name, a section, a hyphen) stands for none of them, as long as each has another of their own.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from autograder.errors import UsageError
from autograder.tables import Row, read_people, same_name

OPTION = "--roster"


def _is_canvas_heading(row: Row) -> bool:
    """Whether it is one of the rows that a gradebook downloaded from Canvas has before its students."""
    is_canvas = {"student", "id", "section"} <= row.cells.keys() and not row.cells["id"]
    return is_canvas and row.cells["student"].casefold() in ("", "points possible")


class Roster:
    """Who is meant by a name. Without a file everybody keeps the name they came with."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._students: dict[str, str] = {}
        self._shared: dict[str, list[str]] = {}
        self._details: dict[str, dict[str, str]] = {}
        rows = (
            [row for row in read_people(path, OPTION).rows if not _is_canvas_heading(row)] if path is not None else []
        )
        meant: dict[str, dict[str, int]] = defaultdict(dict)  # a name or id -> whose it is, and on which line
        for row in rows:
            student, *others = row.cells.values()
            if not student:
                raise UsageError(f"{OPTION} {path}, line {row.line}: the first column, the student's id, is empty")
            for name in filter(None, (student, *others)):
                meant[same_name(name)].setdefault(student, row.line)
            self._details.setdefault(student, {}).update({key: cell for key, cell in row.cells.items() if cell})
        self._students = {name: next(iter(whose)) for name, whose in meant.items() if len(whose) == 1}
        self._shared = {name: list(whose) for name, whose in meant.items() if len(whose) > 1}
        ids = set(map(same_name, self._details))
        told_apart = {student for name, student in self._students.items() if name not in ids}
        for name, students in self._shared.items():
            if name in ids or not told_apart.issuperset(students):
                both = " and for ".join(map(repr, students[:2]))
                lines = " and ".join(str(line) for line in list(meant[name].values())[:2])
                raise UsageError(
                    f"{OPTION} {path}, lines {lines}: {name!r} stands for {both}; give each of them a name or number "
                    "of their own, or leave out a column that is no name"
                )

    @property
    def students(self) -> list[str]:
        """Every student's id, in the order of the file."""
        return list(self._details)

    def student(self, names: Sequence[str]) -> str | None:
        """The student's id, by the first of the names that the roster has."""
        return next((self._students[key] for key in map(same_name, names) if key in self._students), None)

    def shared(self, names: Sequence[str]) -> list[str]:
        """The students who have one of these names in common, so that it stands for none of them."""
        return next((self._shared[key] for key in map(same_name, names) if key in self._shared), [])

    def details(self, student: str) -> dict[str, str]:
        """The cells of a student's row by column, in small letters; empty for one who is not in it."""
        known = self._students.get(same_name(student))
        return self._details.get(known, {}) if known is not None else {}
