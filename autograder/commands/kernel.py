"""What the kernel of the notebook that calls us holds: its names, and the cells that were run, as far as they count."""

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from msgspec import Struct

from autograder.sandbox.magics import plain_python


class Kernel(Struct):
    """`cells` are those that were run, without definitions that a later cell replaced; `file` is the notebook."""

    namespace: dict[str, Any]
    cells: list[str]
    file: Path


def kernel_here(page: str) -> Kernel | None:
    """The kernel that this process is, None where it is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return None
    namespace: dict[str, Any] = shell.user_ns
    cells = list(shell.history_manager.input_hist_raw[1:])  # `In` holds what IPython made of them
    names = [namespace.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME"), namespace.get("__session__")]
    files = [Path(name) for name in names if isinstance(name, str) and is_named(name, page)]
    file = next((file for file in files if file.is_file()), Path.cwd() / f"{page}.ipynb")
    return Kernel(namespace, current(cells), file)


def has_compiled_kernels(namespace: dict[str, Any]) -> bool:
    """Whether a Triton kernel is among the names that is compiled for a GPU, not interpreted."""
    jit = sys.modules.get("triton.runtime.jit")
    return jit is not None and any(isinstance(_unwrapped(value), jit.JITFunction) for value in namespace.values())


def _unwrapped(value: Any) -> Any:
    """A kernel without what tunes it (`triton.autotune`, `triton.heuristics`)."""
    while type(value).__module__ == "triton.runtime.autotuner" and hasattr(value, "fn"):
        value = value.fn
    return value


def is_named(name: str, page: str, paths: type[PurePath] = Path) -> bool:
    """Whether a path, as an editor gives it on its system, is that of the page's notebook."""
    return paths(name).name == f"{page}.ipynb"


def current(cells: Sequence[str]) -> list[str]:
    """The cells with definitions that a later one replaced taken out; what is left keeps its line."""
    later: set[str] = set()
    kept: list[str] = []
    for cell in reversed(cells):
        code, _ = plain_python(cell)
        lines = code.split("\n")
        statements = _statements(code)
        for node in statements:
            names = set(_defined(node))
            if names and names <= later:
                first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
                for number in range(first - 1, node.end_lineno or node.lineno):
                    lines[number] = ""
        later |= {name for node in statements for name in _defined(node)}
        kept.append("\n".join(lines))
    return kept[::-1]


def differing(here: Sequence[str], saved: Sequence[str], symbols: Sequence[str]) -> list[str]:
    """What the symbols can reach here, and what is defined otherwise, or not at all, in the saved cells."""
    mine, theirs = _definitions(here), _definitions(saved)
    seen: list[str] = []
    waiting = list(symbols)
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in mine:
            continue
        seen.append(name)
        waiting += sorted({node.id for node in ast.walk(mine[name]) if isinstance(node, ast.Name)})
    return [name for name in seen if name not in theirs or ast.dump(theirs[name]) != ast.dump(mine[name])]


def _definitions(cells: Sequence[str]) -> dict[str, ast.stmt]:
    """The last definition of each name."""
    return {name: node for cell in cells for node in _statements(plain_python(cell)[0]) for name in _defined(node)}


def _statements(code: str) -> list[ast.stmt]:
    try:
        return ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
