"""`autograder demo`: a class of sample submissions, one for each thing that happens in a real class."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from autograder.authoring.build import source_notebook
from autograder.commands.grade import Options, run_grade
from autograder.commands.graded import Report
from autograder.course import Course, Page, Unit
from autograder.errors import UsageError

_ENDLESS = """
def {symbol}(*args, **kwargs):
    while True:
        pass
"""
_GREEDY = """
def {symbol}(*args, **kwargs):
    return torch.ones(20 * 2**30, dtype=torch.uint8)
"""
_UNWRITTEN = """
def {symbol}(*args, **kwargs):
    raise NotImplementedError()
"""
_WRONG_SHAPE = """
class {symbol}({symbol}):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)[..., :-1]
"""


def run_demo(course: Course, folder: Path, isolation: str, console: Console) -> Report:
    """Make the class in `folder/submitted`, grade it into `folder/graded`, show the table. Raises UsageError."""
    submitted, graded = folder / "submitted", folder / "graded"
    if submitted.exists() and not (submitted / _MARK).exists():
        raise UsageError(f"{submitted} exists and is not a sample class: give another folder")
    shutil.rmtree(submitted, ignore_errors=True)
    make_class(course, submitted)
    console.print(f"a sample class of {len(list(submitted.iterdir())) - 1} students: {submitted}", markup=False)
    options = Options(submitted=submitted, out=graded, isolation=isolation, jobs=2)
    return run_grade(course, options, quiet=False, console=console)


_MARK = ".sample-class"


def make_class(course: Course, submitted: Path, unit_id: str = "unit2_self_attention") -> None:
    """One folder per sample student. Every one but the first two and the untouched one breaks a single thing."""
    unit = course.unit(unit_id)
    first, last = unit.pages[0], unit.pages[-1]
    function = first.exercises[0].symbols[0]
    layer = next(e for e in unit.exercises for s in e.symbols if s[0].isupper())
    samples: dict[str, Callable[[Path], None]] = {
        "solved-as-modules": lambda f: None,
        "solved-as-notebooks": lambda f: _as_notebooks(course, unit, f),
        "untouched": lambda f: _release(course, unit, f),
        "half-finished": lambda f: _append(f, first, _UNWRITTEN.format(symbol=function)),
        "syntax-error": lambda f: _break(f, last, last.exercises[-1].symbols[0]),
        "endless-loop": lambda f: _append(f, first, _ENDLESS.format(symbol=function)),
        "greedy-for-memory": lambda f: _append(f, first, _GREEDY.format(symbol=function)),
        "exits-at-import": lambda f: _append(f, last, "import os\nos._exit(0)\n"),
        "class-of-wrong-shape": lambda f: _append(
            f, unit.page(layer.page), _WRONG_SHAPE.format(symbol=layer.symbols[0])
        ),
    }
    submitted.mkdir(parents=True)
    (submitted / _MARK).touch()
    for name, spoil in samples.items():
        folder = submitted / name / unit.id
        folder.mkdir(parents=True)
        for page in unit.pages:
            shutil.copy(course.solutions / unit.id / f"{page.name}.py", folder)
        spoil(folder)


def _append(folder: Path, page: Page, code: str) -> None:
    with (folder / f"{page.name}.py").open("a", encoding="utf-8") as file:
        file.write("\n\n" + code)


def _break(folder: Path, page: Page, symbol: str) -> None:
    """A colon too much in the first line of a definition."""
    path = folder / f"{page.name}.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(rf"(?m)^(def|class) {symbol}\b", rf"\1 {symbol}:", text), encoding="utf-8")


def _as_notebooks(course: Course, unit: Unit, folder: Path) -> None:
    import nbformat

    for page in unit.pages:
        (folder / f"{page.name}.py").unlink()
        nbformat.write(source_notebook(course, unit, page), folder / f"{page.name}.ipynb")


def _release(course: Course, unit: Unit, folder: Path) -> None:
    for page in unit.pages:
        shutil.copy(course.assignments / unit.id / f"{page.name}.py", folder)
        shutil.copy(course.assignments / unit.id / f"{page.name}.ipynb", folder)
