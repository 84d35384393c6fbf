"""What grading again changes: who, where, by how much, and why; `grade --dry-run` shows it, and nothing is written."""

from collections.abc import Mapping

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.results.late import Counted
from autograder.results.record import UnitResult
from autograder.text import decimal, printable

WHOLE = "(late policy included)"
EMPTY = "-"


class Change(Struct, frozen=True, kw_only=True):
    """One line: an exercise's points before and after, or a unit's with the late policy. None where there was none."""

    student: str
    unit: str
    exercise: str  # empty for the unit
    old: float | None
    new: float
    why: str


Settled = Mapping[str, Mapping[str, Counted]]  # student -> unit -> what counts


def changes(before: Settled, after: Settled) -> list[Change]:
    """Every exercise and every unit whose points change, of the students who are in `after`."""
    found = []
    for student, units in sorted(after.items()):
        for unit, new in units.items():
            old = before.get(student, {}).get(unit)
            why = _why(old, new)
            scores = {} if old is None else {exercise.id: exercise.score for exercise in old.result.exercises}
            found += [
                Change(student=student, unit=unit, exercise=e.id, old=scores.get(e.id), new=e.score, why=why)
                for e in new.result.exercises
                if scores.get(e.id) != e.score
            ]
            total = None if old is None else old.grade.score
            if total != new.grade.score:
                found.append(Change(student=student, unit=unit, exercise="", old=total, new=new.grade.score, why=why))
    return found


def _why(old: Counted | None, new: Counted) -> str:
    """What is not as it was when the old result was made."""
    if old is None:
        return "first graded"
    parts = differing(old.result, new.result)
    if not parts and old.result.submitted_at != new.result.submitted_at:
        return "time of hand-in"
    if not parts and old.result is new.result:
        return "slip days"
    return ", ".join(parts) or "graded again"


def differing(old: UnitResult, new: UnitResult) -> list[str]:
    """The parts of the basis in which two results differ, in words."""
    a, b = old.basis, new.basis
    if not a.grader:
        return ["graded by an earlier version"]
    parts = [name for name in ("submission", "grader", "course") if getattr(a, name) != getattr(b, name)]
    versions = [
        f"{name} {a.versions.get(name, 'none')} -> {b.versions.get(name, 'none')}"
        for name in sorted({*a.versions, *b.versions})
        if a.versions.get(name) != b.versions.get(name)
    ]
    return [*parts, *versions]


def show_changes(found: list[Change], console: Console) -> None:
    """The table of changes; a unit's line says what counts in the end."""
    table = Table(title=None, box=None, pad_edge=False)
    for name in ("student", "unit", "exercise"):
        table.add_column(name, no_wrap=True)
    for name in ("old", "new"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why")
    for change in found:
        table.add_row(
            Text(printable(change.student, 128)),  # SECURITY: a Text has no markup, and nothing unseen is in it
            change.unit,
            change.exercise or WHOLE,
            EMPTY if change.old is None else decimal(change.old),
            decimal(change.new),
            Text(printable(change.why, 110)),
        )
    if found:
        console.print(table)
