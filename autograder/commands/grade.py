"""`autograder grade`: plan, run, gradebook. What was done is told by `graded`."""

import contextlib
import fcntl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autograder.commands.changes import Change, changes
from autograder.commands.graded import Place, Report, Row, row_of, show, show_dry
from autograder.course import Course
from autograder.errors import UsageError
from autograder.extensions import Extensions, load_extensions
from autograder.intake.finding import Asked, look_through
from autograder.intake.submission import Submission
from autograder.results import gradebook
from autograder.results.attempts import ATTEMPTS, after_writing, not_among, read_students
from autograder.results.folders import STUDENTS
from autograder.results.late import Counted, settle
from autograder.results.record import UnitResult
from autograder.results.recorded import Recorded, digest_of
from autograder.rooms.batch import Plan, Run, make_plan, new_seed, run_plan
from autograder.text import listed


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


def run_grade(course: Course, options: Options, *, quiet: bool, console: Console) -> Report:
    """Grade, write result files and the gradebook, and show the table unless `quiet`. Raises UsageError.

    A dry run shows what would change instead, and writes nothing at all.
    """
    from autograder.sandbox.launch import root_without_user_namespace
    from autograder.sandbox.rungs import choose_rung

    extensions = load_extensions(course)
    with contextlib.nullcontext() if options.dry_run else exclusive(options.out):
        with _trying_isolation(options.isolation):
            seen = look_through(options.submitted, course, options.asked)
        rung = choose_rung(options.isolation)
        run = Run(
            course=course,
            submitted=options.submitted,
            out=options.out,
            rung=rung,
            seed=options.seed or new_seed(),
            jobs=options.jobs,
            regrade=options.regrade,
            dry=options.dry_run,
            extensions=extensions,
            privileged=root_without_user_namespace() if rung == "bubblewrap" else None,
        )
        plan = make_plan(run, seen)
        keys = sorted(plan.handed_in())
        fills = options.gradebook and not options.dry_run

        def meanwhile() -> None:
            if fills:
                gradebook.prepare(course, options.out)

        unwritten = _Unwritten() if options.dry_run else None
        fresh = _grade(run, plan, unwritten, meanwhile, quiet, console)
        told = _Told(course, extensions, options.out, keys, unwritten)
        url = folder = None
        lacking: list[str] = []
        if fills:
            url = told.fill_gradebook()
            handed_in = plan.handed_in()  # as it was graded: what changed meanwhile was read again
            folder, lacking = _fill_course_folder(
                course, options.out, told.places, lambda key: plan.read(handed_in[key])
            )
        else:
            told.read_all()
    notes = [*plan.notes, *lacking]
    if sys.version_info[:2] < course.python_version:
        notes.append(
            f'course.toml says python = "{course.python}", which students were told, and this is Python '
            f"{sys.version_info[0]}.{sys.version_info[1]}: what only the newer one reads is lost here"
        )
    if options.asked.student is None and (kept := not_among(options.out, keys)):
        said = "of an earlier run, not among these submissions, and kept"
        mend = f"what should not count goes with its folder below {options.out / STUDENTS}"
        notes.append(f"{said}: {listed(kept)}; {mend}; nbgrader's gradebook keeps it")
    whole = options.asked.student is None and options.asked.unit is None
    report = Report(
        rows=[told.rows[key] for key in keys],
        read=told.latest,
        fresh=fresh,
        passed_over=plan.passed_over,
        notes=[*notes, *(extensions.notes(course, told.students) if whole else []), *told.unfit()],
        isolation=run.rung,
        seed_id=run.seed_id,
        gradebook=url,
        course_folder=folder,
        dry_run=options.dry_run,
        changes=told.changes,
    )
    if options.dry_run and not quiet:
        show_dry(report, run, console)
    elif not quiet:
        show(report, options.out, console)
    return report


def _fill_course_folder(
    course: Course, out: Path, places: Sequence[Place], read: Callable[[tuple[str, str]], Submission]
) -> tuple[str | None, list[str]]:
    """Where nbgrader's course folder lies, or why there is none: scores do not depend on it."""
    from autograder.commands.course_folder import fill_course_folder

    try:
        return str(fill_course_folder(course, out, places, read)), []
    except UsageError as error:
        return None, [f"formgrader will not show submissions, nbgrader's course folder is not complete: {error}"]


@contextlib.contextmanager
def _trying_isolation(wanted: str) -> Iterator[None]:
    """Try the first rung meanwhile, in another process: `choose_rung` finds the answer then."""
    from autograder.sandbox.rungs import probe

    trying = threading.Thread(target=probe, args=("bubblewrap",), daemon=True)
    if wanted in ("auto", "bubblewrap"):
        trying.start()
    yield
    if trying.ident is not None:
        trying.join()


class _Unwritten:
    """The results of a dry run, in a temporary file that has no name."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="autograder-")  # noqa: SIM115 - it goes with this object
        self._places: dict[str, list[tuple[int, int]]] = {}

    def add(self, result: UnitResult) -> None:
        data = msgspec.msgpack.encode(result)
        self._places.setdefault(result.student, []).append((self._file.seek(0, 2), len(data)))
        self._file.write(data)

    def of(self, student: str) -> Iterator[UnitResult]:
        for place, size in self._places.get(student, ()):
            self._file.seek(place)
            yield msgspec.msgpack.decode(self._file.read(size), type=UnitResult)


class _Told:
    """What is to be told once all is graded. Results are read student by student, and only what is told is kept."""

    def __init__(
        self,
        course: Course,
        extensions: Extensions,
        out: Path,
        keys: Sequence[tuple[str, str]],
        unwritten: _Unwritten | None,
    ) -> None:
        self._course, self._extensions, self._out, self._unwritten = course, extensions, out, unwritten
        self._keys = set(keys)
        self.students = list(dict.fromkeys(student for student, _ in keys))
        self.rows: dict[tuple[str, str], Row] = {}
        self.changes: list[Change] = []
        self.places: list[Place] = []  # what the course folder is to show
        self._odd: list[str] = []

    def latest(self, student: str, unit: str) -> UnitResult:
        """The latest result of a student for a unit."""
        return self._results(student)[unit][0]

    def _results(self, student: str) -> dict[str, list[UnitResult]]:
        """Of every unit, the latest first; in a dry run as if its results were written."""
        units = read_students(self._out, self._course, [student])[student]
        for result in self._unwritten.of(student) if self._unwritten is not None else ():
            units[result.unit] = after_writing(self._course, units.get(result.unit, []), result)
        return units

    def _read(self, student: str) -> dict[str, Counted]:
        """What counts of a student by unit; rows and changes are kept."""
        units = self._results(student)
        counted = settle(self._course, self._extensions, units)
        for unit in units:
            if (student, unit) in self._keys:
                self.rows[student, unit] = row_of(units[unit][0], counted[unit])
                if not gradebook.fits(self._course, counted[unit].result):
                    self._odd.append(f"{student}/{unit}")
                    continue
                latest, counts = units[unit][0].basis.submission, counted[unit].result.basis.submission
                self.places.append(Place(student, unit, latest, counts, counted[unit].grade.submitted_at))
        if self._unwritten is not None:
            before = read_students(self._out, self._course, [student])[student]
            old = settle(self._course, self._extensions, before)
            self.changes += changes({student: old}, {student: counted})
        return counted

    def read_all(self) -> None:
        """Read what is told, and write nothing."""
        for student in self.students:
            self._read(student)

    def fill_gradebook(self) -> str:
        """What was asked for and is not in it yet. Returns the gradebook's address. Raises UsageError."""
        url = gradebook.database_url(self._course, self._out)
        recorded = Recorded(self._out, url)
        new: dict[str, list[str]] = {}
        for student in self.students:
            counted = self._read(student)
            asked = [unit for unit in counted if (student, unit) in self._keys]
            for unit, one in gradebook.touched(self._course, counted, asked).items():
                if not recorded.holds(one, digest_of(self._course, one)):
                    new.setdefault(student, []).append(unit)
        if new:
            gradebook.record_counted(self._course, self._out, self._to_record(new, recorded))
            recorded.save()
        return gradebook.shown(url)

    def _to_record(self, new: dict[str, list[str]], recorded: Recorded) -> Iterator[Counted]:
        for student, units in new.items():
            counted = settle(self._course, self._extensions, self._results(student))
            for unit in units:
                recorded.remember(counted[unit], digest_of(self._course, counted[unit]))
                yield counted[unit]

    def unfit(self) -> list[str]:
        """What counts and cannot go into the gradebook, in words: an earlier one, of before course.toml changed."""
        said = "the best submission was graded when course.toml had other exercises, and is not in the gradebook"
        return [f"{listed(sorted(self._odd))}: {said}"] if self._odd else []


def fill_gradebook(course: Course, out: Path, results: Sequence[UnitResult]) -> str:
    """Bring the gradebook up to results that were written to `out` otherwise. Returns its address. Raises UsageError.

    As after grading: the submission that counts now, and with slip days every unit of these students.
    """
    keys = sorted({(result.student, result.unit) for result in results})
    return _Told(course, load_extensions(course), out, keys, None).fill_gradebook()


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


def _grade(
    run: Run, plan: Plan, unwritten: _Unwritten | None, meanwhile: Callable[[], None], quiet: bool, console: Console
) -> int:
    """Grade what is to be graded; returns how many that were. Results lie on the disk, or with the unwritten ones."""
    columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    fresh = 0
    with Progress(*columns, console=console, disable=quiet or not plan.jobs, transient=True) as progress:
        task = progress.add_task("grading", total=len(plan.jobs))
        with contextlib.closing(run_plan(run, plan, meanwhile)) as items:  # whatever ends this ends the rooms
            for item in items:
                if unwritten is not None:
                    unwritten.add(item.result)
                fresh += item.fresh
                progress.advance(task, item.fresh)
    return fresh
