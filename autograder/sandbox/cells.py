"""Executes cells in a module, as a notebook's kernel does: one after another, with magics and top-level `await`."""

import __future__

import ast
import asyncio
import builtins
import functools
import inspect
import types
from collections.abc import Collection
from typing import Any

from autograder.sandbox.magics import AWAITING, plain_python, runs_body

_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag


class Cells:
    """The cells of one module. It starts with what a notebook has without an import: `display`, `get_ipython`.

    A module that is no notebook has its `__file__`, too, as it has wherever students run it.
    """

    def __init__(self, module: types.ModuleType, module_file: str | None = None) -> None:
        self._namespace = module.__dict__
        self._namespace["__builtins__"] = builtins
        if module_file is not None:
            self._namespace["__file__"] = module_file
        self._namespace["display"] = _nothing
        self._namespace["get_ipython"] = lambda: _Shell(self)
        self._flags = AWAITING  # and what the cells before imported from __future__
        self.incomplete = False  # a statement was passed over: later ones may fail for want of it

    def run(self, code: str, file: str, line: int = 0, after: int = 0, passed_over: Collection[int] = ()) -> str | None:
        """Run a cell that begins below `line` of `file`. The name of the cell magic for which it is not run, if any.

        With `after`, run only what follows the statement that this line of the file belongs to; and none that a line
        of `passed_over` belongs to.
        """
        magic = None
        try:
            compiled = self._compile(code, file, line, after, passed_over)
        except SyntaxError:
            code, magic = plain_python(code)
            compiled = self._compile(code, file, line, after, passed_over)
        self._flags |= compiled.co_flags & _FUTURE
        if compiled.co_flags & inspect.CO_COROUTINE:
            asyncio.run(types.FunctionType(compiled, self._namespace)())
        else:
            exec(compiled, self._namespace)  # noqa: S102 - what a worker is for
        return magic

    def _compile(self, code: str, file: str, line: int, after: int, passed_over: Collection[int]) -> types.CodeType:
        source = "\n" * line + code
        if not after and not passed_over:
            return _remembered(source, file, self._flags)
        tree = ast.parse(source, file)
        tree.body = [s for s in tree.body if _first_line(s) > after and not _holds(s, passed_over)]
        return _compiled(tree, file, self._flags)


def _compiled(source: Any, file: str, flags: int) -> types.CodeType:
    code: types.CodeType = compile(source, file, "exec", flags, dont_inherit=True)
    return code


# The misconceptions of a page, which a diagnosis runs one after another in the grader, share all cells but one.
_remembered = functools.lru_cache(maxsize=512)(_compiled)


def _first_line(statement: ast.stmt) -> int:
    """Decorators are above the line of the function or class that they stand on."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _holds(statement: ast.stmt, lines: Collection[int]) -> bool:
    return any(_first_line(statement) <= line <= (statement.end_lineno or statement.lineno) for line in lines)


class _Shell:
    """What `get_ipython()` gives: nbconvert writes a notebook's magics as calls of it."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def run_cell_magic(self, magic: str, line: str, cell: str) -> None:
        if runs_body(magic):
            self._cells.run(cell, f"<%%{magic}>")

    def __getattr__(self, name: str) -> Any:
        return _nothing


def _nothing(*args: Any, **kwargs: Any) -> None:
    """What only a screen could show."""
