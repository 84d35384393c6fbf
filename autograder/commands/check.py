"""`autograder check`: the public checks on a student's own pages, and what `grade` would say about the folder.

Which file is read for a page is settled by the same code as in `grade`, so both read the same one.
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from autograder.commands.checked import CheckedExercise, CheckedFolder, CheckedPage
from autograder.commands.newer import newer_syntax
from autograder.course import Course, Page
from autograder.errors import UsageError
from autograder.intake import archives
from autograder.intake.files import Entry, Listing, is_litter, read_limit, read_regular
from autograder.intake.helpers import Helpers
from autograder.intake.listing import list_archive, list_folder
from autograder.intake.names import PageNames, may_be_page
from autograder.intake.pages import Candidate, Choice
from autograder.intake.placing import Placed, Rules, place
from autograder.intake.released import Released
from autograder.intake.submission import PageSource
from autograder.results.record import TestResult
from autograder.settings import did_you_mean
from autograder.text import printable

if TYPE_CHECKING:
    from autograder.grading.context import Context
    from autograder.sandbox.workers import Workers


class FoundPage(Struct, frozen=True):
    """A page and the file that counts for it; no sources where no file can be read."""

    page: Page
    file: Path
    sources: list[PageSource]  # the page and its helpers
    problems: list[str] = []


class Found(Struct):
    """The pages at a path in course order, and what `grade` would say about them as they are."""

    pages: list[FoundPage] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def check_path(course: Course, path: Path, exercise: str | None = None) -> CheckedFolder:
    """Run the public checks on every page at `path`. Raises UsageError."""
    from autograder.sandbox.portable import workers_without_wall

    found = _find(course, path, exercise)
    with workers_without_wall(course.limits) as sandbox:
        return CheckedFolder([_check_page(course, page, sandbox, exercise) for page in found.pages], found.said)


def watch_path(
    course: Course,
    path: Path,
    exercise: str | None,
    on_checked: Callable[[CheckedFolder], None],
    stop: threading.Event | None = None,
) -> None:
    """Check everything once, then what a save has changed, in a warm process, until `stop` is set or Ctrl-C.

    Raises UsageError where the first check does.
    """
    from watchfiles import watch

    from autograder.sandbox import warm
    from autograder.sandbox.portable import workers_without_wall

    warm.warm_up()
    known: dict[str, FoundPage] = {}
    folders = {page.file.parent for page in find_pages(course, path).pages}
    with workers_without_wall(course.limits) as sandbox:

        def check_changed(found: Found) -> None:
            changed = [page for page in found.pages if known.get(page.page.name) != page]
            known.update((page.page.name, page) for page in changed)
            if changed:
                on_checked(CheckedFolder([_check_page(course, p, sandbox, exercise) for p in changed], found.said))

        check_changed(_find(course, path, exercise))
        caught_up = False
        for changes in watch(
            *folders,
            debounce=200,
            step=20,
            rust_timeout=200,
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=False,
        ):
            if not changes and caught_up:
                continue
            caught_up = True  # once at the start: a save during the first check came before anybody watched
            try:
                check_changed(_find(course, path, exercise))
            except UsageError as error:  # the page is gone or renamed: say so, and wait for the next save
                on_checked(CheckedFolder([], [str(error)]))


# ---------------------------------------------------------------- which files


def _find(course: Course, path: Path, exercise: str | None) -> Found:
    """The pages at `path`, or the one that has `exercise`."""
    found = find_pages(course, path)
    found.said += newer_syntax(course, _read(found.pages))
    if exercise is not None:
        known = [e.id for page in found.pages for e in page.page.exercises]
        if exercise not in known:
            raise UsageError(f"--exercise {exercise}: not on the pages at {path}{did_you_mean(exercise, known)}")
        found.pages = [page for page in found.pages if any(e.id == exercise for e in page.page.exercises)]
    return found


def _read(pages: Sequence[FoundPage]) -> list[PageSource]:
    """What is read for the pages, each helper once."""
    return list({(source.name, source.helper): source for page in pages for source in page.sources}.values())


def find_pages(course: Course, path: Path) -> Found:
    """The pages at `path`: a page, a folder, or an archive as it would be handed in. Raises UsageError."""
    if not path.exists():
        raise UsageError(f"{path} does not exist: give a page, a unit's folder, or the folder above")
    if not path.is_dir() and not path.is_file():
        raise UsageError(f"{path} is neither a file nor a folder: give a page, a unit's folder, or the folder above")
    if path.is_file() and not archives.is_archive(path.name):
        return _find_file(course, path)
    placed = _place(course, list_archive(path) if path.is_file() else list_folder(path))
    found = Found()
    for unit in course.units:
        submission = next((s for s in placed.submissions if s.unit == unit.id), None)
        helpers = [s for s in submission.pages if s.helper] if submission is not None else []
        found.said += submission.problems if submission is not None else []
        for page in unit.pages:
            choice = placed.choices.get(page.name)
            if choice is not None and choice.source is not None and choice.entry is not None:
                found.pages.append(FoundPage(page, path.joinpath(*choice.entry.parts), [choice.source, *helpers]))
            elif choice is not None and choice.worked_on:
                found.pages.append(FoundPage(page, path / page.unit / page.name, [], choice.problems))
            elif choice is not None and choice.release is not None and choice.release.source is not None:
                file = path.joinpath(*choice.release.entry.parts)
                found.pages.append(FoundPage(page, file, [choice.release.source]))
    found.said += placed.lost
    if not found.pages:
        more = f"; {found.said[0]}" if found.said else ""
        raise UsageError(
            f"no page of the course at {path}: pages are called like {course.units[0].pages[0].name}.py{more}"
        )
    return found


def _find_file(course: Course, path: Path) -> Found:
    """The one page that was named, with the modules beside it."""
    meant = PageNames([page.name for unit in course.units for page in unit.pages]).meant(path.name)
    page = course.find_page(meant.page) if meant is not None and not meant.checks else None
    if meant is None or page is None:
        raise UsageError(f"no page of the course at {path}: pages are called like {course.units[0].pages[0].name}.py")
    beside = _beside(path.parent)
    candidate = Candidate(Entry((path.name,), _reader(path)), meant, page, Released(course))
    if candidate.source is None:
        return Found([FoundPage(page, path, [], [candidate.problem or ""])])
    helpers = _helpers(course, page, candidate.source, beside)
    choice = _place(course, Listing(beside)).choices.get(page.name) or Choice()
    said = [*choice.problems, *choice.remarks, *helpers.problems]
    if choice.entry is not None and choice.entry.name != path.name and choice.source != candidate.source:
        said.append(f"{printable(path.name)} is checked here, but {printable(choice.entry.name)} would be graded")
    return Found([FoundPage(page, path, [candidate.source, *helpers.sources])], said)


def _beside(folder: Path) -> list[Entry]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        Entry((file.name,), _reader(file))
        for file in files
        if may_be_page(file.name) and not is_litter(file.name) and file.is_file()
    ]


def _helpers(course: Course, page: Page, source: PageSource, beside: Sequence[Entry]) -> Helpers:
    helpers = Helpers(beside, [page.name for page in course.unit(page.unit).pages])
    helpers.collect(source, ())
    return helpers


def _place(course: Course, listing: Listing) -> Placed:
    return place("you", listing, Rules(course, Released(course), course.unit_ids))


def _reader(file: Path) -> Callable[[], bytes]:
    return lambda: read_regular(file, read_limit(file.name))


# ---------------------------------------------------------------- the checks


def check_cells(course: Course, page: Page, source: PageSource, file: Path, exercise: str | None) -> CheckedPage:
    """The public checks on these cells and the modules beside their file, run in a process of their own."""
    from autograder.sandbox.portable import workers_without_wall

    helpers = _helpers(course, page, source, _beside(file.parent))
    with workers_without_wall(course.limits) as sandbox:
        return _check_page(course, FoundPage(page, file, [source, *helpers.sources]), sandbox, exercise)


def _check_page(course: Course, found: FoundPage, sandbox: "Workers", exercise: str | None) -> CheckedPage:
    from autograder.grading.context import Context

    page = found.page
    if not found.sources:
        asked = [CheckedExercise(e, []) for e in page.exercises if exercise in (None, e.id)]
        return CheckedPage(page, found.file, asked, found.problems)
    context = Context(course, course.unit(page.unit), found.sources, sandbox, secrets.token_bytes(16))
    checked = run_checks(course, page, found.file.parent, context, exercise)
    context.close()
    return CheckedPage(page, found.file, checked, context.problems())


def run_checks(
    course: Course, page: Page, beside: Path, context: "Context", exercise: str | None
) -> list[CheckedExercise]:
    """The public checks of a page on what `context` holds."""
    from autograder.grading.session import CollectedTests

    results: dict[str, list[TestResult]] = {e.id: [] for e in page.exercises}
    context.on_result = lambda exercise_id, result: results[exercise_id].append(result)
    tests = CollectedTests([_checks_file(course, page, beside)])
    tests.run(context, exercise)
    tests.close()
    return [CheckedExercise(e, results[e.id]) for e in page.exercises if exercise in (None, e.id)]


def _checks_file(course: Course, page: Page, beside: Path) -> Path:
    name = f"test_{page.name}.py"
    for folder in (course.assignments / page.unit, beside):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"no public checks {name} in {course.assignments / page.unit} or in {beside}")
