"""A pytest session from Python: grader files are collected once, and run for one submission after the other.

Collecting costs as much as fifty small tests, so a room does it before it forks.
"""

import io
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from _pytest._io import TerminalWriter
from _pytest.config import _prepareconfig  # as pytest-xdist does: a configuration without a run

from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.grading.context import Context
from autograder.grading.marks import marks_of
from autograder.grading.plugin import hand_in, is_plain, run_plain

_UNUSED = (  # every plugin costs every test a few calls
    *("cacheprovider", "terminal", "faulthandler", "junitxml", "doctest", "logging", "unittest", "legacypath"),
    *("pastebin", "setuponly", "setupplan", "stepwise", "subtests", "unraisableexception", "threadexception"),
)


class CollectedTests:
    """The tests of some grader files, ready to run.

    The folder of a student is never among the files, no ini file or conftest is read, and no other plugin loads.

    Args:
        files: grader files or public checks.
        backstop_s: the time after which pytest-timeout ends a test; 0 for never. Where it is not installed (a machine
            with a GPU and little else), the room's own limit on the whole session is the backstop.
    """

    def __init__(self, files: Sequence[Path], backstop_s: float = 0.0) -> None:
        backstop = _has_timeouts()
        arguments = [
            *("-p", "autograder.grading.plugin", *(("-p", "pytest_timeout") if backstop else ())),
            *map(str, files),
            "--noconftest",
            f"-c{os.devnull}",
            f"--rootdir={files[0].parent}",
            "--import-mode=importlib",
            "--capture=no",
            *((f"--timeout={backstop_s}",) if backstop else ()),
            *(option for name in _UNUSED for option in ("-p", f"no:{name}")),
        ]
        errors, short = _CollectErrors(), _Short()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
            config = _prepareconfig(arguments, plugins=[errors, short])
        config.option.verbose = getattr(config.option, "verbose", 0)
        config.pluginmanager.register(_Unseen(), "terminalreporter")
        config._do_configure()
        self._session = pytest.Session.from_config(config)
        config.hook.pytest_sessionstart(session=self._session)
        config.hook.pytest_collection(session=self._session)
        for file in files:  # or another file of the same name (a page's public checks) would be taken for it
            sys.modules.pop(file.stem, None)
        if errors.texts:
            raise RuntimeError("\n".join(errors.texts))
        self.items = list(self._session.items)
        short.all_plain = all(map(is_plain, self.items))

    def run(self, context: Context, exercise: str | None = None, only: Collection[str] | None = None) -> None:
        """Run the tests on the submission of `context`; if asked, those of one exercise, or of these `full_name`s."""
        session = self._session
        hand_in(session.config, context)
        session.items = [
            item
            for item in self.items
            if exercise in (None, marks_of(item).exercise) and (only is None or marks_of(item).full_name in only)
            if context.compiles or not marks_of(item).compiles
        ]
        session.shouldfail = session.shouldstop = False
        session.testsfailed = 0
        try:
            session.config.hook.pytest_runtestloop(session=session)
        except session.Failed:  # the first failure was asked to be the end
            pass

    def close(self) -> None:
        """Take back what a configuration changes in this process (the import hook that rewrites asserts)."""
        self._session.config._ensure_unconfigure()


def _has_timeouts() -> bool:
    try:
        import pytest_timeout  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        return False
    return True


def grader_files(course: Course, unit: Unit) -> list[Path]:
    """The hidden grader of every page. Raises UsageError where one is missing."""
    files = [course.graders / unit.id / f"test_{page.name}.py" for page in unit.pages]
    for file in files:
        if not file.is_file():
            raise UsageError(f"{file} does not exist: page {file.stem[5:]!r} of {unit.id} has no hidden grader")
    return files


class _Unseen:
    """What pytest 8 asks for colours, and for a verbosity, while it explains an assert; it has no answer without."""

    def __init__(self) -> None:
        self._tw = TerminalWriter(io.StringIO())


class _CollectErrors:
    """What went wrong while grader files were imported."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.texts.append(f"{report.nodeid} cannot be collected: {report.longreprtext}")


class _Short:
    """What pytest does for a human reader or for fixtures that nobody here asks for, left out.

    Its phases and fixtures take as long as a small test itself (measured: 0.8 ms a test, 0.15 without). Its reports
    quote the source of every frame, for which whole files are parsed: 27 ms for each failed test, and nobody reads
    them, since a result's message is made from the exception. Fixtures of a grader's own, classes and skip marks work
    as ever: with one of them among the tests, all go pytest's way.
    """

    def __init__(self) -> None:
        self.all_plain = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Function) -> bool | None:
        if not self.all_plain:
            return None
        run_plain(item)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
        return pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="passed" if call.excinfo is None else "failed",
            longrepr=None,
            when=call.when,  # type: ignore[arg-type]  # no test is run to be collected
            duration=call.duration,
            start=call.start,
            stop=call.stop,
        )
