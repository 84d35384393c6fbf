"""`autograder show`: how a score came about, test by test, and the command that repeats it. Reads result files only."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.extensions import load_extensions
from autograder.results.attempts import read_class, require_results
from autograder.results.late import Counted, Grade, grade, settle
from autograder.results.record import ExerciseResult, Outcome, UnitResult
from autograder.rooms.batch import SUBMITTED, read_runs
from autograder.settings import did_you_mean
from autograder.tables import same_name
from autograder.text import decimal, listed, printable, readable


class Shown(Struct, frozen=True, kw_only=True):
    """All that is told about one student's unit."""

    counted: Counted
    others: list[Grade]
    keep: str
    command: str
    seed: str | None

    def to_json(self) -> str:
        """As `show --json` prints it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def find(course: Course, student: str, unit: Unit, out: Path) -> Shown:
    """What counts for a student and a unit. Raises UsageError where there is none."""
    require_results(out, ", with --out")
    extensions = load_extensions(course)
    found = read_class(out, course)
    alike = [name for name in found.by_student if same_name(name) == same_name(student)]
    name = student if student in alike else alike[0] if len(alike) == 1 else None
    if name is None or unit.id not in found.by_student[name]:
        units = list(found.by_student[name]) if name is not None else []
        what = f"{printable(student)} has no result for {unit.id}" if units else f"no result of {printable(student)}"
        near = did_you_mean(same_name(student), list(map(same_name, found.by_student)))
        more = f"; there is {', '.join(units)}" if units else f"; there are {listed(alike)}" if alike else near
        why = found.why_left_out(name or student, unit.id)
        left = f"; not read: {why}" if why else ""
        raise UsageError(f"{what} in {out}{more}{left}")
    counted = settle(course, extensions, found.by_student[name])[unit.id]
    runs, seed_id = read_runs(out), counted.result.seed_id
    seed = runs.get(seed_id)
    command = ["autograder", "grade", runs.get(f"{seed_id} {SUBMITTED}", "SUBMITTED"), "--unit", unit.id]
    command += ["--student", name, "--out", str(out), "--isolation", counted.result.isolation, "--regrade", "--dry-run"]
    return Shown(
        counted=counted,
        others=[grade(course, extensions, other) for other in counted.others],
        keep=course.policy.keep,
        command=shlex.join([*command, *(["--seed", seed] if seed else [])]),
        seed=seed,
    )


def render(shown: Shown, console: Console) -> None:
    """Everything in plain lines; what students wrote is indented and holds nothing unseen."""
    for line in _lines(shown):
        console.print(line, markup=False, soft_wrap=True)


def _lines(shown: Shown) -> list[str]:
    grade, result = shown.counted.grade, shown.counted.result
    score = f"{decimal(grade.score)} of {decimal(grade.max_score)}"
    excused = " (excused: does not count)" if grade.excused else ""
    lines = [
        f"{printable(grade.student, 128)}, {grade.unit}: {score}{excused}",
        f"  tests       {decimal(grade.earned)} of {decimal(grade.max_score)}",
        f"  late        {_late(grade)}",
    ]
    if grade.pending:
        lines.append(f"  pending     {decimal(grade.pending)}: not decided here, neither won nor lost")
    count = 1 + len(shown.others)
    lines.append(f"  submission  the {shown.keep} of {count}" if count > 1 else "  submission  the only one known")
    lines += [f"              {_other(other)}" for other in shown.others]
    for exercise in result.exercises:
        lines += ["", *_exercise(exercise)]
    if result.problems:
        lines += ["", "problems of the files", *(f"  {printable(problem, 400)}" for problem in result.problems)]
    return [*lines, "", *_origin(result), "", *_repeat(shown)]


def _late(grade: Grade) -> str:
    """What the late policy did, number by number."""
    granted = f" ({grade.extension})" if grade.extension and not grade.excused else ""
    due = f"due {_clock(grade.due)}{granted}" if grade.due is not None else "no due date"
    if grade.excused:
        return f"excused by {grade.extension}"
    if grade.submitted_at is None:
        return f"0: {due}, and no time of hand-in is known, so it counts as in time"
    handed = f"handed in {_clock(grade.submitted_at)}, {due}"
    if not grade.seconds_late:
        return f"0: {handed}, in time"
    how_late = f"{grade.seconds_late:.0f} s late"
    if grade.cut_off:
        return f"-{decimal(grade.penalty)}: {handed}, {how_late}, past the cut-off"
    slip = f", {grade.slip_days} of them paid with slip days" if grade.slip_days else ""
    share = f", {grade.penalty / grade.earned:.2%} of {decimal(grade.earned)}" if grade.penalty else ""
    days = f"{grade.days_late} started day{'' if grade.days_late == 1 else 's'}"
    days = days if grade.days_late else "in the grace period"
    sign = "-" if grade.penalty else ""
    return f"{sign}{decimal(grade.penalty)}: {handed}, {how_late}, {days}{slip}{share}"


def _other(grade: Grade) -> str:
    handed = _clock(grade.submitted_at) if grade.submitted_at is not None else "at an unknown time"
    return f"another one, handed in {handed}: {decimal(grade.score)} ({decimal(grade.earned)} for the tests)"


def _exercise(exercise: ExerciseResult) -> list[str]:
    """`points x weight passed / weight of all`, and every test below it."""
    counted = [test for test in exercise.tests if test.outcome is not Outcome.GRADER_ERROR]
    passed = sum(test.weight for test in counted if test.outcome is Outcome.PASSED)
    total = sum(test.weight for test in counted)
    gate = next((t for t in counted if t.gate and not t.outcome.is_fine), None)
    how = f"{decimal(exercise.max_score)} x {decimal(passed)}/{decimal(total)}" if total else "nothing was decided"
    if gate is not None:
        how = f"the gate {gate.name} did not pass"
    lines = [f"{exercise.id} ({exercise.page}): {decimal(exercise.score)} of {decimal(exercise.max_score)} = {how}"]
    for test in exercise.tests:
        gate_mark = "  gate" if test.gate else ""
        named = f"  [{test.misconception}]" if test.misconception else ""
        outcome = test.outcome.value.replace("_", " ")
        lines.append(f"  {outcome:<13} weight {decimal(test.weight):<4} {test.name}{gate_mark}{named}")
        is_said = test.outcome is not Outcome.PASSED or test.informs
        words = "\n".join(filter(None, [test.message, test.hint])) if is_said else ""
        lines += [f"      {printable(line, 400)}" for line in readable(words).splitlines() if line.strip()]
    return lines


def _origin(result: UnitResult) -> list[str]:
    basis = result.basis
    versions = ", ".join(f"{name} {version}" for name, version in basis.versions.items()) or "unknown"
    return [
        f"graded {result.graded_at}, isolation {result.isolation}, seed id {result.seed_id}, {result.duration_s:g} s",
        f"  submission  {basis.submission or 'unknown'}",
        f"  graders     {basis.grader or 'unknown'}",
        f"  course.toml {basis.course or 'unknown'}",
        f"  versions    {versions}",
        f"fingerprint {result.fingerprint}",
    ]


def _repeat(shown: Shown) -> list[str]:
    lines = ["to repeat it, without writing anything:", f"  {printable(shown.command, 4000)}"]
    if shown.seed is None:
        lines.append("  (the seed is not in runs.json any more, so other inputs are drawn)")
    return [*lines, "  an equal fingerprint means: the same submission, graders, course and versions"]


def _clock(when: datetime | None) -> str:
    return "" if when is None else when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
