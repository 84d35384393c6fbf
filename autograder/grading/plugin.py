"""The pytest plugin: fixtures `student`, `reference`, `draw`; the markers of `marks`; outcomes.

A grader file is plain pytest. Which submission it grades is a `Context`: the batch hands one in; run by hand,
`pytest autograder/graders/<unit>/test_<page>.py [--submission PATH]` makes one (the solution by default), and the
public checks `test_<page>.py` beside a student's page make one for that page.
"""

import secrets
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET, UnsetType

from autograder.course import find_root, load_course
from autograder.errors import UsageError
from autograder.grading.context import Blocked, Context, Deferred, Student
from autograder.grading.marks import MARKERS, is_timed, marks_of
from autograder.results.record import Measured, Outcome, TestResult

if TYPE_CHECKING:
    from autograder.grading.draw import Draw
    from autograder.grading.gpu import GpuRacer
    from autograder.grading.misconceptions import Misconception
    from autograder.grading.racing import Racer
    from autograder.sandbox.workers import Workers

_CONTEXT = pytest.StashKey[Context]()
_RESULTS = pytest.StashKey["dict[str, TestResult]"]()


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
    context = config.stash.get(_CONTEXT, None)
    own = config.stash.get(_OWN_SANDBOX, None)
    if own is not None and context is not None:
        context.close()
        own.close()


_OWN_SANDBOX: "pytest.StashKey[Workers]" = pytest.StashKey()


def pytest_report_header(config: pytest.Config) -> str | None:
    seed = config.getoption("--run-seed")
    return f"autograder: run seed {seed}" if seed else None


def _context(request: pytest.FixtureRequest) -> Context:
    """The context of the run, made on first use where nobody handed one in."""
    config = request.config
    if _CONTEXT not in config.stash:
        try:
            config.stash[_CONTEXT] = _context_by_hand(config, Path(request.path))
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[_CONTEXT]


def _context_by_hand(config: pytest.Config, test_file: Path) -> Context:
    import torch

    from autograder.intake.cells import parse_cells
    from autograder.intake.listing import list_folder
    from autograder.intake.placing import Rules, place
    from autograder.intake.released import Released
    from autograder.intake.submission import PageSource
    from autograder.sandbox.devices import find_device
    from autograder.sandbox.portable import workers_without_wall
    from autograder.sandbox.rungs import choose_rung

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
        path = given or test_file.parent / f"{_page_name(test_file)}.py"
        if given is None and not path.exists():
            path = path.with_suffix(".ipynb")
        pages = [
            PageSource(_page_name(test_file), parse_cells(path.read_bytes(), path.suffix), path.suffix == ".ipynb")
        ]
    rung = config.getoption("--isolation") or ("none" if given is None else "auto")
    sandbox: Workers
    if (chosen := choose_rung(rung)) == "none":
        sandbox = workers_without_wall(course.limits)
    else:
        from autograder.sandbox.launch import Sandbox

        sandbox = Sandbox(chosen, course.limits, hidden=(course.root,))
    config.stash[_OWN_SANDBOX] = sandbox
    seed = config.getoption("--run-seed")
    wanted = config.getoption("--device")
    device = None if wanted is None else find_device(wanted)
    return Context(
        course, unit, pages, sandbox, bytes.fromhex(seed) if seed else secrets.token_bytes(16), device=device
    )


def _page_name(test_file: Path) -> str:
    return test_file.stem.removeprefix("test_")


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


def _student(item: pytest.Item, context: Context) -> Student:
    page = context.page(_page_name(item.path))
    exercise = marks_of(item).exercise
    if exercise:
        page.begin(exercise, context.limits(exercise), context.unit.exercise(exercise).forbidden)
        context.refuse_shortcut(page.name, exercise)
    return Student(page)


def _reference(item: pytest.Item, context: Context) -> ModuleType:
    from autograder.grading.references import load_reference

    return load_reference(context.course, context.unit.id, _page_name(item.path))


def _draw(item: pytest.Item, context: Context) -> "Draw":
    from autograder.grading.draw import Draw

    return Draw(context.run_seed, f"{item.path.stem}::{item.name}")


def _race(item: pytest.Item, context: Context) -> "Racer":
    from autograder.grading.racing import Racer

    exercise = marks_of(item).exercise
    if exercise is None:
        raise UsageError(f"{item.name}: a race belongs to an exercise; mark the test with exercise(...)")
    return Racer(context, context.page(_page_name(item.path)), context.unit.exercise(exercise))


def _gpu(item: pytest.Item, context: Context) -> "GpuRacer":
    exercise = marks_of(item).exercise
    if exercise is None:
        raise UsageError(f"{item.name}: a race belongs to an exercise; mark the test with exercise(...)")
    results = item.config.stash[_RESULTS]
    others = [result for key, result in results.items() if key.startswith(f"{exercise}::")]
    if others and not context.completing and not any(result.outcome is Outcome.PASSED for result in others):
        raise Blocked("nothing else of this exercise passes yet: put that right first")
    if context.device is None:
        raise Deferred("needs a GPU: these points are pending until a machine with one completes them")
    from autograder.grading.gpu import GpuRacer

    page, seed = context.page(_page_name(item.path)), f"{item.path.stem}::{item.name}"
    return GpuRacer(context, page, context.unit.exercise(exercise), context.device, seed)


# ---------------------------------------------------------------- the short way


_CONDITIONS = ("skip", "skipif", "xfail")
_MAKERS: "dict[str, Callable[[pytest.Item, Context], object]]" = {
    "student": _student,
    "reference": _reference,
    "draw": _draw,
    "race": _race,
    "gpu": _gpu,
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
    marks = marks_of(item)
    exercise, name = marks.exercise, marks.name
    if exercise is None:
        return
    outcome = classify(error)
    if outcome is Outcome.GRADER_ERROR and error is not None and _is_about_form(item, error):
        outcome, error = Outcome.FAILED, AssertionError(not_the_form(f"{type(error).__name__}: {error}"))
    message = "" if error is None else _message(item, outcome, error)
    cause = _diagnosed(item, exercise, error) if outcome in (Outcome.FAILED, Outcome.RAISED) else None
    missing = _did_without(item) if outcome is Outcome.PASSED else ""
    result = TestResult(
        name=name,
        outcome=outcome,
        weight=0.0 if missing else marks.weight,
        gate=marks.gate,
        message=f"counts nothing: the page has no {missing}" if missing else message,
        hint=cause.explanation if cause is not None else "",
        misconception=cause.id if cause is not None else None,
        duration_s=round(seconds, 4),
        measured=_measured(item),
    )
    item.config.stash[_RESULTS][f"{exercise}::{name}"] = result
    if (context := item.config.stash.get(_CONTEXT, None)) is not None:
        context.on_result(exercise, result)
        if context.until_failure and not outcome.is_fine:
            item.session.shouldfail = f"{name}: {outcome}"


def _did_without(item: pytest.Item) -> str:
    """What the test asked for and the page does not define: nothing is won by leaving it out, and nothing lost."""
    context = item.config.stash.get(_CONTEXT, None)
    return "" if context is None else context.did_without(_page_name(item.path))


def _measured(item: pytest.Item) -> Measured | UnsetType:
    """What this test's race has measured, once."""
    context = item.config.stash.get(_CONTEXT, None)
    if context is None or context.measured is None:
        return UNSET
    measured, context.measured = context.measured, None
    return measured


def classify(error: BaseException | None) -> Outcome:
    """What an exception out of a test means for the student."""
    from autograder.sandbox.failures import StudentError

    if error is None:
        return Outcome.PASSED
    if isinstance(error, StudentError):
        return Outcome(error.outcome)
    if isinstance(error, Blocked):
        return Outcome.BLOCKED
    if isinstance(error, Deferred):
        return Outcome.DEFERRED
    if isinstance(error, pytest.fail.Exception) and "Timeout" in str(error):
        return Outcome.TIMED_OUT
    if isinstance(error, AssertionError):
        return Outcome.FAILED
    return Outcome.GRADER_ERROR


# What Python, NumPy and torch raise where a check takes apart an answer of another type or shape.
_OF_FORM = (TypeError, ValueError, IndexError, KeyError, AttributeError, RuntimeError)


def _is_about_form(item: pytest.Item, error: BaseException) -> bool:
    """Whether a public check, which the solution passes wherever it was built, broke on the answer that it was given.

    Of a hidden test the room finds out, which has the solution at hand.
    """
    if _is_hidden(item) or not isinstance(error, _OF_FORM):
        return False
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_filename == str(item.path) for frame, _ in frames)


def not_the_form(cause: str) -> str:
    """What a student reads whose answer broke the test."""
    return f"the answer does not have the form that was asked for ({cause[:200]})"


def _diagnosed(item: pytest.Item, exercise: str, error: BaseException | None) -> "Misconception | None":
    """The misconception that gives the student's very answers. Never a reason for a grader error."""
    from autograder.grading.diagnose import diagnose

    context = item.config.stash.get(_CONTEXT, None)
    if context is None or error is None or context.until_failure or not isinstance(item, pytest.Function):
        return None
    if is_timed(item):  # how fast a misconception is says nothing
        return None
    try:
        return diagnose(item, context, exercise, error)
    except Exception:  # a diagnosis is a courtesy; the verdict stands without it
        return None


def _message(item: pytest.Item, outcome: Outcome, error: BaseException) -> str:
    """The check's own sentence, then what was seen."""
    from autograder.text import readable

    if outcome is Outcome.GRADER_ERROR:
        return readable("".join(traceback.format_exception(error))[-4000:])
    sentence = (getattr(item, "function", item).__doc__ or item.name).strip().split("\n\n")[0]
    said = str(error).split("\nassert ")[0]
    if said.startswith("assert ") and _is_hidden(item):  # SECURITY: pytest's account shows the reference's values
        said = "the answer is not what it should be"
    said = readable(said)  # SECURITY: escape sequences, megabytes of text
    return f"{' '.join(sentence.split())}\n  {said}"


def _is_hidden(item: pytest.Item) -> bool:
    """Whether the test is a hidden grader's, not a public check."""
    context = item.config.stash.get(_CONTEXT, None)
    return context is not None and item.path.is_relative_to(context.course.graders)
