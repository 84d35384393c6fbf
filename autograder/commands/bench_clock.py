"""Where the time of a grading session goes, measured inside the session.

A `Clock` charges every moment to the innermost thing that is going on. The names of those things are `PARTS`.
"""

import contextlib
import functools
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from autograder.commands.bench_class import Member
from autograder.course import Course, Unit
from autograder.intake.submission import PageSource, Submission

PAGES, STUDENT, WIRE, REFERENCE = "loading pages", "student code", "wire", "reference"
DIAGNOSIS, SHORTCUTS, TESTS, PYTEST, START = "diagnosis", "looking for shortcuts", "test bodies", "pytest", "start"
PARTS = (STUDENT, PAGES, REFERENCE, WIRE, DIAGNOSIS, SHORTCUTS, TESTS, PYTEST, START)
_WHOLE = (PAGES, DIAGNOSIS, SHORTCUTS)  # what happens within these belongs to them


class Clock:
    """Seconds by label, on the wall and of this process's CPU; an inner label takes its time from the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        self._labels: list[str] = []
        self._since = (0.0, 0.0)

    @contextlib.contextmanager
    def on(self, label: str) -> Iterator[None]:
        self._charge()
        whole = bool(self._labels) and self._labels[-1] in _WHOLE
        self._labels.append(self._labels[-1] if whole else label)
        try:
            yield
        finally:
            self._charge()
            self._labels.pop()

    def _charge(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        if self._labels:
            self.seconds[self._labels[-1]] += wall - self._since[0]
            self.cpu_seconds[self._labels[-1]] += cpu - self._since[1]
        self._since = wall, cpu

    def timed(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time charged to `label`."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.on(label):
                return function(*args, **kwargs)

        return wrapped

    def time_module(self, label: str, module: ModuleType, patch: pytest.MonkeyPatch) -> None:
        """Charge all functions and methods that the module defines."""
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if isinstance(value, FunctionType):
                patch.setattr(module, name, self.timed(label, value))
            elif isinstance(value, type):
                for method, function in list(vars(value).items()):
                    if isinstance(function, FunctionType):
                        patch.setattr(value, method, self.timed(label, function))


def session_seconds(course: Course, unit: Unit, members: Sequence[Member], rung: str) -> dict[str, float]:
    """Seconds that a room spends on each of `PARTS` while it grades the members, one after the other."""
    from autograder.rooms.room import Room

    clock = Clock()
    with pytest.MonkeyPatch.context() as patch, tempfile.NamedTemporaryFile() as file:
        _watch(clock, Path(file.name), patch)
        with Room(course.root, [unit.id], rung, b"autograder bench") as room:
            for name, module in list(sys.modules.items()):
                if name.startswith(f"autograder_reference.{unit.id}."):
                    clock.time_module(REFERENCE, module, patch)
            started = time.perf_counter()
            for member in members:
                room.grade(submission(unit, member))
            total = time.perf_counter() - started
        sessions = [json.loads(line) for line in Path(file.name).read_text().splitlines()]
    seconds = {part: sum(session.get(part, 0.0) for session in sessions) for part in PARTS}
    return {**seconds, START: total - sum(seconds.values())}


def submission(unit: Unit, member: Member) -> Submission:
    """What intake makes of the member's files."""
    sources = [PageSource(name, cells, member.notebook) for name, cells in member.pages.items()]
    pages = [] if member.untouched else sources
    return Submission(student=member.name, unit=unit.id, pages=pages, problems=[], digest="")


def _watch(clock: Clock, file: Path, patch: pytest.MonkeyPatch) -> None:
    """Charge the parts of a session; each session appends its seconds to `file` as its process ends."""
    from autograder.grading import diagnose, session
    from autograder.grading.context import Context
    from autograder.sandbox import client
    from autograder.sandbox.channel import Channel

    run = session.CollectedTests.run

    def timed_run(self: session.CollectedTests, *args: Any) -> None:
        clock.seconds.clear()
        try:
            with clock.on(PYTEST):
                run(self, *args)
        finally:
            with file.open("a") as lines:
                lines.write(json.dumps(clock.seconds) + "\n")

    patch.setattr(session.CollectedTests, "run", timed_run)
    for owner, name, label in (
        (client.Page, "load", PAGES),
        (client.Page, "_answered", WIRE),
        (client.Page, "fetch", WIRE),
        (client, "run_callback", TESTS),
        (Channel, "receive", STUDENT),
        (Context, "refuse_shortcut", SHORTCUTS),
        (diagnose, "diagnose", DIAGNOSIS),
        (pytest.Function, "runtest", TESTS),
        (session, "run_plain", TESTS),
    ):
        patch.setattr(owner, name, clock.timed(label, getattr(owner, name)))
