"""What the gradebook holds already, so that a class with nothing new needs neither nbgrader nor a transaction.

Beside the results lies, for every student and unit, a digest of what was written, and a mark of the database file as it
was then. Where anybody has changed the file since, or it is no file, all is written again.
"""

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from autograder.course import Course
from autograder.errors import UsageError
from autograder.results import feedback
from autograder.results.late import Counted
from autograder.results.record import write_atomically

RECORDED_FILE = ".gradebook.json"
_SQLITE = "sqlite:///"
_HEADER_BYTES = 100  # of an SQLite file; it counts the file's changes


class _Held(Struct):
    database: str
    held: dict[str, str]


class Recorded:
    """The digests that lie in a folder of results, for the gradebook at `url`."""

    def __init__(self, out: Path, url: str) -> None:
        self._path, self._url = out / RECORDED_FILE, url
        self._held: dict[str, str] = {}
        try:
            known = msgspec.json.decode(self._path.read_bytes(), type=_Held)
        except (OSError, msgspec.DecodeError):
            return
        if known.database == self._mark():
            self._held = known.held

    def holds(self, counted: Counted, digest: str) -> bool:
        """Whether the gradebook has this already."""
        return self._held.get(_key(counted)) == digest

    def remember(self, counted: Counted, digest: str) -> None:
        """It is being written; `save` comes once it was."""
        self._held[_key(counted)] = digest

    def save(self) -> None:
        """Keep the digests beside the results. Raises UsageError."""
        mark = self._mark()
        if mark is None:
            return
        try:
            write_atomically(self._path, msgspec.json.encode(_Held(mark, self._held)))
        except OSError as error:
            raise UsageError(
                f"{self._path} cannot be written: {error.strerror}; results and gradebook are complete: mend this"
            ) from None

    def _mark(self) -> str | None:
        """Changes with every change of the database; None where that cannot be told."""
        if not self._url.startswith(_SQLITE):
            return None
        path = Path(self._url.removeprefix(_SQLITE))
        try:
            with path.open("rb") as file:
                header = file.read(_HEADER_BYTES)
            stat = path.stat()
        except OSError:
            return None
        return f"{self._url} {stat.st_size} {stat.st_mtime_ns} {hashlib.sha256(header).hexdigest()[:16]}"


def digest_of(course: Course, counted: Counted) -> str:
    """Of all that the gradebook gets of a result: points, comments, times, and what the unit is like."""
    unit = course.unit(counted.result.unit)
    level = feedback.level_now(course, unit, due=counted.grade.due)
    told = [(e.id, e.score, feedback.comment(e, level)) for e in counted.result.exercises]
    return hashlib.sha256(msgspec.json.encode([counted.grade, unit, told])).hexdigest()[:24]


def _key(counted: Counted) -> str:
    return f"{counted.result.unit}/{counted.result.student}"
