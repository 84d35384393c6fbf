"""What one call of `grade` did: a row for every submission, and how the terminal and `--json` show it.

Results themselves are read one at a time, from where they lie: a class of thousands is never in memory.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import UNSET, Struct
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.commands.changes import Change, show_changes
from autograder.results.folders import STUDENTS
from autograder.results.late import Counted, Grade
from autograder.results.record import Outcome, UnitResult
from autograder.rooms.batch import Run
from autograder.text import listed, printable


class Row(Struct, frozen=True, kw_only=True):
    """What the table says of a submission: what counts of the student now, and why points are missing.

    `earned` and `max_score` are of the latest submission; `faults` are its tests that ended in a grader error.
    """

    grade: Grade
    earned: float
    max_score: float
    remark: str
    faults: list[str]


def row_of(result: UnitResult, counted: Counted) -> Row:
    """The row of a submission with its latest result and what counts."""
    faults = []
    for test in (t for e in result.exercises for t in e.tests if t.outcome is Outcome.GRADER_ERROR):
        last = printable(test.message.strip().splitlines()[-1], 200) if test.message else ""
        faults.append(f"grader error: {printable(result.student, 128)}/{result.unit}: {test.name}: {last}")
    grade = counted.grade
    return Row(
        grade=grade,
        earned=float(result.earned),
        max_score=result.max_score,
        remark=printable(_remark(result, grade), 110),
        faults=faults,
    )


class Place(Struct, frozen=True):
    """A student's unit in the folder: the digests of the latest submission and of the one that counts, and its time."""

    student: str
    unit: str
    latest: str
    counts: str
    submitted_at: datetime | None


class Report(Struct, frozen=True, kw_only=True):
    """What one call of `grade` did; `read` gives the latest result of a student and unit."""

    rows: list[Row]
    read: Callable[[str, str], UnitResult]
    fresh: int
    passed_over: list[str]
    notes: list[str]
    isolation: str
    seed_id: str
    gradebook: str | None
    course_folder: str | None = None
    dry_run: bool = False
    changes: list[Change] = []  # of a dry run

    @property
    def our_fault(self) -> bool:
        """Whether a test ended in a grader error."""
        return any(row.faults for row in self.rows)

    @property
    def grades(self) -> list[Grade]:
        """What counts of every submission."""
        return [row.grade for row in self.rows]

    def write_json(self, stream: BinaryIO) -> None:
        """Write the report as `grade --json` prints it, one result at a time."""
        write = stream.write
        write(b'{\n  "results": ')
        _write_list(write, (self.read(row.grade.student, row.grade.unit) for row in self.rows))
        write(b',\n  "grades": ')
        _write_list(write, (row.grade for row in self.rows))
        rest = {name: getattr(self, name) for name in _REST}
        write(b"," + msgspec.json.format(msgspec.json.encode(rest), indent=2)[1:] + b"\n")


_REST = ("fresh", "passed_over", "notes", "isolation", "seed_id", "gradebook", "course_folder", "dry_run", "changes")


def _write_list(write: Callable[[bytes], object], items: Iterator[Any]) -> None:
    separator = b"[\n    "
    for item in items:
        write(separator + msgspec.json.format(msgspec.json.encode(item), indent=2).replace(b"\n", b"\n    "))
        separator = b",\n    "
    write(b"[]" if separator.startswith(b"[") else b"\n  ]")


def show(report: Report, out: Path, console: Console) -> None:
    """The table of a class, and where everything lies."""
    table = Table(title=None, box=None, pad_edge=False)
    student_width = max((cell_len(printable(row.grade.student, 128)) for row in report.rows), default=0)
    unit_width = max((len(row.grade.unit) for row in report.rows), default=0)
    table.add_column("student", min_width=student_width, no_wrap=True)
    table.add_column("unit", min_width=unit_width, no_wrap=True)
    table.add_column("score", justify="right", min_width=5, no_wrap=True)
    table.add_column("of", justify="right", min_width=3, no_wrap=True)
    table.add_column("")  # the one that gives way on a narrow terminal
    for row in report.rows:
        table.add_row(
            Text(printable(row.grade.student, 128)),  # SECURITY: a Text has no markup, and nothing unseen is in it
            row.grade.unit,
            f"{row.grade.score:g}",
            f"{row.max_score:g}",
            Text(row.remark),
        )
    console.print(table)
    for line in report.passed_over:
        console.print(f"passed over: {line}", markup=False)
    for line in report.notes:
        console.print(f"note: {line}", markup=False)
    _show_faults(report, console)
    standing = len(report.rows) - report.fresh
    console.print(
        f"graded {report.fresh}, unchanged {standing}; isolation {report.isolation}; seed id {report.seed_id}",
        markup=False,
    )
    console.print(f"results: {out}/{STUDENTS}/<student>/<unit>/result.json", markup=False)
    if report.gradebook:
        console.print(f"gradebook: {report.gradebook}", markup=False)
    if report.course_folder:
        console.print(f"nbgrader's course folder: {report.course_folder}", markup=False)


def _show_faults(report: Report, console: Console) -> None:
    for row in report.rows:
        for fault in row.faults:
            console.print(fault, style="red", markup=False)


def show_dry(report: Report, run: Run, console: Console) -> None:
    """What would change, and how to make it so."""
    show_changes(report.changes, console)
    for line in report.passed_over:
        console.print(f"passed over: {line}", markup=False)
    for line in report.notes:
        console.print(f"note: {line}", markup=False)
    _show_faults(report, console)
    students = len({change.student for change in report.changes})
    console.print(
        f"dry run, nothing was written: {report.fresh} graded again, {len(report.rows) - report.fresh} unchanged; "
        f"{students} {'student changes' if students == 1 else 'students change'}",
        markup=False,
    )
    if report.fresh or report.changes:
        console.print(
            f"the same command without --dry-run applies it; --seed {run.seed.hex()} draws the same inputs",
            markup=False,
        )


def describe_lateness(grade: Grade) -> str:
    """What the late policy did, in a few words; nothing where it did nothing."""
    if grade.excused:
        return "excused"
    if grade.cut_off:
        return "too late to count"
    slipped = f"{grade.slip_days} slip day{'s' if grade.slip_days > 1 else ''} spent" if grade.slip_days else ""
    return ", ".join(filter(None, [f"late: -{grade.penalty:g}" if grade.penalty else "", slipped]))


def _remark(result: UnitResult, grade: Grade) -> str:
    """What counts and since when, then the first thing that explains a lost point."""
    pending = f"{grade.pending:g} pending" if grade.pending else ""
    earlier = "an earlier submission counts" if grade.earned != float(result.earned) else ""
    problem = result.problems[0] if result.problems else ""
    return "; ".join(filter(None, [pending, describe_lateness(grade), earlier, problem, _lost(result)]))


def _lost(result: UnitResult) -> str:
    """The first exercise that lost points, and how."""
    short = [e for e in result.exercises if e.score < e.max_score - e.pending]
    first = next((t for e in short for t in e.tests if not t.outcome.is_fine), None)
    if first is None:
        return ""
    what = first.outcome.value.replace("_", " ")
    if result.score == 0 and first.outcome is Outcome.MISSING:
        what = _nothing(result)
    more = f" and {len(short) - 1} more" if len(short) > 1 else ""
    named = f" ({first.misconception})" if first.misconception else ""
    return f"{short[0].id}{more}: {what}{named}"


def _nothing(result: UnitResult) -> str:
    """Why a submission without a point has none: nothing came, or what came defines nothing that was asked for."""
    loads = [] if result.pages is UNSET else result.pages
    idle = [load.page for load in loads if load.ended and not load.defines]
    if not loads:
        return "nothing handed in, or as it was released"
    return f"{listed(idle)} was read and defines none of the exercises" if idle else Outcome.MISSING.value
