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

from autograder.course import Course
from autograder.errors import UsageError
from autograder.intake.finding import Asked
from autograder.results import gradebook
from autograder.results.folders import STUDENTS
from autograder.results.record import Outcome, UnitResult
from autograder.rooms.batch import Finished, Plan, Run, make_plan, new_seed, run_plan
from autograder.text import printable


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


class Report(Struct, frozen=True, kw_only=True):
    """What one call of `grade` did."""

    results: list[UnitResult]
    fresh: int
    passed_over: list[str]
    notes: list[str]
    isolation: str
    seed_id: str
    gradebook: str | None

    @property
    def our_fault(self) -> bool:
        """Whether a test ended in a grader error."""
        return any(result.has_grader_error() for result in self.results)

    def to_json(self) -> str:
        """The report as `grade --json` prints it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def run_grade(course: Course, options: Options, *, quiet: bool, console: Console) -> Report:
    """Grade, write result files and the gradebook, and show the table unless `quiet`. Raises UsageError."""
    from autograder.sandbox.rungs import choose_rung

    with exclusive(options.out):
        run = Run(
            course=course,
            submitted=options.submitted,
            out=options.out,
            rung=choose_rung(options.isolation),
            seed=options.seed or new_seed(),
            jobs=options.jobs,
            regrade=options.regrade,
        )
        plan = make_plan(run, options.asked)

        def meanwhile() -> None:
            if options.gradebook:
                gradebook.prepare(course, options.out)

        finished = _grade(run, plan, meanwhile, quiet, console)
        results = sorted((f.result for f in finished), key=lambda r: (r.student, r.unit))
        url = gradebook.record(course, options.out, results) if options.gradebook else None
    report = Report(
        results=results,
        fresh=sum(f.fresh for f in finished),
        passed_over=plan.passed_over,
        notes=plan.notes,
        isolation=run.rung,
        seed_id=run.seed_id,
        gradebook=url,
    )
    if not quiet:
        show(report, options.out, console)
    return report


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
    for result in report.results:
        pending = f"{result.pending:g} pending" if result.pending else ""
        late = f"late: -{result.late.penalty:g}" if result.late.penalty else ""
        remark = "; ".join(filter(None, [pending, late, _remark(result)]))
        table.add_row(
            Text(printable(result.student, 128)),  # SECURITY: a Text has no markup, and nothing unseen is in it
            result.unit,
            f"{result.score:g}",
            f"{result.max_score:g}",
            Text(printable(remark, 110)),
        )
    console.print(table)
    for line in report.passed_over:
        console.print(f"passed over: {line}", markup=False)
    for line in report.notes:
        console.print(f"note: {line}", markup=False)
    for result in report.results:
        for test in (t for e in result.exercises for t in e.tests if t.outcome is Outcome.GRADER_ERROR):
            last = printable(test.message.strip().splitlines()[-1], 200) if test.message else ""
            console.print(
                f"grader error: {printable(result.student, 128)}/{result.unit}: {test.name}: {last}",
                style="red",
                markup=False,
            )
    standing = len(report.results) - report.fresh
    console.print(
        f"graded {report.fresh}, unchanged {standing}; isolation {report.isolation}; seed id {report.seed_id}",
        markup=False,
    )
    console.print(f"results: {out}/{STUDENTS}/<student>/<unit>/result.json", markup=False)
    if report.gradebook:
        console.print(f"gradebook: {report.gradebook}", markup=False)


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
        for left in (out / STUDENTS).glob("*/*/.result.json.*"):  # of a run that was killed while it wrote
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
