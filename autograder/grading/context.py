"""What a hidden test is given: one unit of one submission, the proxy that tests call, and why a test may not run."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from autograder.course import Course, Exercise, Unit
from autograder.policies import Limits
from autograder.results.record import Measured, PageLoad, TestResult
from autograder.sandbox.devices import Device

if TYPE_CHECKING:
    from autograder.grading.shortcuts import Use
    from autograder.grading.verdict import Ratio
    from autograder.sandbox import wire
    from autograder.sandbox.client import Answered, Page, Remote
    from autograder.sandbox.launch import Sandbox
    from autograder.sandbox.local import LocalPage
    from autograder.sandbox.workers import Workers


MAX_PROBLEMS = 10  # lines about one page; a notebook of somebody else's has hundreds
_SLOW = 0.5  # of the time limit
_LOUD = 4000  # characters
_RACE_S = 3600.0  # for a page's calls and for what the grader computes in between; each call has its own limit


class Blocked(Exception):
    """A prerequisite on the same page failed."""


class Deferred(Exception):
    """This machine lacks the hardware that the test needs."""


class Context:
    """One unit of one submission, ready to be graded: its pages, the sandbox they run in, the seed of the run.

    `second` is a sandbox that no student code has run in, for what a student's code is timed against. `device` is the
    GPU, where there is one and this run is to use it; without, tests that need one are deferred. `compiling` is a
    sandbox in which kernels are compiled; one is started where a test asks for it and none was given.
    """

    def __init__(
        self,
        course: Course,
        unit: Unit,
        sources: Sequence[Any],
        sandbox: "Workers",
        run_seed: bytes,
        second: "Workers | None" = None,
        device: Device | None = None,
        compiling: "Sandbox | None" = None,
    ) -> None:
        self.course = course
        self.unit = unit
        self.run_seed = run_seed
        self.device = device
        self.measured: Measured | None = None  # by the race of the test that runs
        self.pairs: int | None = None  # of a race, where a rehearsal wants fewer than usual
        self.transport: str | None = None  # how arrays travel to the device, once it was probed
        self.completing = False  # True: only tests that an earlier run has deferred, and whose conditions it has seen
        self.until_failure = False  # True: the first failure ends the session, and no misconception is named
        self._sources = sources
        self._sandbox = sandbox
        self._page: Page | None = None
        self._pages: dict[str, Page] = {}
        self._ends_at = 0.0  # set with the first page
        self.ratios: dict[tuple[str, str], Ratio | Exception] = {}  # by exercise and measure, once they were raced
        self._second = second
        self.told = ""  # what the running test has to say although it passes
        self.compiles = True  # False: tests that ask a compiler are left out
        self.cannot_compile = ""  # why nothing can be compiled here
        self._compiling, self._own_compiling = compiling, False
        self._compilers: dict[int, Page] = {}
        self._carried: Mapping[str, Mapping[str, Any]] = {}
        self._own_second: Sandbox | None = None
        self._on_device: dict[int, Sandbox] = {}
        self._pseudonyms: dict[str, str] = {}
        self._shortcuts: dict[str, Use | None] = {}  # by exercise, once it was looked for
        self.on_result: Callable[[str, TestResult], None] = lambda exercise, result: None

    def page(self, name: str) -> "Page":
        """The page's worker, started on first use. One at a time: a new page ends the one before."""
        from autograder.sandbox.client import Page

        if name not in self._pages:
            made = Page(self._sandbox, name, self._on_the_wire(), self.unit.page(name).asked_names, self.course.limits)
            made.carried = self._carried.get(name, {})
            self._ends_at = made.ends_at = self._ends_at or made.ends_at  # all pages share the submission's time
            self._pages[name] = made
        if self._page is not None and self._page is not self._pages[name]:
            self._page.close()
        self._page = self._pages[name]
        return self._page

    def _on_the_wire(self) -> "list[wire.Source]":
        """All that was handed in, as workers take it."""
        from autograder.sandbox import wire

        return [wire.Source(s.name, s.cells, s.notebook, s.helper) for s in self._sources]

    def once_more(self, carried: Mapping[str, Mapping[str, Any]]) -> "Context":
        """The same submission with fresh workers, in which the grader answers for some symbols of some pages.

        What the submission has left of its time is all there is.
        """
        again = Context(self.course, self.unit, self._sources, self._sandbox, self.run_seed, self._second)
        again._carried, again._ends_at, again._shortcuts = carried, self._ends_at, self._shortcuts
        return again

    def is_broken(self, page: str) -> bool:
        """Whether the page was tried and cannot be run."""
        return page in self._pages and self._pages[page].is_broken

    def did_without(self, page: str) -> str:
        """What the running test asked for and the page does not define, or nothing."""
        return self._pages[page].did_without if page in self._pages else ""

    def source(self, page: str) -> Any:
        """The page as it was handed in, or None."""
        return next((source for source in self._sources if source.name == page), None)

    def others(self, page: str) -> list[Any]:
        """The submission's other files, which the page may import."""
        return [source for source in self._sources if source.name != page]

    def local_page(self, name: str, source: Any) -> "LocalPage":
        """The page with `source` of ours in place of the submission's, run in this process."""
        from autograder.sandbox.local import LocalPage

        return LocalPage.of(self.unit.page(name), source.cells, self.course.limits)

    def baseline_page(self, source: str) -> "Page":
        """A page of the grader's own in the second sandbox, which is started where nobody has handed one in."""
        from autograder.sandbox import wire
        from autograder.sandbox.client import Page
        from autograder.sandbox.launch import Sandbox

        if self._second is None:
            rung, privileged = self._sandbox.rung, self._sandbox.privileged
            hidden = (self.course.root,)
            self._second = self._own_second = Sandbox(rung, self.course.limits, hidden, privileged=privileged)
        return Page(self._second, "baseline", [wire.Source("baseline", [source])], [], self.course.limits)

    def compiling_page(self, name: str, exercise_id: str, capability: int) -> "Page":
        """The submission's page in a worker that compiles kernels for a card of this compute capability.

        One for all exercises: what it says is nobody's points. End it after each use. Raises Blocked where none is.
        """
        from autograder.sandbox.client import Page
        from autograder.sandbox.launch import Sandbox
        from autograder.sandbox.workers import SandboxError

        if self._compiling is None and not self.cannot_compile:
            rung = self._sandbox.rung if self._sandbox is not None else "none"  # none: a notebook's own kernel
            privileged = self._sandbox.privileged if self._sandbox is not None else None
            hidden = (self.course.root,) if rung != "none" else ()
            try:
                self._compiling = Sandbox(rung, self.course.limits, hidden, privileged=privileged, compiles=True)
                self._own_compiling = True
            except SandboxError as error:
                self.cannot_compile = str(error)
        if self._compiling is None or self.cannot_compile:
            raise Blocked(f"kernels cannot be compiled here: {self.cannot_compile}")
        if capability not in self._compilers:
            limits = msgspec.structs.replace(self.limits(exercise_id), submission_wall_s=_RACE_S)
            made = Page(self._compiling, name, self._on_the_wire(), self.unit.page(name).asked_names, limits)
            made.card = capability
            self._compilers[capability] = made
        return self._compilers[capability]

    def device_page(self, name: str, exercise_id: str) -> "Page":
        """A second page of the submission's, in a sandbox that reaches the device."""
        from autograder.sandbox.client import Page

        sandbox = self.device_sandbox(0)
        limits = msgspec.structs.replace(sandbox.limits, submission_wall_s=_RACE_S)
        page = Page(sandbox, name, self._on_the_wire(), self.unit.page(name).asked_names, limits)
        page.begin(exercise_id, self._device_limits(exercise_id), self.unit.exercise(exercise_id).forbidden)
        return page

    def device_baseline(self, source: str) -> "Page":
        """A page of the grader's own, in a sandbox that reaches the device and never runs student code."""
        from autograder.sandbox import wire
        from autograder.sandbox.client import Page

        sandbox = self.device_sandbox(1)
        limits = msgspec.structs.replace(sandbox.limits, submission_wall_s=_RACE_S)
        return Page(sandbox, "baseline", [wire.Source("baseline", [source])], [], limits)

    def device_sandbox(self, number: int) -> "Sandbox":
        """The sandbox of the student's (0) or of the grader's own code (1), started on first use."""
        from autograder.sandbox.launch import Sandbox

        assert self.device is not None
        if number not in self._on_device:
            self._on_device[number] = Sandbox(
                self._sandbox.rung,
                self.course.limits,
                (self.course.root,),
                privileged=self._sandbox.privileged,
                with_gpu=self.device.is_cuda,
            )
        return self._on_device[number]

    def _device_limits(self, exercise_id: str) -> Limits:
        from autograder.sandbox import gpu

        assert self.device is not None
        limits = gpu.limits(self.limits(exercise_id)) if self.device.is_cuda else self.limits(exercise_id)
        return msgspec.structs.replace(limits, submission_wall_s=_RACE_S)

    def pseudonym(self, page: "Page") -> str:
        """The name that a page gives itself for a table of the fastest (`PSEUDONYM = "..."`), or nothing."""
        from autograder.sandbox.client import Remote
        from autograder.sandbox.failures import StudentError
        from autograder.sandbox.wire import Target
        from autograder.text import printable

        if page.name not in self._pseudonyms:
            try:
                value = page.fetch(Remote(page, Target(None, ["PSEUDONYM"])))
            except StudentError:
                value = None
            # SECURITY: it will be shown
            self._pseudonyms[page.name] = printable(" ".join(value.split()), 40) if isinstance(value, str) else ""
        return self._pseudonyms[page.name]

    def limits(self, exercise_id: str) -> Limits:
        """The limits for one exercise."""
        return self.course.limits_for(self.unit.exercise(exercise_id))

    def refuse_shortcut(self, page: str, exercise_id: str) -> None:
        """Raises StudentForbidden where the exercise's code uses what it is asked to write."""
        from autograder.sandbox.failures import StudentForbidden, shortcut_words

        exercise = self.unit.exercise(exercise_id)
        source = self.source(page)
        if not exercise.forbidden or source is None:
            return
        if exercise_id not in self._shortcuts:
            # all of the page at once: where nothing is found, as is usual, the source was parsed once
            exercises = self.unit.page(page).exercises
            if self._shortcut(source, exercises) is None:
                self._shortcuts.update(dict.fromkeys((e.id for e in exercises), None))
            else:
                self._shortcuts[exercise_id] = self._shortcut(source, [exercise])
        if (use := self._shortcuts[exercise_id]) is not None:
            raise StudentForbidden(shortcut_words(use.name, f"  {use.where}"))

    def _shortcut(self, source: Any, exercises: Sequence[Exercise]) -> "Use | None":
        """Something that one of the exercises forbids and the code of one of them uses."""
        from autograder.grading.shortcuts import find_shortcut

        symbols = [symbol for exercise in exercises for symbol in exercise.symbols]
        forbidden = [name for exercise in exercises for name in exercise.forbidden]
        return find_shortcut(source, symbols, forbidden, self.others(source.name))

    def problems(self) -> list[str]:
        """What went wrong while the pages were imported, one line each."""
        from autograder.text import readable

        said = []
        for page in self._pages.values():
            of_page = [
                readable(f"{p.file}: line {p.line}: {p.error}: {p.message}")
                for p in [*page.problems, *(page.skipped if self._lacks_a_symbol(page) else [])]
                if p.error != "NotImplementedError"
            ]
            more = [f"{page.name}: {len(of_page) - MAX_PROBLEMS} more problems of this page"]
            said += [*of_page[:MAX_PROBLEMS], *(more if len(of_page) > MAX_PROBLEMS else []), *told_of_loading(page)]
        return said

    def loads(self) -> list[PageLoad]:
        """What loading took, of every page that was tried."""
        from autograder.text import readable

        return [
            PageLoad(
                page=page.name,
                seconds=round(page.loading.seconds, 3),
                limit_s=page.loading.limit_s,
                ended=page.loading.ended,
                printed_chars=page.loading.printed_chars,
                warnings=[readable(text) for text in page.loading.warnings],
                defines=sorted(self._asked_of(page) & page.left_behind),  # SECURITY: the worker says any names
            )
            for page in self._pages.values()
            if page.loading is not None
        ]

    def _lacks_a_symbol(self, page: "Page") -> bool:
        return not self._asked_of(page) <= page.left_behind

    def _asked_of(self, page: "Page") -> set[str]:
        return {s for exercise in self.unit.page(page.name).exercises for s in exercise.symbols}

    def close(self) -> None:
        """End the workers, and the sandbox's other processes with them."""
        for page in self._pages.values():
            page.close()
        own = self._compiling if self._own_compiling else None
        for sandbox in (self._own_second, own, *self._on_device.values()):
            if sandbox is not None:
                sandbox.close()


def told_of_loading(page: "Page") -> list[str]:
    """Lines about a page that does too much while it is loaded: time, output, warnings."""
    from autograder.text import readable

    loading = page.loading
    if loading is None:
        return []
    said = []
    guard = 'move what is no definition, such as training, under `if __name__ == "__main__":`'
    if not loading.ended:
        said.append(f"{page.name}: loading this page did not end within {loading.limit_s:.1f} s: {guard}")
    elif loading.seconds > _SLOW * loading.limit_s:
        said.append(f"{page.name}: loading this page took {loading.seconds:.1f} s of {loading.limit_s:.1f}: {guard}")
    if loading.printed_chars > _LOUD:
        said.append(f"{page.name}: loading this page printed {loading.printed_chars} characters: {guard}")
    said += [f"{page.name}: warning while loading: {readable(text)}" for text in loading.warnings]
    return said


class Student:
    """The submission as graders see it: every attribute is a name on the page under test."""

    def __init__(self, page: "Page") -> None:
        self._page = page

    def __getattr__(self, name: str) -> "Remote":
        from autograder.sandbox.client import Remote
        from autograder.sandbox.wire import Target

        if name.startswith("__"):
            raise AttributeError(name)
        return Remote(self._page, Target(None, [name]))

    @property
    def given(self) -> "Remote":
        """`autograder.given` inside: `student.given.MultiHeadAttention(8, 2)` is the handle of a module there."""
        from autograder.sandbox.client import Remote
        from autograder.sandbox.wire import GIVEN, Target

        return Remote(self._page, Target(None, [GIVEN]))

    def has(self, name: str) -> bool:
        """Whether the page defines `name`; asks for the page's exercise symbols and `figure_data` only.

        A test that passes although something was missing has looked at nothing, and its weight is 0.
        """
        defined = self._page.defines(name)
        if not defined:
            self._page.did_without = name
        return defined

    def leave_out(self, position: int) -> None:
        """This part of the last answer, a tuple or list, is the student's own affair (a cache of any form, say).

        It has no say in what the cause of a mistake is.
        """
        seen = self._page.transcript[-1]
        if isinstance(seen.value, list | tuple):
            value = [None if place == position else part for place, part in enumerate(seen.value)]
            self._page.transcript[-1] = msgspec.structs.replace(seen, value=value)

    def heard(self, value: Any) -> None:
        """What a callback was given counts like an answer where the cause of a mistake is looked for."""
        from autograder.sandbox.client import Answered

        self._page.note(Answered(value=value, echo=None, grads=None, parameters=None, randoms=None, printed=""))

    def vjp(
        self,
        function: "Remote",
        *inputs: Any,
        cotangent: Any,
        parameters: bool = False,
        wanted: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> "Answered":
        """The output, and the gradients of the floating inputs (and parameters) for `cotangent`.

        With `wanted`, only the inputs at these positions require a gradient.
        """
        return self._page.call(function, inputs, kwargs, cotangent=cotangent, parameters=parameters, wanted=wanted)

    def measure(self, function: "Remote", *args: Any, cotangent: Any = None, **kwargs: Any) -> "Answered":
        """Like `function(*args)` (with a cotangent: and its gradients); `.measured` counts memory and work."""
        return self._page.call(function, args, kwargs, cotangent=cotangent, measure=True)

    def seeded(self, function: "Remote", *args: Any, seed: int = 20, **kwargs: Any) -> Any:
        """Like `function(*args)`, with the global generators at `seed`: what drops at random can be run again."""
        return self._page.call(function, args, kwargs, seed_globals=seed).value

    def call(self, function: "Remote", *args: Any, **kwargs: Any) -> Any:
        """Like `function(*args)`, with the arguments as they are afterwards in `.echo` as (args, kwargs)."""
        return self._page.call(function, args, kwargs, echo=True)
