"""`autograder grade`: plan, run, gradebook, and what the terminal shows."""

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from autograder.commands.changes import Change, Settled, changes, show_changes
from autograder.course import Course
from autograder.errors import UsageError
from autograder.extensions import load_extensions
from autograder.intake.finding import Asked
from autograder.results import gradebook
from autograder.results.attempts import ATTEMPTS, after_writing, read_students
from autograder.results.folders import STUDENTS
from autograder.results.late import Grade, settle
from autograder.results.record import Outcome, UnitResult
from autograder.rooms.batch import Finished, Plan, Run, make_plan, new_seed, run_plan
from autograder.text import listed, printable


class Options(Struct, frozen=True, kw_only=True):
    """The command line of `grade`."""

    submitted: Path
    out: Path
    asked: Asked = Asked()
    jobs: int = 1
    isolation: str = "auto"
    regrade: bool = False
    seed: bytes | None = None
    gradebook: bool = True
    dry_run: bool = False


class Report(Struct, frozen=True, kw_only=True):
    """What one call of `grade` did: the result of every submission, and for each what counts of the student now."""

    results: list[UnitResult]
    grades: list[Grade]
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
        return any(result.has_grader_error() for result in self.results)

    def to_json(self) -> str:
        """The report as `grade --json` prints it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def run_grade(course: Course, options: Options, *, quiet: bool, console: Console) -> Report:
    """Grade, write result files and the gradebook, and show the table unless `quiet`. Raises UsageError.

    A dry run shows what would change instead, and writes nothing at all.
    """
    from autograder.sandbox.rungs import choose_rung

    extensions = load_extensions(course)
    with contextlib.nullcontext() if options.dry_run else exclusive(options.out):
        run = Run(
            course=course,
            submitted=options.submitted,
            out=options.out,
            rung=choose_rung(options.isolation),
            seed=options.seed or new_seed(),
            jobs=options.jobs,
            regrade=options.regrade,
            dry=options.dry_run,
            extensions=extensions,
        )
        plan = make_plan(run, options.asked)
        keys = sorted(plan.keys())
        before = read_students(options.out, course, dict.fromkeys(student for student, _ in keys))
        fills = options.gradebook and not options.dry_run

        def meanwhile() -> None:
            if fills:
                gradebook.prepare(course, options.out)

        finished = _grade(run, plan, meanwhile, quiet, console)
        written = [*plan.changed, *(f.result for f in finished if f.fresh)]
        everything = _with(course, before, written)
        counted = {student: settle(course, extensions, units) for student, units in everything.items()}
        url = _fill_gradebook(course, options.out, counted, keys) if fills else None
        folder, lacking = _fill_course_folder(course, options.out, plan, counted) if fills else (None, [])
    whole = options.asked.student is None and options.asked.unit is None
    report = Report(
        results=[everything[student][unit][0] for student, unit in keys],
        grades=[counted[student][unit].grade for student, unit in keys],
        fresh=sum(f.fresh for f in finished),
        passed_over=plan.passed_over,
        notes=[*plan.notes, *lacking, *(extensions.notes(course, list(everything)) if whole else [])],
        isolation=run.rung,
        seed_id=run.seed_id,
        gradebook=url,
        course_folder=folder,
        dry_run=options.dry_run,
    )
    report.notes.extend(_unfit(course, counted, keys))
    if options.dry_run:
        old = {student: settle(course, extensions, units) for student, units in before.items()}
        report = msgspec.structs.replace(report, changes=changes(old, counted))
        if not quiet:
            _show_dry(report, run, console)
    elif not quiet:
        show(report, options.out, console)
    return report


Everything = dict[str, dict[str, list[UnitResult]]]  # student -> unit -> results, the latest first


def _with(course: Course, before: Everything, written: list[UnitResult]) -> Everything:
    """What lies in the folder of results once these are written, without reading it again."""
    everything = {student: dict(units) for student, units in before.items()}
    for result in written:
        units = everything[result.student]
        units[result.unit] = after_writing(course, units.get(result.unit, []), result)
    return everything


def _show_dry(report: Report, run: Run, console: Console) -> None:
    """What would change, and how to make it so."""
    show_changes(report.changes, console)
    for line in report.passed_over:
        console.print(f"passed over: {line}", markup=False)
    for line in report.notes:
        console.print(f"note: {line}", markup=False)
    _show_faults(report, console)
    students = len({change.student for change in report.changes})
    console.print(
        f"dry run, nothing was written: {report.fresh} graded again, {len(report.results) - report.fresh} unchanged; "
        f"{students} {'student changes' if students == 1 else 'students change'}",
        markup=False,
    )
    if report.fresh or report.changes:
        console.print(
            f"the same command without --dry-run applies it; --seed {run.seed.hex()} draws the same inputs",
            markup=False,
        )


def _fill_gradebook(course: Course, out: Path, counted: Settled, keys: list[tuple[str, str]]) -> str:
    """What was asked for; with slip days every unit of these students, since a day spent here is missing there."""
    asked = set(keys)
    wanted = [
        one
        for student, units in counted.items()
        for unit, one in units.items()
        if ((student, unit) in asked or course.late.slip_days) and _fits(course, one.result)
    ]
    return gradebook.shown(gradebook.record_counted(course, out, wanted))


def _fill_course_folder(course: Course, out: Path, plan: Plan, counted: Settled) -> tuple[str | None, list[str]]:
    """Where nbgrader's course folder lies, or why there is none: scores do not depend on it."""
    from autograder.commands.course_folder import fill_course_folder

    fitting = {key: found for key, found in plan.submissions.items() if _fits(course, counted[key[0]][key[1]].result)}
    try:
        return str(fill_course_folder(course, out, fitting, counted)), []
    except UsageError as error:
        return None, [f"formgrader will not show submissions, nbgrader's course folder is not complete: {error}"]


def _fits(course: Course, result: UnitResult) -> bool:
    """Whether it has the exercises that course.toml has now."""
    return {e.id for e in result.exercises} == {e.id for e in course.unit(result.unit).exercises}


def _unfit(course: Course, counted: Settled, keys: list[tuple[str, str]]) -> list[str]:
    """What counts and cannot go into the gradebook, in words: an earlier submission, of before course.toml changed."""
    odd = [f"{student}/{unit}" for student, unit in keys if not _fits(course, counted[student][unit].result)]
    said = "the best submission was graded when course.toml had other exercises, and is not in the gradebook"
    return [f"{listed(odd)}: {said}"] if odd else []


def show(report: Report, out: Path, console: Console) -> None:
    """The table of a class, and where everything lies."""
    table = Table(title=None, box=None, pad_edge=False)
    student_width = max((cell_len(printable(result.student, 128)) for result in report.results), default=0)
    unit_width = max((len(result.unit) for result in report.results), default=0)
    table.add_column("student", min_width=student_width, no_wrap=True)
    table.add_column("unit", min_width=unit_width, no_wrap=True)
    table.add_column("score", justify="right", min_width=5, no_wrap=True)
    table.add_column("of", justify="right", min_width=3, no_wrap=True)
    table.add_column("")  # the one that gives way on a narrow terminal
    for result, grade in zip(report.results, report.grades, strict=True):
        pending = f"{grade.pending:g} pending" if grade.pending else ""
        earlier = "an earlier submission counts" if grade.earned != float(result.earned) else ""
        remark = "; ".join(filter(None, [pending, describe_lateness(grade), earlier, _remark(result)]))
        table.add_row(
            Text(printable(result.student, 128)),  # SECURITY: a Text has no markup, and nothing unseen is in it
            result.unit,
            f"{grade.score:g}",
            f"{result.max_score:g}",
            Text(printable(remark, 110)),
        )
    console.print(table)
    for line in report.passed_over:
        console.print(f"passed over: {line}", markup=False)
    for line in report.notes:
        console.print(f"note: {line}", markup=False)
    _show_faults(report, console)
    standing = len(report.results) - report.fresh
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
    for result in report.results:
        for test in (t for e in result.exercises for t in e.tests if t.outcome is Outcome.GRADER_ERROR):
            last = printable(test.message.strip().splitlines()[-1], 200) if test.message else ""
            console.print(
                f"grader error: {printable(result.student, 128)}/{result.unit}: {test.name}: {last}",
                style="red",
                markup=False,
            )


@contextlib.contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Make the folder for results, and be the only one who writes there. Raises UsageError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = open(out / ".lock", "w")  # noqa: SIM115 - closed below; and by the kernel, however we end
    except OSError as error:
        reason = "it is not a folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise UsageError(f"{out} cannot be used for results: {reason}; give another folder with --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another `autograder grade` is writing to {out}: wait for it, or give another folder with --out"
            ) from None
        except OSError:  # a file system without locks
            pass
        for pattern in ("*/*/.result.json.*", f"*/*/{ATTEMPTS}/.*"):  # of a run that was killed while it wrote
            for left in (out / STUDENTS).glob(pattern):
                left.unlink(missing_ok=True)
        yield


def _grade(run: Run, plan: Plan, meanwhile: Callable[[], None], quiet: bool, console: Console) -> list[Finished]:
    columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    finished: list[Finished] = []
    with Progress(*columns, console=console, disable=quiet or not plan.jobs, transient=True) as progress:
        task = progress.add_task("grading", total=plan.total)
        with contextlib.closing(run_plan(run, plan, meanwhile)) as items:  # whatever ends this ends the rooms
            for item in items:
                finished.append(item)
                progress.advance(task)
    return finished


def describe_lateness(grade: Grade) -> str:
    """What the late policy did, in a few words; nothing where it did nothing."""
    if grade.excused:
        return "excused"
    if grade.cut_off:
        return "too late to count"
    slipped = f"{grade.slip_days} slip day{'s' if grade.slip_days > 1 else ''} spent" if grade.slip_days else ""
    return ", ".join(filter(None, [f"late: -{grade.penalty:g}" if grade.penalty else "", slipped]))


def _remark(result: UnitResult) -> str:
    """The first thing that explains a lost point, then what else is to be said."""
    return "; ".join(filter(None, [result.problems[0] if result.problems else "", _lost(result)]))


def _lost(result: UnitResult) -> str:
    """The first exercise that lost points, and how."""
    short = [e for e in result.exercises if e.score < e.max_score - e.pending]
    first = next((t for e in short for t in e.tests if t.outcome not in _FINE), None)
    if first is None:
        return ""
    what = "nothing handed in" if result.score == 0 and first.outcome is Outcome.MISSING else first.outcome.value
    more = f" and {len(short) - 1} more" if len(short) > 1 else ""
    named = f" ({first.misconception})" if first.misconception else ""
    return f"{short[0].id}{more}: {what.replace('_', ' ')}{named}"


_FINE = (Outcome.PASSED, Outcome.DEFERRED)
