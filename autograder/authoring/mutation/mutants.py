"""The mutants of a page: each is the page's source with one place changed, inside one exercise's solution.

The replaced text is cut out of the source and everything else stays as it was, so that a diff shows the one place.
"""

import ast
import difflib
import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from autograder.authoring.mutation.operators import changes

_CELL = re.compile(r"# %%(?P<options>.*)")
_EXERCISE = re.compile(r'\bexercise="(?P<id>[^"]+)"')


class Mutant(Struct, frozen=True):
    """A changed source. `symbol`, `text` (the line before, stripped) and `change` name it without line numbers."""

    symbol: str
    line: int
    text: str
    change: str
    source: str


def page_mutants(source: str) -> dict[str, list[Mutant]]:
    """The mutants of each exercise of a page: of its solution regions, and of the defaults in its signatures."""
    cells: dict[int, str] = {}
    solved: set[int] = set()
    exercise, inside = None, False
    for number, line in enumerate(source.split("\n"), start=1):
        if cell := _CELL.match(line):
            found = _EXERCISE.search(cell["options"])
            exercise = found["id"] if found else None
        inside = (inside or "### BEGIN SOLUTION" in line) and "### END SOLUTION" not in line
        if exercise is not None:
            cells[number] = exercise
            if inside:
                solved.add(number)
    by_exercise: dict[str, list[Mutant]] = {exercise: [] for exercise in cells.values()}
    for mutant in mutate(source, solved.__contains__, cells.__contains__):
        by_exercise[cells[mutant.line]].append(mutant)
    return by_exercise


def mutate(
    source: str, body: Callable[[int], bool] = lambda line: True, signature: Callable[[int], bool] = lambda line: True
) -> list[Mutant]:
    """Every mutant, in the order of the lines, no two alike.

    Args:
        body: whether a line (from 1) may be changed.
        signature: whether the defaults of parameters on a line may be.
    """
    tree = ast.parse(source)
    lines = source.split("\n")
    named: dict[tuple[str, str, str], int] = {}
    seen = {ast.dump(tree)}
    mutants = []
    for old, kind, new in _wanted(tree, body, signature):
        text = _replace(source, old, new)
        shape = ast.dump(ast.parse(text))
        if shape in seen:
            continue
        seen.add(shape)
        first, _ = _span(old)
        symbol = next((n.name for n in tree.body if isinstance(n, _DEFINITIONS) and _holds(n, first)), "")
        change = f"{kind}: {ast.unparse(old)}" + ("" if isinstance(new, ast.Pass) else f" -> {ast.unparse(new)}")
        key = (symbol, lines[first - 1].strip(), change)
        named[key] = named.get(key, 0) + 1
        again = f" ({named[key]})" if named[key] > 1 else ""
        mutants.append(Mutant(symbol, first, key[1], change + again, text))
    return mutants


def diff(before: str, after: str) -> list[str]:
    """The lines that differ, with - and + in front."""
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


_DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def _wanted(
    tree: ast.Module, body: Callable[[int], bool], signature: Callable[[int], bool]
) -> list[tuple[ast.AST, str, ast.AST]]:
    """(what to replace, kind, with what), in the order of the source."""
    modules = {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    arguments = [node for node in ast.walk(tree) if isinstance(node, ast.arguments)]
    defaults = {id(node) for a in arguments for d in (*a.defaults, *a.kw_defaults) if d for node in ast.walk(d)}
    wanted = []
    for node in _walk(tree):
        for kind, old, new in changes(node, modules):
            first, last = _span(old)
            if all(map(body, range(first, last + 1))) or (id(old) in defaults and signature(first)):
                wanted.append((old, kind, new))
    return sorted(wanted, key=lambda change: (_span(change[0])[0], change[0].col_offset))  # type: ignore[attr-defined]


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Like ast.walk, without docstrings and annotations, and without f-strings, whose parts have no honest position."""
    yield node
    closed = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns") and not closed:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _walk(child)


def _span(node: ast.AST) -> tuple[int, int]:
    return node.lineno, node.end_lineno  # type: ignore[attr-defined]


def _holds(node: ast.AST, line: int) -> bool:
    first, last = _span(node)
    return first <= line <= last


_CLOSED = (ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.Subscript, ast.List, ast.Tuple, ast.stmt, ast.Slice)


def _replace(source: str, old: ast.AST, new: ast.AST) -> str:
    """`source` with the text of `old` replaced. Columns of a syntax tree count bytes."""
    data = source.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    begin = starts[old.lineno - 1] + old.col_offset  # type: ignore[attr-defined]
    end = starts[old.end_lineno - 1] + old.end_col_offset  # type: ignore[attr-defined]
    text = ast.unparse(new)
    if not isinstance(new, _CLOSED) or (isinstance(new, ast.Constant) and data[end:].lstrip().startswith(b".")):
        text = f"({text})"  # also `2.to(...)`, which is no number
    return (data[:begin] + text.encode() + data[end:]).decode()
