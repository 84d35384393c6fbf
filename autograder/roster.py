"""roster.csv: whatever a platform calls a person -> the student's id in this course.

    student,name,moodle,canvas
    ada,Ada Lovelace,1234567,lovelaceada

The first column is the id; every other cell of the row is a name or id that stands for it.
"""

from collections.abc import Sequence
from pathlib import Path

from autograder.errors import UsageError
from autograder.tables import read_sheet, same_name

OPTION = "--roster"


class Roster:
    """Who is meant by a name. Without a file everybody keeps the name they came with."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._students: dict[str, str] = {}
        self._details: dict[str, dict[str, str]] = {}
        for row in read_sheet(path, OPTION).rows if path is not None else []:
            student, *others = row.cells.values()
            if not student:
                raise UsageError(f"{OPTION} {path}, line {row.line}: the first column, the student's id, is empty")
            for name in filter(None, (student, *others)):
                known = self._students.setdefault(same_name(name), student)
                if known != student:
                    raise UsageError(f"{OPTION} {path}: {name!r} stands for {known!r} and for {student!r}")
            self._details.setdefault(student, {}).update({key: cell for key, cell in row.cells.items() if cell})

    @property
    def students(self) -> list[str]:
        """Every student's id, in the order of the file."""
        return list(self._details)

    def student(self, names: Sequence[str]) -> str | None:
        """The student's id, by the first of the names that the roster has."""
        return next((self._students[key] for key in map(same_name, names) if key in self._students), None)

    def details(self, student: str) -> dict[str, str]:
        """The cells of a student's row by column, in small letters; empty for one who is not in it."""
        known = self._students.get(same_name(student))
        return self._details.get(known, {}) if known is not None else {}
