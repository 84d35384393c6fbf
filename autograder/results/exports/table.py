"""csv: one row for each student and unit, in a file that spreadsheets open and scripts read."""

from pathlib import Path

from autograder.course import Unit
from autograder.results.exports.gathered import Gathered, csv_text, utc, write_file
from autograder.results.late import Counted
from autograder.text import CsvField, csv_field, csv_number

HEADER = (
    *("student", "unit", "score", "max_score", "earned", "late_penalty", "slip_days", "pending", "status"),
    *("due", "submitted_at", "graded_at", "fingerprint"),
)


def export(gathered: Gathered, out: Path) -> list[Path]:
    """Write OUT. A score that does not exist is an empty cell, never 0. UTF-8 with a mark, which Excel needs."""
    rows = [[CsvField(name) for name in HEADER]]
    rows += [_row(gathered, student, unit, counted) for student, unit, counted in gathered.rows()]
    return [write_file(out, "\ufeff" + csv_text(rows))]


def _row(gathered: Gathered, student: str, unit: Unit, counted: Counted | None) -> list[CsvField]:
    excused = gathered.is_excused(student, unit)
    most = csv_number(unit.points)
    if counted is None:
        empty = CsvField("")
        said = CsvField(
            "excused" if excused else "unreadable" if gathered.is_unread(student, unit) else "not handed in"
        )
        return [csv_field(student), csv_field(unit.id), empty, most, *[empty] * 4, said, *[empty] * 4]
    grade, result = counted.grade, counted.result
    status = "excused" if excused else "pending" if grade.pending else "too late" if grade.cut_off else "graded"
    return [
        csv_field(student),
        csv_field(unit.id),
        CsvField("") if excused else csv_number(grade.score),
        csv_number(grade.max_score),
        csv_number(grade.earned),
        csv_number(grade.penalty),
        csv_number(grade.slip_days),
        csv_number(grade.pending),
        CsvField("grader error" if result.has_grader_error() else status),
        csv_field(utc(grade.due)),
        csv_field(utc(grade.submitted_at)),
        csv_field(result.graded_at),
        csv_field(result.fingerprint),
    ]
