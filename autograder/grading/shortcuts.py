"""Finds a forbidden function in the code of an exercise, by reading the syntax tree. Nothing is executed.

Only code that the exercise's symbols can reach counts: their definitions, the helpers they mention, and so on. A
variable of a function's own is not the page's name (`scopes.py`). Names in comments and strings are no uses, and
neither is a use elsewhere on the page. What a tree cannot show (`getattr`, a method of a tensor) is refused by the
worker when it is called.
"""

import ast
import builtins
import copy
import sys
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from autograder.grading.scopes import bound_names, imported_names, outer_names
from autograder.intake.submission import PageSource
from autograder.sandbox.magics import plain_python


class Use(Struct, frozen=True):
    """A forbidden name, and the place that uses it: `page.ipynb, cell 2, line 5`."""

    name: str
    where: str


def find_shortcut(
    page: PageSource, symbols: Sequence[str], forbidden: Sequence[str], others: Sequence[PageSource] = ()
) -> Use | None:
    """The first forbidden use that `symbols` can reach, also through the `others`, which the page may import, or None.

    Cells that are not Python are passed over.
    """
    for dotted, place in _mentions(page, symbols, others, set()):
        for banned in forbidden:
            if dotted == banned or dotted.startswith(banned + "."):
                return Use(banned, place)
    return None


def reached(page: PageSource, symbols: Sequence[str], others: Sequence[PageSource] = ()) -> set[str]:
    """The module-level names of the page that the code of `symbols` can reach, through helpers and `others` too."""
    seen: set[tuple[str, str]] = set()
    for _ in _mentions(page, symbols, others, seen):
        pass
    return {name for module, name in seen if module == page.name}


def _mentions(
    page: PageSource, symbols: Sequence[str], others: Sequence[PageSource], seen: set[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """The dotted names that `symbols` can reach, each with its place; what was gone through is left in `seen`."""
    modules = _Modules((*others, page))
    waiting = [(page.name, symbol) for symbol in symbols]
    while waiting:
        module, name = waiting.pop(0)
        if (module, name) in seen:
            continue
        seen.add((module, name))
        here = modules[module]
        for definition, where in here.definitions.get(name, []):
            for line, dotted in here.uses(definition):
                yield dotted, f"{where.file}, line {where.above + line}"
                waiting += _meant(module, dotted, modules)
        own = [star for star in here.stars if star in modules]
        waiting += ((star, name) for star in own)
        if not any(name in modules[of].definitions for of in (module, *own)) and not hasattr(builtins, name):
            yield from ((f"{star}.{name}", here.stars[star]) for star in _may_bring(name, here.stars.keys() - own))


def _meant(module: str, dotted: str, modules: "_Modules") -> Iterator[tuple[str, str]]:
    """Whose definition a dotted name in `module` may mean."""
    head, _, rest = dotted.partition(".")
    if head in modules and rest:
        yield head, rest.partition(".")[0]
    else:
        yield module, head


def _may_bring(name: str, stars: Iterable[str]) -> list[str]:
    """Of installed modules of which everything is imported those that have a name, or may. None is imported here."""
    loaded = [star for star in stars if name in getattr(sys.modules.get(star), "__dict__", ())]
    return loaded or [star for star in stars if star not in sys.modules]


class _Modules:
    """The sources of a submission by name, each parsed when it is first looked into: most pages import no other."""

    def __init__(self, sources: Iterable[PageSource]) -> None:
        self._sources = {source.name: source for source in sources}
        self._parsed: dict[str, _Module] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._sources

    def __getitem__(self, name: str) -> "_Module":
        if name not in self._parsed:
            self._parsed[name] = _Module(self._sources[name])
        return self._parsed[name]


class _Module:
    """Module-level definitions by name, and what imported and assigned names stand for."""

    def __init__(self, source: PageSource) -> None:
        self.definitions: dict[str, list[tuple[ast.AST, _Place]]] = {}
        self.aliases: dict[str, str] = {}
        self.stars: dict[str, str] = {}  # modules of which everything is imported, with the place
        above = 0
        for number, cell in enumerate(source.cells, start=1):
            where = f"{source.name}.ipynb, cell {number}" if source.notebook else f"{source.name}.py"
            try:
                tree = ast.parse(plain_python(cell)[0])
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                tree = ast.Module([], [])
            for statement in tree.body:
                self._read(statement, _Place(where, above))
            if not source.notebook:
                above += cell.count("\n")

    def uses(self, definition: ast.AST) -> Iterator[tuple[int, str]]:
        """(line, dotted name) of everything the definition takes from outside, imported names spelt out."""
        yield from outer_names(definition, self.aliases)

    def _read(self, statement: ast.stmt, where: "_Place") -> None:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._define([statement.name], statement, where)
            inside = (node.names for node in ast.walk(statement) if isinstance(node, ast.Global))
            self._define((name for names in inside for name in names), statement, where)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            self.aliases.update(imported_names(statement))
            for alias in statement.names:  # another module may import it from this one
                self._define([(alias.asname or alias.name).split(".")[0]], _only(statement, alias), where)
            if isinstance(statement, ast.ImportFrom) and statement.module and statement.names[0].name == "*":
                self.stars[statement.module] = f"{where.file}, line {where.above + statement.lineno}"
        else:
            parts, inner = _parted(statement)
            self._define(bound_names(parts), ast.Module(parts, []) if inner else statement, where)  # type: ignore[arg-type]
            for below in inner:
                self._read(below, where)

    def _define(self, names: Iterable[str], definition: ast.AST, where: "_Place") -> None:
        for name in names:
            self.definitions.setdefault(name, []).append((definition, where))


def _parted(node: ast.AST) -> tuple[list[ast.AST], list[ast.stmt]]:
    """What is in a statement itself (the head of a loop, the patterns of a match), and the statements in it."""
    parts: list[ast.AST] = []
    inner: list[ast.stmt] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            inner.append(child)
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            more = _parted(child)
            parts += more[0]
            inner += more[1]
        else:
            parts.append(child)
    return parts, inner


class _Place(Struct, frozen=True):
    """Where a cell lies: its file, with the cell's number in a notebook, and the lines above it in a module."""

    file: str
    above: int


def _only(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.stmt:
    """The import without its other names."""
    alone = copy.copy(statement)
    alone.names = [alias]
    return alone
