"""roster.csv: whatever a platform calls a person -> the student's id in this course.

    student,name,moodle,canvas
    ada,Ada Lovelace,1234567,lovelaceada

The first column is the id; every other cell of the row is a name or id that stands for it.
"""

from collections.abc import Sequence
from pathlib import Path

from autograder.errors import UsageError
from autograder.tables import read_table, same_name

OPTION = "--roster"


class Roster:
    """Who is meant by a name. Without a file everybody keeps the name they came with."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._students: dict[str, str] = {}
        for number, row in enumerate(read_table(path, OPTION) if path is not None else [], start=2):
            student, *others = row.values()
            if not student:
                raise UsageError(f"{OPTION} {path}, line {number}: the first column, the student's id, is empty")
            for name in filter(None, (student, *others)):
                known = self._students.setdefault(same_name(name), student)
                if known != student:
                    raise UsageError(f"{OPTION} {path}: {name!r} stands for {known!r} and for {student!r}")

    def student(self, names: Sequence[str]) -> str | None:
        """The student's id, by the first of the names that the roster has."""
        return next((self._students[key] for key in map(same_name, names) if key in self._students), None)
