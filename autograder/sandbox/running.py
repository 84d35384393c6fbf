"""Runs the pages of a submission, cell by cell, and tells what went wrong in the student's own lines."""

import ast
import importlib.machinery
import io
import itertools
import linecache
import re
import sys
import traceback
import types
from typing import Any

from autograder.sandbox import wire

_MESSAGE_CHARS = 2000
_PRINTED_CHARS = 4000
_FRAMES = 8


class Pages:
    """The pages of one submission: their sources, and the modules that running them makes.

    As an import finder it lets one page import another; every other name is Python's own business.
    """

    def __init__(self) -> None:
        self.modules: dict[str, types.ModuleType] = {}
        self._sources: dict[str, wire.Source] = {}
        self._files: dict[str, str] = {}

    def add(self, sources: list[wire.Source]) -> None:
        """Know these pages from now on."""
        self._sources.update((source.name, source) for source in sources)

    def run(self, name: str, problems: list[wire.Problem]) -> types.ModuleType:
        """Run the cells in order in a fresh module; a cell that raises is recorded and the next one runs."""
        source = self._sources[name]
        module = types.ModuleType(name)
        self.modules[name] = sys.modules[name] = module
        for number, code in enumerate(source.cells, start=1):
            file = f"{name}.ipynb, cell {number}" if source.notebook else f"{name}.py"
            code = without_magics(code) if source.notebook else code
            self._files[file] = code
            linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
            try:
                exec(compile(code, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what a worker is for
            except BaseException as error:
                problems.append(self._problem(file, error))
        return module

    def _problem(self, file: str, error: BaseException) -> wire.Problem:
        frames = self._own_frames(error)
        line = error.lineno or 0 if isinstance(error, SyntaxError) else (frames[-1].line if frames else 0)
        message = error.msg if isinstance(error, SyntaxError) else _text(error)
        return wire.Problem(file, line, type(error).__name__, message)

    def raised(self, request_id: int, error: BaseException, printed: str) -> wire.Raised:
        """An exception as data."""
        return wire.Raised(
            request_id,
            bases=[base.__name__ for base in type(error).__mro__[:8]],
            message=_text(error),
            frames=self._own_frames(error),
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
        return self.run(spec.name, [])

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: `create_module` has run the cells."""


class Printed(io.TextIOBase):
    """What student code prints, up to a limit."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._size < _PRINTED_CHARS:
            self._parts.append(text[: _PRINTED_CHARS - self._size])
        self._size += len(text)
        return len(text)

    def text(self) -> str:
        return "".join(self._parts)


def _text(error: BaseException) -> str:
    try:
        return str(error)[:_MESSAGE_CHARS]
    except BaseException:  # a student's __str__ may raise anything
        return f"(a {type(error).__name__} whose message cannot be read)"


_MAGIC = re.compile(r"^(\s*)(?:[%!?].*|[\w.]+\?+\s*)$")


def without_magics(code: str) -> str:
    """A cell without IPython's magics and shell lines. Line numbers stay.

    Only where the cell is not Python as it stands, since `%` may also open a continued line.
    """
    try:
        ast.parse(code)
        return code
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    if code.lstrip().startswith("%%"):
        return ""
    return "\n".join(_MAGIC.sub(r"\1pass", line) for line in code.splitlines())
