"""Runs the pages of a submission, cell by cell, and tells what went wrong in the student's own lines."""

import contextlib
import importlib.machinery
import io
import itertools
import linecache
import sys
import traceback
import types
import warnings
from typing import Any

from autograder.sandbox import wire
from autograder.sandbox.cells import Cells
from autograder.sandbox.interrupts import DidNotEnd, interruptible
from autograder.sandbox.refuse import ForbiddenCall, is_refusal
from autograder.sandbox.unread import why

_MESSAGE_CHARS = 2000
_PRINTED_CHARS = 4000
_FRAMES = 8
_WARNINGS = 3
_WARNING_CHARS = 300
_FAILED_STATEMENTS = 20  # of one cell; the rest of it is read again after each


class Pages:
    """The pages of one submission: their sources, and the modules that running them makes.

    As an import finder it lets one page import another; every other name is Python's own business.
    """

    def __init__(self) -> None:
        self.modules: dict[str, types.ModuleType] = {}
        self._sources: dict[str, wire.Source] = {}
        self._files: set[str] = set()
        self._passed_over: list[wire.Place] = []
        self.stopped: list[wire.Place] = []  # statements that were interrupted

    def interruptible(self, passed_over: list[wire.Place]) -> contextlib.AbstractContextManager[None]:
        """While it lasts, statements of the pages can be interrupted; those in `passed_over` are not even begun."""
        self._passed_over = passed_over
        return interruptible(self._files)

    def add(self, sources: list[wire.Source]) -> None:
        """Know these pages and helper modules from now on."""
        self._sources.update((source.name, source) for source in sources)

    def run(
        self, name: str, problems: list[wire.Problem], skipped: list[wire.Problem] | None = None
    ) -> types.ModuleType:
        """Run the cells in order in a fresh module; a statement that raises is recorded and the next one runs.

        `skipped` receives the cells that are no Python at all, such as `%%bash`, and what used something refused.
        """
        skipped = [] if skipped is None else skipped
        source = self._sources[name]
        module = types.ModuleType(name)
        self.modules[name] = sys.modules[name] = module
        cells = Cells(module, None if source.notebook else f"{name}.py")
        for number, code in enumerate(source.cells, start=1):
            file = f"{name}.ipynb, cell {number}" if source.notebook else f"{name}.py"
            line = 0 if source.notebook else sum(cell.count("\n") for cell in source.cells[: number - 1])
            self._remember(file, code if source.notebook else "".join(source.cells))
            try:
                magic = self._run_cell(cells, code, file, line, skipped, problems)
            except BaseException as error:
                problems.append(self._problem(file, error))
            else:
                if magic is not None:
                    skipped.append(wire.Problem(file, line + 1, "not run", f"the cell begins with {magic}"))
        return module

    def _run_cell(
        self,
        cells: Cells,
        code: str,
        file: str,
        line: int,
        skipped: list[wire.Problem],
        problems: list[wire.Problem] | None = None,
    ) -> str | None:
        """Run a cell. A statement that uses something refused is passed over, with all that fails for want of it.

        A page may compare its own function with the library's wherever it likes: that costs the comparison only. With
        `problems` any statement that raises is recorded there and passed over: an import that only Colab has costs
        what needs it, and not the definitions below it. One that was interrupted is noted in `stopped`.
        """
        after = failed = 0
        passed_over = [place.line for place in self._passed_over if place.file == file]
        while True:
            try:
                return cells.run(code, file, line, after, passed_over)
            except BaseException as error:
                cells.incomplete = cells.incomplete or is_refusal(error)
                after = next((n for frame, n in traceback.walk_tb(error.__traceback__) if _is_top(frame, file)), 0)
                if isinstance(error, DidNotEnd) and after > line:
                    self.stopped.append(wire.Place(file, after))
                    continue
                into = skipped if cells.incomplete else problems
                failed += into is problems
                if into is None or failed > _FAILED_STATEMENTS or after <= line:  # or none of a statement of this cell
                    raise
                into.append(self._problem(file, error))

    def _remember(self, file: str, code: str) -> None:
        if file not in self._files:
            self._files.add(file)
            lines = list(io.StringIO(code))  # as Python counts them: `splitlines` ends one at a form feed, too
            linecache.cache[file] = (len(code), None, lines, file)

    def _problem(self, file: str, error: BaseException) -> wire.Problem:
        frames = self._own_frames(error)
        here = [frame.line for frame in frames if frame.file == file]
        line, message = here[-1] if here else 0, _text(error)
        within = ""
        if isinstance(error, ForbiddenCall):
            return wire.Problem(file, line, "not run", f"it uses {message}, which an exercise of this page asks for")
        if isinstance(error, SyntaxError):
            message = error.msg
            if error.filename == file or not frames:
                line = error.lineno or 0
                message = why(message, linecache.getline(file, line))
            else:  # of a module that the cell imports
                within = f" ({error.filename}, line {error.lineno})"
        elif frames and frames[-1].file != file:
            within = f" ({frames[-1].file}, line {frames[-1].line})"
        if isinstance(error, ImportError) and message.startswith("attempted relative import"):
            message += "; pages are in no package: of a file beside them, `from name import ...`, without the dot"
        return wire.Problem(file, line, type(error).__name__, message + within)

    def raised(self, request_id: int, error: BaseException, printed: str) -> wire.Raised:
        """An exception as data."""
        frames = self._own_frames(error)
        while type(error).__name__ == "InterpreterError" and error.__cause__ is not None:  # Triton's, around a kernel's
            error = error.__cause__
            frames += self._own_frames(error)
        return wire.Raised(
            request_id,
            bases=[base.__name__ for base in type(error).__mro__[:8]],
            message=_text(error),
            frames=frames[-_FRAMES:],
            printed=printed,
        )

    def _own_frames(self, error: BaseException) -> list[wire.Frame]:
        """The student's own lines of the traceback, innermost last."""
        steps = itertools.islice(traceback.walk_tb(error.__traceback__), 1000)
        own = [(frame.f_code, line) for frame, line in steps if frame.f_code.co_filename in self._files]
        return [
            wire.Frame(code.co_filename, line, code.co_name, linecache.getline(code.co_filename, line).strip()[:200])
            for code, line in own[-_FRAMES:]
        ]

    # -- the import system's side

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name not in self._sources:
            return None
        return importlib.machinery.ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> types.ModuleType:
        if self._sources[spec.name].helper:
            return types.ModuleType(spec.name)
        return self.run(spec.name, [])

    def exec_module(self, module: types.ModuleType) -> None:
        """Run a helper, which raises as any module does. Of a page, `create_module` has run the cells."""
        source = self._sources[module.__name__]
        if source.helper:
            file, code = f"{source.name}.py", "".join(source.cells)
            self._remember(file, code)
            self._run_cell(Cells(module, file), code, file, 0, [])


class Printed(io.TextIOBase):
    """What student code prints, up to a limit."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def reconfigure(self, **options: Any) -> None:
        """What Windows users write at the top of a module (`encoding="utf-8"`) changes nothing here."""

    def write(self, text: str) -> int:
        if self._size < _PRINTED_CHARS:
            self._parts.append(text[: _PRINTED_CHARS - self._size])
        self._size += len(text)
        return len(text)

    def text(self) -> str:
        return "".join(self._parts)

    @property
    def chars(self) -> int:
        """How much was written, what was not kept included."""
        return self._size


class Warned:
    """Collects the first warnings that Python gives while a page is loaded. Use as a context manager."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __enter__(self) -> "Warned":
        self._show, warnings.showwarning = warnings.showwarning, self._take
        return self

    def __exit__(self, *exc: object) -> None:
        warnings.showwarning = self._show

    def _take(
        self, message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        text = f"{filename}: line {lineno}: " if "/" not in filename else ""
        if len(self.texts) < _WARNINGS:
            self.texts.append(f"{text}{getattr(category, '__name__', 'Warning')}: {_text(message)}"[:_WARNING_CHARS])


def _is_top(frame: types.FrameType, file: str) -> bool:
    return frame.f_code.co_filename == file and frame.f_code.co_name == "<module>"


def _text(error: BaseException) -> str:
    try:
        return str(error)[:_MESSAGE_CHARS]
    except BaseException:  # a student's __str__ may raise anything
        return f"(a {type(error).__name__} whose message cannot be read)"
