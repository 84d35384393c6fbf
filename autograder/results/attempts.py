"""All results of a class, as they lie in its folder: `result.json` of the latest submission, and, where the best one
counts, `attempts/<digest>.json` of the earlier ones. Which of them counts is late.py's to say.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from autograder.course import Course
from autograder.errors import UsageError
from autograder.results.folders import STUDENTS, result_path, safe_name
from autograder.results.record import (
    UnitResult,
    encode_json,
    read_result,
    why_unreadable,
    write_atomically,
    write_result,
)

ATTEMPTS = "attempts"


class ClassResults(Struct):
    """student -> unit -> results, the latest first; and what could not be used, in words and by folder and unit."""

    by_student: dict[str, dict[str, list[UnitResult]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    unread: set[tuple[str, str]] = field(default_factory=set)

    def why_left_out(self, student: str, unit: str) -> str:
        """Why a result could not be used: this student's, or else the first one of anybody; empty where all could."""
        own = f"{STUDENTS}/{safe_name(student)}/{unit}/"
        return next((said for said in self.left_out if said.startswith(own)), next(iter(self.left_out), ""))

    def all(self) -> Iterator[UnitResult]:
        """Every result, of one student and unit the latest first."""
        for units in self.by_student.values():
            for results in units.values():
                yield from results


def read_submissions(out: Path, student: str, unit: str) -> list[UnitResult]:
    """Every result of a student for a unit, the latest first; empty where there is none that can be read."""
    path = result_path(out, student, unit)
    latest = read_result(path)
    earlier = [result for file in path.parent.glob(f"{ATTEMPTS}/*.json") if (result := read_result(file)) is not None]
    earlier.sort(key=lambda result: (result.graded_at, result.fingerprint), reverse=True)
    if latest is None:
        return earlier
    return [latest, *(result for result in earlier if _digest(result) != _digest(latest))]


def not_among(out: Path, keys: Collection[tuple[str, str]]) -> list[str]:
    """Results of the units of some submissions, (student, unit), that are of none of them: `<folder>/<unit>` each."""
    units = {unit for _, unit in keys}
    known = {(safe_name(student), unit) for student, unit in keys}
    found = [path.parts[-3:-1] for path in (out / STUDENTS).glob("*/*/result.json")]
    return sorted(f"{student}/{unit}" for student, unit in found if unit in units and (student, unit) not in known)


def require_results(out: Path, hint: str = "") -> None:
    """Raises UsageError, with a hint at its end, where nothing was ever graded into this folder."""
    if not (out / STUDENTS).is_dir():
        raise UsageError(f"{out} holds no results: give the folder that `autograder grade --out` wrote{hint}")


def read_class(out: Path, course: Course) -> ClassResults:
    """Every result in a folder of results that belongs to the course and is what its place says."""
    found = ClassResults()
    for path in sorted((out / STUDENTS).glob("*/*/result.json")):
        name = path.relative_to(out)
        result = read_result(path)
        if result is None:
            reason = why_unreadable(path)
        elif result.course != course.id:
            reason = f"of the course {result.course!r}, not of {course.id!r}"
        elif result.unit not in course.unit_ids:
            reason = f"of the unit {result.unit!r}, which course.toml does not have (any more)"
        elif (safe_name(result.student), result.unit) != path.parts[-3:-1]:
            reason = f"says it is of {result.student!r} and {result.unit}; results are not moved by hand"
        else:
            units = found.by_student.setdefault(result.student, {})
            units[result.unit] = read_submissions(out, result.student, result.unit)
            continue
        found.left_out.append(f"{name}: {reason}")
        found.unread.add((path.parts[-3], path.parts[-2]))
    return found


def read_students(out: Path, course: Course, students: Iterable[str]) -> dict[str, dict[str, list[UnitResult]]]:
    """Every result of some students: student -> unit -> results, the latest first."""
    return {
        student: {unit: found for unit in course.unit_ids if (found := read_submissions(out, student, unit))}
        for student in students
    }


def write_latest(out: Path, course: Course, result: UnitResult) -> None:
    """Write the result of the latest submission. Where the best one counts, what it replaces is kept beside it.

    Nothing is kept of the same submission graded before: the newer grader's word counts.
    """
    path = result_path(out, result.student, result.unit)
    attempts = path.parent / ATTEMPTS
    before = read_result(path)
    if course.policy.keep == "best" and before is not None and _digest(before) != _digest(result):
        write_atomically(attempts / f"{_digest(before)}.json", encode_json(before))
    write_result(out, result)
    (attempts / f"{_digest(result)}.json").unlink(missing_ok=True)
    try:
        os.rmdir(attempts)  # when it is empty
    except OSError:
        pass


def after_writing(course: Course, before: Sequence[UnitResult], result: UnitResult) -> list[UnitResult]:
    """What `read_submissions` will find once `result` is written where `before` was found."""
    kept = before if course.policy.keep == "best" else before[1:]
    return [result, *(other for other in kept if _digest(other) != _digest(result))]


def _digest(result: UnitResult) -> str:
    """Names the submission; a result of an earlier version tells its fingerprint only."""
    return (result.basis.submission or result.fingerprint.removeprefix("sha256:"))[:32]
