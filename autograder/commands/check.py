"""`autograder check`: the public checks on a student's own pages, in the same words as the grader's."""

import os
import secrets
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.console import Console

from autograder.course import Course, Exercise, Page
from autograder.errors import UsageError
from autograder.intake.pages import PageSource, Stubs, Unreadable, parse_cells
from autograder.results.record import Outcome, TestResult

if TYPE_CHECKING:
    from autograder.sandbox.launch import Sandbox


class CheckedExercise(Struct, frozen=True):
    exercise: Exercise
    tests: list[TestResult]

    @property
    def passed(self) -> int:
        return sum(test.outcome is Outcome.PASSED for test in self.tests)

    @property
    def first_failure(self) -> TestResult | None:
        return next((test for test in self.tests if test.outcome is not Outcome.PASSED), None)


class CheckedPage(Struct, frozen=True):
    """One page's checks. `source` is the file that was checked."""

    page: Page
    source: Path
    exercises: list[CheckedExercise]
    problems: list[str]

    @property
    def all_passed(self) -> bool:
        return all(exercise.first_failure is None for exercise in self.exercises)


def watch_path(
    course: Course,
    path: Path,
    exercise: str | None,
    on_checked: Callable[[list[CheckedPage]], None],
    stop: threading.Event | None = None,
) -> None:
    """Check everything once, then each page as it is saved, in a warm process, until `stop` is set or Ctrl-C.

    Raises UsageError where the first check does.
    """
    from watchfiles import watch

    from autograder.sandbox import warm
    from autograder.sandbox.launch import Sandbox

    warm.warm_up()
    folders = {source.parent for _, source in find_pages(course, path)}
    with Sandbox("none", course.limits) as sandbox:
        on_checked(_check_found(course, _find(course, path, exercise), sandbox, exercise))
        for changes in watch(*folders, debounce=200, step=20, rust_timeout=200, stop_event=stop, raise_interrupt=False):
            saved = {Path(name).stem for _, name in changes}
            found = [(page, source) for page, source in _find(course, path, exercise) if page.name in saved]
            if found:
                on_checked(_check_found(course, found, sandbox, exercise))


def check_path(course: Course, path: Path, exercise: str | None = None) -> list[CheckedPage]:
    """Run the public checks on every page at `path`. Raises UsageError."""
    from autograder.sandbox.launch import Sandbox

    with Sandbox("none", course.limits) as sandbox:
        return _check_found(course, _find(course, path, exercise), sandbox, exercise)


def _find(course: Course, path: Path, exercise: str | None) -> list[tuple[Page, Path]]:
    """The pages at `path`, or the one that has `exercise`."""
    found = find_pages(course, path)
    if exercise is not None:
        known = [e.id for page, _ in found for e in page.exercises]
        if exercise not in known:
            raise UsageError(f"--exercise {exercise}: not on the pages at {path}; they have {', '.join(known)}")
        found = [(page, source) for page, source in found if any(e.id == exercise for e in page.exercises)]
    return found


def _check_found(
    course: Course, found: Sequence[tuple[Page, Path]], sandbox: "Sandbox", exercise: str | None
) -> list[CheckedPage]:
    return [_check_page(course, page, source, sandbox, exercise) for page, source in found]


def find_pages(course: Course, path: Path) -> list[tuple[Page, Path]]:
    """The pages at `path` in course order, each with the file that counts: the notebook where it was edited."""
    if not path.exists():
        raise UsageError(f"{path} does not exist: give a page, a unit's folder, or the folder above")
    files = [path] if path.is_file() else [*path.glob("*.py"), *path.glob("*.ipynb")]
    if path.is_dir():
        files += [file for unit in course.unit_ids for file in (path / unit).glob("*.*")]
        files += [file for unit in course.unit_ids for file in (path / "assignments" / unit).glob("*.*")]
    stubs = Stubs(course)
    found: list[tuple[Page, Path]] = []
    for unit in course.units:
        for page in unit.pages:
            forms = [file for file in files if file.name in (f"{page.name}.ipynb", f"{page.name}.py")]
            forms.sort(key=lambda file: (_untouched(stubs, page, file), file.suffix != ".ipynb"))
            found += [(page, file) for file in forms[:1]]
    if not found:
        raise UsageError(f"no page of the course at {path}: pages are called like {course.units[0].pages[0].name}.py")
    return found


def _untouched(stubs: Stubs, page: Page, file: Path) -> bool:
    try:
        return stubs.untouched(page.unit, _read(file))
    except UsageError:
        return False


def _read(file: Path) -> PageSource:
    try:
        return PageSource(file.stem, parse_cells(file.read_bytes(), file.suffix), file.suffix == ".ipynb")
    except Unreadable as error:
        raise UsageError(f"{file}: {error}") from None


def _check_page(course: Course, page: Page, source: Path, sandbox: "Sandbox", exercise: str | None) -> CheckedPage:
    from autograder.grading.context import Context
    from autograder.grading.session import CollectedTests

    checks = _checks_file(course, page, source)
    results: dict[str, list[TestResult]] = {e.id: [] for e in page.exercises}
    unit = course.unit(page.unit)
    context = Context(course, unit, [_read(source)], sandbox, secrets.token_bytes(16))
    context.on_result = lambda exercise_id, result: results[exercise_id].append(result)
    tests = CollectedTests([checks])
    tests.run(context, exercise)
    tests.close()
    context.close()
    exercises = [CheckedExercise(e, results[e.id]) for e in page.exercises if exercise in (None, e.id)]
    return CheckedPage(page, source, exercises, context.problems())


def _checks_file(course: Course, page: Page, source: Path) -> Path:
    name = f"test_{page.name}.py"
    for folder in (course.assignments / page.unit, source.parent):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"no public checks {name} in {course.assignments / page.unit} or beside {source}")


def render_checks(pages: Sequence[CheckedPage], console: Console) -> None:
    """Per exercise how far it is, the first failing check explained, and what is next."""
    passed = total = 0
    following: str | None = None
    for page in pages:
        console.print(f"{page.source}", style="bold", markup=False)
        for problem in page.problems:
            console.print(f"  {problem}", style="red", markup=False)
        for checked in page.exercises:
            done = checked.first_failure is None
            passed += done
            total += 1
            following = following or (None if done else checked.exercise.id)
            points = f"{checked.exercise.points:g} points"
            state = f"{checked.passed} of {len(checked.tests)} checks"
            console.print(
                f"  {'✓' if done else '✗'} {checked.exercise.id}: {state} ({points})",
                style="green" if done else "yellow",
                markup=False,
            )
            if checked.first_failure is not None:
                _render_failure(checked.first_failure, console)
    console.print(f"{passed} of {total} exercises pass their public checks.", markup=False)
    if following is not None:
        console.print(f"Next: {following}", markup=False)
    else:
        console.print("The hidden checks of the grader look at more cases than these.", markup=False)


def _render_failure(test: TestResult, console: Console) -> None:
    for line in test.message.splitlines():
        console.print(f"      {line}", markup=False)
    if test.hint:
        console.print(f"      hint: {test.hint}", markup=False)


def check(exercise: str) -> None:
    """In a notebook: check one exercise of the page in this folder, and print how far it is."""
    course = _course_here()
    page = next((p for unit in course.units for p in unit.pages if any(e.id == exercise for e in p.exercises)), None)
    if page is None:
        raise UsageError(f"no exercise {exercise!r} in this course")
    source = Path.cwd() / f"{page.name}.ipynb"
    pages = check_path(course, source if source.exists() else Path.cwd(), exercise)
    notebook = "ipykernel" in sys.modules
    console = Console(record=notebook, quiet=False, soft_wrap=True, highlight=False, force_jupyter=False)
    if not notebook:
        render_checks(pages, console)
        return
    from IPython.display import HTML, display

    with open(os.devnull, "w") as console.file:
        render_checks(pages, console)
    display(HTML(console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")))


def _course_here() -> Course:
    from autograder.course import find_root, load_course

    return load_course(find_root(Path.cwd()))
