"""Known wrong answers: small wrong implementations, each with the explanation that a student gets.

They live in `autograder/graders/<unit>/misconceptions/<page>.py`:

    from autograder.grading.misconceptions import correct, misconception

    @misconception("sdpa_torch", symbol="scaled_dot_product_attention")
    def detached_output(q, k, v, **options):
        \"\"\"What you probably wrote, why it is wrong, what to look at; never the solution.\"\"\"
        return correct.scaled_dot_product_attention(q, k, v, **options).detach()

The name of the function (or class) is the misconception's id, unless `id=` says otherwise. `correct` is the solved
page.
A mutant page is the solved page with the file run after it and one symbol replaced: the same text serves as a
submission (in the sandbox, for `validate`) and as a suspect (in the grader, for `diagnose`).
"""

import ast
import inspect
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

from autograder.course import Course
from autograder.errors import UsageError
from autograder.intake.cells import parse_cells
from autograder.intake.submission import PageSource

_HERE = "autograder.grading.misconceptions"

_PREAMBLE = """
import types as _types
correct = _types.SimpleNamespace(**{k: v for k, v in globals().items() if not k.startswith("_")})
def misconception(exercise, *, symbol, id=None):
    return lambda wrong: wrong
"""


class Misconception(Struct, frozen=True):
    """A wrong implementation of one symbol. `explanation` is its docstring, for the student."""

    id: str
    exercise: str
    symbol: str
    definition: str
    explanation: str


class _Correct:
    """Stands for the solved page while a misconception file is only being read."""

    def __getattr__(self, name: str) -> type:
        return type(name, (), {})


correct: Any = _Correct()


def misconception(exercise: str, *, symbol: str, id: str | None = None) -> Callable[[Any], NoReturn]:
    """Marks a wrong implementation of `symbol`. Misconception files are read, never imported: see `load`."""
    raise UsageError(f"a misconception file is not to be imported ({exercise}, {symbol}, {id}): use {_HERE}.load")


@cache
def load(course_root: Path, unit: str, page: str) -> tuple[Misconception, ...]:
    """The misconceptions of a page, in the order of the file; none where the page has no such file.

    Raises UsageError where a definition lacks its decorator's arguments or its explanation.
    """
    path = _path(course_root, unit, page)
    if not path.is_file():
        return ()
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "misconception":
                found.append(_read(path, node, decorator))
    return tuple(found)


def _read(path: Path, node: ast.FunctionDef | ast.ClassDef, decorator: ast.Call) -> Misconception:
    try:
        given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in decorator.keywords}
        (exercise,) = (ast.literal_eval(argument) for argument in decorator.args)
        symbol = given.pop("symbol")
        name = given.pop("id", node.name)
    except (ValueError, KeyError):
        raise UsageError(
            f'{path}:{decorator.lineno}: write @misconception("<exercise>", symbol="<name>") with plain strings'
        ) from None
    explanation = ast.get_docstring(node)
    if given or not explanation:
        what = f"unknown argument {sorted(map(str, given))}" if given else "no docstring: it is what students read"
        raise UsageError(f"{path}:{node.lineno}: {node.name}: {what}")
    return Misconception(name, exercise, symbol, node.name, inspect.cleandoc(explanation))


def mutant_page(course: Course, unit: str, page: str, wrong: Misconception) -> PageSource:
    """The solved page with one misconception in it."""
    cells = _cells(course.solutions / unit / f"{page}.py", _path(course.root, unit, page))
    return PageSource(page, [*cells, f"{wrong.symbol} = {wrong.definition}"])


@cache
def _cells(solution: Path, misconceptions: Path) -> tuple[str, ...]:
    """What all mutants of a page begin with. A diagnosis makes some twenty of them, and reading took half its time."""
    tree = ast.parse(misconceptions.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == _HERE)]
    return (*parse_cells(solution.read_bytes(), ".py"), _PREAMBLE, ast.unparse(tree))


def _path(root: Path, unit: str, page: str) -> Path:
    return root / "autograder" / "graders" / unit / "misconceptions" / f"{page}.py"


def main() -> None:
    """`python -m autograder.grading.misconceptions UNIT PAGE ID`: print a mutant page, to look at or to grade."""
    from autograder.course import find_root, load_course

    unit, page, wanted = sys.argv[1:]
    course = load_course(find_root(Path.cwd()))
    wrong = next(m for m in load(course.root, unit, page) if m.id == wanted)
    print("\n\n".join(mutant_page(course, unit, page, wrong).cells))  # noqa: T201


if __name__ == "__main__":
    main()
