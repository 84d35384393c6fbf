"""The pytest plugin: fixtures `student`, `reference`, `draw`; the markers of `marks`; results as they come.

A grader file is plain pytest. Which submission it grades is a `Context`: the batch hands one in; run by hand,
`pytest autograder/graders/<unit>/test_<page>.py [--submission PATH]` makes one (the solution by default), and the
public checks `test_<page>.py` beside a student's page make one for that page.
"""

import secrets
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from autograder.course import Course, find_root, load_course
from autograder.errors import UsageError
from autograder.grading.context import Blocked, Context, Deferred, Student
from autograder.grading.marks import MARKERS, marks_of
from autograder.grading.telling import page_name, result_of
from autograder.results.record import Outcome, TestResult

if TYPE_CHECKING:
    from autograder.grading.compiling import Compiler
    from autograder.grading.draw import Draw
    from autograder.grading.gpu import GpuRacer
    from autograder.grading.racing import Racer
    from autograder.sandbox.workers import Workers

_CONTEXT = pytest.StashKey[Context]()
_RESULTS = pytest.StashKey[dict[str, TestResult]]()


# ---------------------------------------------------------------- options and set-up


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("autograder")
    group.addoption("--submission", type=Path, help="the file or folder to grade instead of the solution")
    group.addoption("--isolation", default=None, help="auto, bubblewrap or none (auto for --submission, else none)")
    group.addoption("--device", default=None, help="auto: run the tests that need a GPU, on the one of this machine")
    group.addoption("--run-seed", default=None, metavar="HEX", help="draw the inputs of an earlier run again")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_RESULTS] = {}


def hand_in(config: pytest.Config, context: Context) -> None:
    """Have the tests of this configuration grade `context`, with no result so far."""
    config.stash[_CONTEXT] = context
    config.stash[_RESULTS] = {}


def pytest_unconfigure(config: pytest.Config) -> None:
    if _MADE_FOR in config.stash:
        config.stash[_CONTEXT].close()
    if _OWN_SANDBOX in config.stash:
        config.stash[_OWN_SANDBOX].close()


# where nobody handed in a context: the test file that the present one was made for, and the sandbox of all of them
_MADE_FOR: "pytest.StashKey[Path]" = pytest.StashKey()
_OWN_SANDBOX: "pytest.StashKey[Workers]" = pytest.StashKey()


def pytest_report_header(config: pytest.Config) -> str | None:
    seed = config.getoption("--run-seed")
    return f"autograder: run seed {seed}" if seed else None


def _context(request: pytest.FixtureRequest) -> Context:
    """The context of the run; where nobody handed one in, made for each test file: `pytest assignments/unit5_...`."""
    stash, test_file = request.config.stash, Path(request.path)
    if _CONTEXT not in stash or stash.get(_MADE_FOR, test_file) != test_file:
        if _MADE_FOR in stash:
            stash[_CONTEXT].close()
            del stash[_MADE_FOR], stash[_CONTEXT]
        try:
            stash[_CONTEXT] = _context_by_hand(request.config, test_file)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        stash[_MADE_FOR] = test_file
    return stash[_CONTEXT]


def _context_by_hand(config: pytest.Config, test_file: Path) -> Context:
    import torch

    from autograder.intake.cells import parse_cells
    from autograder.intake.listing import list_folder
    from autograder.intake.placing import Rules, place
    from autograder.intake.released import Released
    from autograder.intake.submission import PageSource
    from autograder.sandbox.devices import find_device

    torch.set_num_threads(1)  # as in a room: threads only get in the way of tensors this small
    course = load_course(find_root(test_file.parent))
    unit = course.unit(test_file.parent.name)
    hidden = test_file.is_relative_to(course.graders)
    given: Path | None = config.getoption("--submission")
    if given is not None and given.is_dir():
        placed = place("student", list_folder(given), Rules(course, Released(course), [unit.id]))
        pages = placed.submissions[0].pages if placed.submissions else []
    elif given is None and hidden:
        from autograder.grading.solution import solution_pages

        pages = solution_pages(course, unit)
    else:
        path = given or test_file.parent / f"{page_name(test_file)}.py"
        if given is None and not path.exists():
            path = path.with_suffix(".ipynb")
        pages = [PageSource(page_name(test_file), parse_cells(path.read_bytes(), path.suffix), path.suffix == ".ipynb")]
    if _OWN_SANDBOX not in config.stash:
        config.stash[_OWN_SANDBOX] = _sandbox_by_hand(course, config.getoption("--isolation"), given is not None)
    seed = config.getoption("--run-seed")
    wanted = config.getoption("--device")
    device = None if wanted is None else find_device(wanted)
    return Context(
        course,
        unit,
        pages,
        config.stash[_OWN_SANDBOX],
        bytes.fromhex(seed) if seed else secrets.token_bytes(16),
        device=device,
    )


def _sandbox_by_hand(course: Course, isolation: str | None, of_others: bool) -> "Workers":
    from autograder.sandbox.portable import workers_without_wall
    from autograder.sandbox.rungs import choose_rung

    rung = choose_rung(isolation or ("auto" if of_others else "none"))
    if rung == "none":
        return workers_without_wall(course.limits)
    from autograder.sandbox.launch import Sandbox

    return Sandbox(rung, course.limits, hidden=(course.root,))


# ---------------------------------------------------------------- fixtures


@pytest.fixture
def student(request: pytest.FixtureRequest) -> Iterator[Student]:
    """The submission's page: `student.<symbol>(...)` runs behind the wall and returns plain values."""
    yield _student(request.node, _context(request))


@pytest.fixture
def reference(request: pytest.FixtureRequest) -> ModuleType:
    """The hidden reference of the page."""
    return _reference(request.node, _context(request))


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> "Draw":
    """Inputs from the run's secret seed and the test's name."""
    return _draw(request.node, _context(request))


@pytest.fixture
def race(request: pytest.FixtureRequest) -> "Racer":
    """Times the student's function against one of the grader's: `autograder.grading.racing`."""
    return _race(request.node, _context(request))


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> "GpuRacer":
    """As `race`, on the GPU: `autograder.grading.gpu`. Deferred where there is none."""
    return _gpu(request.node, _context(request))


@pytest.fixture
def compiler(request: pytest.FixtureRequest) -> "Compiler":
    """Compiles the page's kernels for a GPU that is not there: `autograder.grading.compiling`."""
    return _compiler(request.node, _context(request))


def _student(item: pytest.Item, context: Context) -> Student:
    page = context.page(page_name(item.path))
    exercise = marks_of(item).exercise
    if exercise:
        page.begin(exercise, context.limits(exercise), context.unit.exercise(exercise).forbidden)
        context.refuse_shortcut(page.name, exercise)
    return Student(page)


def _reference(item: pytest.Item, context: Context) -> ModuleType:
    from autograder.grading.references import load_reference

    return load_reference(context.course, context.unit.id, page_name(item.path))


def _draw(item: pytest.Item, context: Context) -> "Draw":
    from autograder.grading.draw import Draw

    return Draw(context.run_seed, f"{item.path.stem}::{item.name}")


def _race(item: pytest.Item, context: Context) -> "Racer":
    from autograder.grading.racing import Racer

    exercise = marks_of(item).exercise
    if exercise is None:
        raise UsageError(f"{item.name}: a race belongs to an exercise; mark the test with exercise(...)")
    return Racer(context, context.page(page_name(item.path)), context.unit.exercise(exercise))


def _gpu(item: pytest.Item, context: Context) -> "GpuRacer":
    exercise = marks_of(item).exercise
    if exercise is None:
        raise UsageError(f"{item.name}: a race belongs to an exercise; mark the test with exercise(...)")
    if not context.completing:
        _refuse_where_nothing_passes(item, exercise)
    if context.device is None:
        raise Deferred("needs a GPU: these points are pending until a machine with one completes them")
    from autograder.grading.gpu import GpuRacer

    page, seed = context.page(page_name(item.path)), f"{item.path.stem}::{item.name}"
    return GpuRacer(context, page, context.unit.exercise(exercise), context.device, seed)


def _compiler(item: pytest.Item, context: Context) -> "Compiler":
    marks = marks_of(item)
    if marks.exercise is None or marks.weight:
        raise UsageError(f"{item.name}: what a compiler says decides no points; mark it with exercise(...), weight(0)")
    _refuse_where_nothing_passes(item, marks.exercise)
    from autograder.grading.compiling import Compiler

    return Compiler(context, context.page(page_name(item.path)), context.unit.exercise(marks.exercise))


def _refuse_where_nothing_passes(item: pytest.Item, exercise: str) -> None:
    """Raises Blocked for a dear test of an exercise of which nothing else has passed."""
    results = item.config.stash[_RESULTS]
    others = [result for key, result in results.items() if key.startswith(f"{exercise}::")]
    if others and not any(result.outcome is Outcome.PASSED for result in others):
        raise Blocked("nothing else of this exercise passes yet: put that right first")


# ---------------------------------------------------------------- the short way


_CONDITIONS = ("skip", "skipif", "xfail")
_MAKERS: "dict[str, Callable[[pytest.Item, Context], object]]" = {
    "student": _student,
    "reference": _reference,
    "draw": _draw,
    "race": _race,
    "gpu": _gpu,
    "compiler": _compiler,
}


def is_plain(item: pytest.Item) -> bool:
    """Whether a test asks for nothing but our fixtures and its parameters, so that `run_plain` may run it."""
    if not isinstance(item, pytest.Function) or item.cls is not None:
        return False
    fixtures = set(item._fixtureinfo.names_closure) - _given_directly(item)
    return (
        fixtures <= {*_MAKERS, "request"}
        and "request" not in item._fixtureinfo.argnames
        and not any(map(item.get_closest_marker, _CONDITIONS))
    )


def _given_directly(item: pytest.Item) -> set[str]:
    """The arguments whose values stand in a `parametrize` mark; the parameters of a fixture are not its values."""
    names: set[str] = set()
    for mark in item.iter_markers("parametrize"):
        given = mark.kwargs.get("argnames", mark.args[0] if mark.args else ())
        if not mark.kwargs.get("indirect"):
            names.update(name.strip() for name in (given.split(",") if isinstance(given, str) else given))
    return names


def run_plain(item: pytest.Function) -> None:
    """Run a plain test and tell its result, as pytest's three phases would, in a tenth of their time."""
    context = item.config.stash[_CONTEXT]
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    error: BaseException | None = None
    started = time.perf_counter()
    try:
        _refuse_blocked(item)
        names = item._fixtureinfo.argnames
        item.obj(**{name: parameters[name] if name in parameters else _MAKERS[name](item, context) for name in names})
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException as raised:
        error = raised
    _tell(item, error, time.perf_counter() - started)
    error = None  # its traceback knows this frame: without a circle, what the test held is free now


# ---------------------------------------------------------------- outcomes


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _refuse_blocked(item)


def _refuse_blocked(item: pytest.Item) -> None:
    """Raises Blocked where a prerequisite failed."""
    results = item.config.stash[_RESULTS]
    for needed in marks_of(item).needs:
        if any(key.startswith(f"{needed}::") and not r.outcome.is_fine for key, r in results.items()):
            raise Blocked(f"needs {needed}, which failed: put that right first")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    outcome = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, Deferred):  # run by hand: not a failure
        report = outcome.get_result()
        report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"Skipped: {call.excinfo.value}")
    if call.when == "call" or (call.when == "setup" and call.excinfo is not None):
        _tell(item, call.excinfo.value if call.excinfo is not None else None, call.duration)


def _tell(item: pytest.Item, error: BaseException | None, seconds: float) -> None:
    """Make the result of a test, and hand it to the context."""
    exercise = marks_of(item).exercise
    if exercise is None:
        return
    context = item.config.stash.get(_CONTEXT, None)
    result = result_of(item, context, exercise, error, seconds)
    item.config.stash[_RESULTS][f"{exercise}::{result.name}"] = result
    if context is not None:
        context.on_result(exercise, result)
        if context.until_failure and not result.outcome.is_fine:
            item.session.shouldfail = f"{result.name}: {result.outcome}"
