"""assignments/ is built from solutions/: up to date, complete, valid for nbgrader. What would leak is refused."""

import ast
import functools
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from autograder.authoring import build as building
from autograder.course import Course, Page, Unit
from autograder.errors import UsageError

TinyCourse = Callable[[Path], Course]


def pages(course: Course) -> list[tuple[Unit, Page]]:
    return [(unit, page) for unit in course.units for page in unit.pages]


def folder_files(folder: Path) -> list[tuple[str, bytes]]:
    return [
        (path.name, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".ipynb", ".md")
    ]


# ---------------------------------------------------------------- the real course


def test_assignments_are_up_to_date(course: Course) -> None:
    """What lies in assignments/ is what solutions/ builds; otherwise run `autograder build`."""
    assert building.stale(course) == []


def test_cells_are_what_nbgrader_expects(course: Course) -> None:
    """Each exercise has one solution cell and, right behind it, a locked check cell that is worth its points."""
    for unit, page in pages(course):
        notebook = nbformat.reads((course.assignments / unit.id / f"{page.name}.ipynb").read_text(), as_version=4)
        nbformat.validate(notebook)
        marked = [
            (i, cell.metadata["nbgrader"]) for i, cell in enumerate(notebook.cells) if "nbgrader" in cell.metadata
        ]
        assert all(data["schema_version"] == 3 and data["cell_type"] == "code" for _, data in marked), page.name
        solutions = [(i, data) for i, data in marked if data["solution"]]
        grades = [(i, data) for i, data in marked if data["grade"]]
        assert len(solutions) + len(grades) == len(marked)
        assert {data["grade_id"] for _, data in solutions} == {e.id for e in page.exercises}
        assert [data["grade_id"] for _, data in grades] == [f"{data['grade_id']}_score" for _, data in solutions]
        assert [i for i, _ in grades] == [i + 1 for i, _ in solutions]
        points = {f"{e.id}_score": e.points for e in page.exercises}
        assert {data["grade_id"]: data["points"] for _, data in grades} == points
        assert all(data["locked"] and data["checksum"] for _, data in grades)
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def run_stub(course: Course, unit: Unit, page: Page, suffix: str) -> dict[str, Any]:
    """The names that the released page defines when it is run from top to bottom, without its check cells."""
    path = course.assignments / unit.id / (page.name + suffix)
    if suffix == ".py":
        spec = importlib.util.spec_from_file_location(f"stub_{page.name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return vars(module)
    names: dict[str, Any] = {"__name__": f"stub_{page.name}"}
    for cell in nbformat.reads(path.read_text(), as_version=4).cells:
        if cell.cell_type == "code" and not cell.metadata.get("nbgrader", {}).get("grade"):
            exec(compile(cell.source, str(path), "exec", dont_inherit=True), names)
    return names


def is_unwritten(symbol: Any) -> bool:
    """Whether a function, or a method of a class, says that it is not written yet when it is called."""
    if not inspect.isclass(symbol):
        return says_so(symbol)
    for method in vars(symbol).values():
        function = getattr(method, "__func__", method)
        if inspect.isfunction(function):
            bound = functools.partial(function, symbol.__new__(symbol) if function is method else None)
            if says_so(bound):
                return True
    return False


def says_so(function: Any) -> bool:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    args = [None for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    try:
        result = function(*args, **{p.name: None for p in parameters if p.kind is p.KEYWORD_ONLY})
        list(result if inspect.isgenerator(result) else ())
    except NotImplementedError:
        return True
    except Exception:
        return False
    return False


@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_stubs_run_and_are_unwritten(course: Course, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A released page runs without an error, and every symbol that is to be written raises NotImplementedError."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for unit, page in pages(course):
        names = run_stub(course, unit, page, suffix)
        for exercise in page.exercises:
            for symbol in exercise.symbols:
                assert is_unwritten(names[symbol]), f"{unit.id}/{page.name}{suffix}: {symbol}"


# ---------------------------------------------------------------- a tiny course, changed


def test_stale_files_are_named_and_mended(tiny_course: TinyCourse, tmp_path: Path, cli: Callable[..., Any]) -> None:
    """A changed, a missing and a superfluous file are reported by --check, which writes nothing; build mends all."""
    course = tiny_course(tmp_path)
    folder = course.assignments / "unit0_tiny"
    assert building.stale(course) == []
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "tiny_page.py").write_text("x = 1")
    (folder / "README.md").unlink()
    (folder / "old_page.ipynb").write_text("{}")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "kept.py").write_text("")
    assert {path.name for path in building.stale(course)} == {"tiny_page.py", "README.md", "old_page.ipynb"}
    checked = cli("build", "--check", cwd=course.root)
    assert checked.returncode == 1
    for name in ("tiny_page.py", "README.md", "old_page.ipynb"):
        assert f"stale: assignments/unit0_tiny/{name}\n" in checked.stdout
    assert checked.stdout.count("stale:") == 3 and (folder / "old_page.ipynb").exists()
    assert {path.name for path in building.build(course)} == {"tiny_page.py", "README.md", "old_page.ipynb"}
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert building.build(course) == []


BEGIN, END = "    ### BEGIN SOLUTION\n", "    ### END SOLUTION\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('# %% exercise="twice"', "# %%", "a solution region outside a cell marked"),
        ("# Twice $x$ is $2x$.", "# ### END SOLUTION", "a solution region outside a cell marked"),
        ('exercise="twice"', 'exercise="thrice"', "exercise='thrice', which course.toml does not have on this page"),
        (f"{BEGIN}    twice_as_much = x + x\n    return twice_as_much\n{END}", "    return x\n", "needs pairs of"),
        (BEGIN, "", "needs pairs of"),
        (END, "", "needs pairs of"),
        (f"{BEGIN}    twice_as_much", f"{END}    twice_as_much", "needs pairs of"),
        (f"    return twice_as_much\n{END}", f"{END}    return twice_as_much\n{END}{BEGIN}", "needs pairs of"),
        ("    twice_as_much = x + x\n", f"{BEGIN}    twice_as_much = x + x\n{END}", "needs pairs of"),
    ],
)
def test_pages_that_would_leak_are_refused(
    tiny_course: TinyCourse, tmp_path: Path, old: str, new: str, said: str
) -> None:
    """A page whose markers and cells do not fit together is refused with its name, and nothing is written."""
    course = tiny_course(tmp_path)
    page = course.solutions / "unit0_tiny" / "tiny_page.py"
    text = page.read_text()
    assert old in text
    page.write_text(text.replace(old, new, 1))
    before = folder_files(course.assignments)
    with pytest.raises(UsageError) as error:
        building.build(course)
    assert str(error.value).startswith(f"{page}: ") and said in str(error.value)
    assert folder_files(course.assignments) == before


def test_missing_parts_are_named(tiny_course: TinyCourse, tmp_path: Path) -> None:
    """An exercise without a cell, a page without its file and a page without public checks are errors."""
    course = tiny_course(tmp_path)
    page = course.solutions / "unit0_tiny" / "tiny_page.py"
    text = page.read_text()
    page.write_text(text[: text.index('# %% exercise="scale_layer"')])
    with pytest.raises(UsageError, match=r'no cell `# %% exercise="scale_layer"`'):
        building.build(course)
    page.unlink()
    with pytest.raises(UsageError, match=r"tiny_page\.py does not exist: course\.toml names the page"):
        building.build(course)
    page.write_text(text)
    (page.parent / "test_tiny_page.py").unlink()
    with pytest.raises(UsageError, match="page 'tiny_page' has no public checks"):
        building.build(course)


def test_module_form_is_for_reading(tiny_course: TinyCourse, tmp_path: Path) -> None:
    """The .py form has the same code and no cell of nbgrader's; stubs raise NotImplementedError."""
    text = (tiny_course(tmp_path).assignments / "unit0_tiny" / "tiny_page.py").read_text()
    ast.parse(text)
    assert "nbgrader" not in text and "check(" not in text and not text.startswith("# ---")
    assert text.count("raise NotImplementedError()") == 3 and "twice_as_much" not in text


def test_a_student_kit_that_cannot_be_made(
    tiny_course: Callable[[Path], Course], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not over course.toml by a slip, not into nowhere, not of a folder without what a wheel needs."""
    course = tiny_course(tmp_path)
    toml = course.root / "course.toml"
    before = toml.read_bytes()
    with pytest.raises(UsageError, match=r"course\.toml: a student kit is a zip; give a name that ends in \.zip"):
        building.student_kit(course, toml)
    (course.root / "pyproject.toml").unlink(missing_ok=True)
    with pytest.raises(UsageError, match=r"pyproject\.toml does not exist: a student kit is made from the folder"):
        building.student_kit(course, tmp_path / "kit.zip")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (course.root / name).touch()
    monkeypatch.setattr(building, "_wheel", lambda course, folder: toml)
    with pytest.raises(UsageError, match=r"kit\.zip cannot be written: Not a directory; give another name"):
        building.student_kit(course, toml / "kit.zip")
    assert toml.read_bytes() == before and not (tmp_path / "kit.zip").exists()
