"""Modules of the student's own that a page imports: they come along, as text, and live inside the wall only.

Only `.py` files beside the page, with a name that no page and no installed module has: `import random` must never mean
a student's file, neither by accident nor on purpose.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import PathFinder

from autograder.intake.cells import parse_cells
from autograder.intake.files import Entry, Parts, Unreadable
from autograder.intake.submission import PageSource
from autograder.text import printable

MAX_HELPERS = 20
MAX_HELPER_CHARS = 1 << 20
# a notebook's `%run module.py`, which the worker makes an import of (`sandbox.magics`)
_RUNS = re.compile(r"""^%run\s+(?:-[a-ln-z]\s+)*["']?(?:[^"'\s]*[/\\])?([A-Za-z_]\w*).*""")


class Helpers:
    """Collects what the pages of one student's unit import."""

    def __init__(self, entries: Sequence[Entry], pages: Sequence[str]) -> None:
        self._files = {entry.parts: entry for entry in entries if entry.name.endswith(".py")}
        self._folders = {entry.parts[:-1] for entry in self._files.values()}
        self._pages = frozenset(pages)
        self._taken: dict[str, tuple[Parts, PageSource]] = {}
        self._chars = 0
        self.used: set[Parts] = set()
        self.problems: list[str] = []

    @property
    def sources(self) -> list[PageSource]:
        """The helpers so far, by name."""
        return [source for _, (_, source) in sorted(self._taken.items())]

    def collect(self, page: PageSource, folder: Parts) -> None:
        """Take along what `page`, which lies in `folder`, imports from beside it, and what that imports."""
        waiting = [page]
        if not self._may_help(folder):
            return
        while waiting:
            for name in imported(waiting.pop().cells):
                entry = self._files.get((*folder, f"{name}.py"))
                if name in self._pages:
                    continue
                if entry is not None:
                    waiting += self._take(name, entry)
                elif (*folder, name) in self._folders:
                    self._say(f"{name}/: not read; only modules beside the page come along, not folders of them")

    def _may_help(self, folder: Parts) -> bool:
        """Whether anything but pages lies beside it: parsing every page to find out what it imports takes time."""
        return any(parts[:-1] == folder and parts[-1][:-3] not in self._pages for parts in self._files) or any(
            parts[:-1] == folder for parts in self._folders if parts
        )

    def _take(self, name: str, entry: Entry) -> list[PageSource]:
        self.used.add(entry.parts)
        if name in self._taken:
            if self._taken[name][0] != entry.parts:
                self._say(f"{printable(entry.path, 160)}: not read, another {name}.py comes along already")
            return []
        if is_installed(name):
            self._say(f"{name}.py: not read, it has the name of an installed module; give it another name")
            return []
        if len(self._taken) >= MAX_HELPERS:
            self._say(f"{name}.py: not read; at most {MAX_HELPERS} modules come along with the pages")
            return []
        try:
            cells = parse_cells(entry.read(), ".py")
        except Unreadable as error:
            self._say(f"{name}.py: {error}")
            return []
        self._chars += sum(map(len, cells))
        if self._chars > MAX_HELPER_CHARS:
            self._say(f"{name}.py: not read; modules beside the pages may have {MAX_HELPER_CHARS >> 20} MiB together")
            return []
        source = PageSource(name, ["".join(cells)], helper=True)
        self._taken[name] = (entry.parts, source)
        return [source]

    def _say(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def imported(cells: Sequence[str]) -> Iterator[str]:
    """The top-level names of the modules that the code imports, anywhere in it; each once."""
    seen: dict[str, None] = {}
    for cell in cells:
        for line in _import_lines(cell):
            if isinstance(line, ast.Import):
                seen.update(dict.fromkeys(alias.name.partition(".")[0] for alias in line.names))
            elif line.level == 0 and line.module:
                seen[line.module.partition(".")[0]] = None
    yield from seen


def _import_lines(cell: str) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a cell; of one that is not Python as a whole (magics), those that stand on lines of their own."""
    try:
        nodes = list(ast.walk(ast.parse(cell)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        nodes = []
        for line in cell.splitlines():
            line = _RUNS.sub(r"import \1", line)
            if line.lstrip().startswith(("import ", "from ")):
                try:
                    nodes += ast.parse(line.strip()).body
                except (SyntaxError, ValueError, RecursionError, MemoryError):
                    continue
    yield from (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))


@cache
def is_installed(name: str) -> bool:
    """Whether Python has a module of this name. Nothing is imported to find out."""
    if name in sys.stdlib_module_names or name in sys.builtin_module_names or name == "autograder":
        return True
    here = os.getcwd()  # where the command is run is no installation
    paths = [path for path in sys.path if path and os.path.abspath(path) != here]
    return PathFinder.find_spec(name, paths) is not None
