"""Finds a forbidden function in the code of an exercise, by reading the syntax tree. Nothing is executed.

Only code that the exercise's symbols can reach counts: their definitions, the helpers they mention, and so on. Names in
comments and strings are no uses, and neither is a use elsewhere on the page. What a tree cannot show (`getattr`, a
method of a tensor) is refused by the worker when it is called.
"""

import ast
from collections.abc import Iterator, Sequence

from msgspec import Struct


class Use(Struct, frozen=True):
    """A forbidden name, and the line of its cell that uses it."""

    name: str
    line: int


def find_shortcut(cells: Sequence[str], symbols: Sequence[str], forbidden: Sequence[str]) -> Use | None:
    """The first forbidden use that `symbols` can reach, or None. Cells that are not Python are passed over."""
    page = _Page(cells)
    seen: set[str] = set()
    waiting = list(symbols)
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        for definition in page.definitions.get(name, []):
            for line, dotted in page.uses(definition):
                for banned in forbidden:
                    if dotted == banned or dotted.startswith(banned + "."):
                        return Use(banned, line)
                waiting.append(dotted.split(".")[0])
    return None


class _Page:
    """Module-level definitions by name, and what imported and assigned names stand for."""

    def __init__(self, cells: Sequence[str]) -> None:
        self.definitions: dict[str, list[ast.stmt]] = {}
        self._aliases: dict[str, str] = {}
        for cell in cells:
            try:
                body = ast.parse(cell).body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            for statement in body:
                self._read(statement)

    def uses(self, definition: ast.stmt) -> Iterator[tuple[int, str]]:
        """(line, dotted name) of everything the definition mentions, imported names spelt out."""
        local = dict(self._aliases)
        for node in ast.walk(definition):
            if isinstance(node, ast.Import | ast.ImportFrom):
                local.update(_imported(node))
                yield from ((node.lineno, name) for name in _imported(node).values())
        for node in ast.walk(definition):
            if isinstance(node, ast.Name | ast.Attribute):
                dotted = _dotted(node)
                if dotted is not None:
                    head, _, rest = dotted.partition(".")
                    yield node.lineno, ".".join(filter(None, (local.get(head, head), rest)))

    def _read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.definitions.setdefault(statement.name, []).append(statement)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            self._aliases.update(_imported(statement))
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    self.definitions.setdefault(target.id, []).append(statement)
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            for inner in ast.iter_child_nodes(statement):
                if isinstance(inner, ast.stmt):
                    self._read(inner)


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """What each name of an import stands for."""
    if isinstance(node, ast.Import):
        return {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names}
    return {a.asname or a.name: f"{node.module or ''}.{a.name}" for a in node.names}


def _dotted(node: ast.expr) -> str | None:
    """`a.b.c` for a chain of attributes from a name, else None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None
