"""`check("exercise")` in a notebook: the public checks on what the kernel holds now, saved or not."""

import io
import os
import secrets
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from autograder.commands.check import check_cells, check_path, run_checks
from autograder.commands.checked import CheckedFolder, CheckedPage, render_checks
from autograder.commands.kernel import Kernel, differing, has_compiled_kernels, kernel_here
from autograder.commands.newer import newer_syntax
from autograder.course import Course, Page, find_root, load_course
from autograder.errors import UsageError
from autograder.intake.cells import parse_cells
from autograder.intake.files import Unreadable
from autograder.intake.submission import PageSource
from autograder.settings import did_you_mean

if TYPE_CHECKING:
    from autograder.grading.context import Context


def check(exercise: str) -> None:
    """Check one exercise of the page in this folder, and print how far it is.

    In a notebook the functions count that are defined in it now; elsewhere the file does.
    """
    from autograder.sandbox.worker import keeping_globals

    with keeping_globals():
        try:
            _check(exercise)
        except UsageError as error:  # a sentence for the student, who has no use for our frames above it
            print(f"autograder: {error}")  # noqa: T201


def _check(exercise: str) -> None:
    course = load_course(find_root(Path.cwd()))
    page = next((p for unit in course.units for p in unit.pages if any(e.id == exercise for e in p.exercises)), None)
    if page is None:
        known = [e.id for unit in course.units for e in unit.exercises]
        raise UsageError(f"no exercise {exercise!r} in this course{did_you_mean(str(exercise), known)}")
    kernel = kernel_here(page.name)
    if kernel is None:
        _print(check_path(course, Path.cwd(), exercise))
        return
    said = _about_the_file(course, kernel, exercise)
    said += newer_syntax(course, [PageSource(page.name, kernel.cells, notebook=True)])
    checked = CheckedFolder([_check_kernel(course, page, kernel, exercise)], said)
    if "ipykernel" not in sys.modules:
        _print(checked)
        return
    from IPython.display import HTML, display

    console = _console(record=True)
    with open(os.devnull, "w", encoding="utf-8") as console.file:
        render_checks(checked, console)
    display(HTML(console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")))


def _print(checked: CheckedFolder) -> None:
    """A stream without UTF-8 shows \\u03c0 for what it cannot write, and is left as it was."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):  # a notebook's, or a test's
        render_checks(checked, _console())
        return
    errors = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        render_checks(checked, _console())
    finally:
        stream.reconfigure(errors=errors)


def _console(record: bool = False) -> Console:
    return Console(record=record, soft_wrap=True, highlight=False, force_jupyter=False)


def _check_kernel(course: Course, page: Page, kernel: Kernel, exercise: str) -> CheckedPage:
    source = PageSource(page.name, kernel.cells, notebook=True)
    if has_compiled_kernels(kernel.namespace):  # which take no tensors of the CPU: interpreted in another process
        return check_cells(course, page, source, kernel.file, exercise)
    context = _context(course, page, source, kernel.namespace)
    checked = run_checks(course, page, kernel.file.parent, context, exercise)
    context.close()
    return CheckedPage(page, kernel.file, checked, [])


def _context(course: Course, page: Page, source: PageSource, namespace: dict[str, Any]) -> "Context":
    """A context whose page is the kernel's namespace, in this process: no wall between students and themselves."""
    from autograder.grading.context import Context
    from autograder.sandbox.local import LocalPage

    local = LocalPage(page.name, [], page.asked_names, course.limits)
    local.adopt(ModuleType(page.name), namespace)

    class Here(Context):
        def page(self, name: str) -> LocalPage:
            return local

    return Here(course, course.unit(page.unit), [source], None, secrets.token_bytes(16))  # type: ignore[arg-type]


def _about_the_file(course: Course, kernel: Kernel, exercise: str) -> list[str]:
    """What is handed in is the file: say where it is not what was checked."""
    symbols = next(e.symbols for unit in course.units for e in unit.exercises if e.id == exercise)
    try:
        saved = parse_cells(kernel.file.read_bytes(), ".ipynb")
    except (OSError, Unreadable):
        return [f"{kernel.file.name} is not in {kernel.file.parent}: save the notebook there under this name"]
    names = differing(kernel.cells, saved, symbols)
    if not names:
        return []
    return [f"{kernel.file.name} as it is saved differs from this ({', '.join(names)}): save the notebook"]
