"""A student on a newer Python reads before the deadline what the grader's Python will not."""

import sys
from pathlib import Path

import msgspec
import pytest

from autograder.commands.check import _find
from autograder.commands.newer import newer_syntax
from autograder.course import Course, load_course
from autograder.errors import UsageError
from autograder.intake.submission import PageSource

newer = pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python reads no newer syntax than Python 3.11")


@pytest.fixture
def course() -> Course:
    return load_course(Path(__file__).parents[1])


def said(course: Course, *cells: str, notebook: bool = True) -> list[str]:
    return newer_syntax(course, [PageSource("causal_mask", list(cells), notebook=notebook)])


@newer
@pytest.mark.parametrize(
    "line",
    [
        "type Number = int | float",
        "def first[T](xs: list[T]) -> T: ...",
        "class Stack[T]: ...",
        "s = f'{d['x']}'",
        's = f"{d["x"]:>{w}} and {y!r}"',
        "s = f'''{ '''x''' }'''",
        "s = f'{\"\\n\".join(xs)}'",
        "s = f'{f'{x}'}'",
        "s = f'{x\n}'",
        "s = f'''{x  # the mean\n}'''",
        "x = await f(); s = f'{d['x']}'",
    ],
)
def test_what_only_a_newer_python_reads_is_named(course: Course, line: str) -> None:
    (sentence,) = said(course, "x = 1\n", f"%matplotlib inline\n{line}\n")
    assert sentence.startswith("causal_mask.ipynb, cell 2, line ")
    assert "pages are graded with Python 3.11" in sentence


@pytest.mark.parametrize(
    "code",
    [
        "s = f'{d[\"x\"]:>{w}} {{x}} \\n {y!r:>10}'",
        "s = f'''{\n  d['x']\n} \"' \\n'''",
        "s = f'{x}' '\\n' f\"{y}\"",
        "s = rf'\\d{x}'",
        "match x:\n    case [a, *_]: ...",
        "try: ...\nexcept* ValueError: ...",
        "x = await f()",
        "%%bash\nf'{d['x']}'",
        "!pip install x",
        "def f(:",  # no Python at all: the page's problems say so
    ],
)
def test_what_every_python_reads_is_not(course: Course, code: str) -> None:
    assert said(course, code) == []


@newer
def test_the_line_of_a_module_is_the_files(course: Course) -> None:
    (sentence,) = said(course, "x = 1\n\n", "# %%\ny = 2\ntype T = int\n", notebook=False)
    assert sentence.startswith("causal_mask.py, line 5: ")


@newer
def test_a_course_that_is_graded_with_it_says_nothing(course: Course) -> None:
    here = msgspec.structs.replace(course, python=f"3.{sys.version_info[1]}")
    assert said(here, "type T = int") == []


@newer
def test_check_names_the_file_that_would_be_graded(course: Course, tmp_path: Path) -> None:
    released = course.assignments / "unit2_self_attention" / "self_attention.py"
    mine = tmp_path / "self_attention.py"
    mine.write_text(released.read_text(encoding="utf-8") + "\ntype T = int\n", encoding="utf-8")
    said_there = _find(course, tmp_path, None).said
    assert any(line.startswith("self_attention.py, line ") and "Python 3.11" in line for line in said_there)


@pytest.mark.parametrize("python", ["3", "3.11.7", "python3.12"])
def test_a_version_that_is_none_is_refused(tmp_path: Path, python: str) -> None:
    text = (Path(__file__).parents[1] / "course.toml").read_text(encoding="utf-8")
    (tmp_path / "course.toml").write_text(text.replace('python = "3.11"', f'python = "{python}"'), encoding="utf-8")
    with pytest.raises(UsageError, match=r'\$\.python.*like "3.11"'):
        load_course(tmp_path)
