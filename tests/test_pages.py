"""Every page of the course runs in its solved form, as a script and as a notebook, and draws its picture."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from autograder.authoring.build import source_notebook
from autograder.course import Course, Page, load_course

ROOT = Path(__file__).resolve().parents[1]
PAGES = [page for unit in load_course(ROOT).units for page in unit.pages]

# A page that trains for a minute is told here to train less. The notebooks, which are slow tests, do all of it.
SHORTENED = {"gpt": ("STEPS = 800", "STEPS = 20")}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_the_page_draws_its_picture(course: Course, page: Page, tmp_path: Path) -> None:
    """Run as a script in an empty folder, the page writes a picture that is not blank."""
    source = course.solutions / page.unit / f"{page.name}.py"
    if page.name in SHORTENED:
        text, (long, short) = source.read_text(encoding="utf-8"), SHORTENED[page.name]
        assert long in text, f"{source} does not say {long} any more"
        source = tmp_path / source.name
        source.write_text(text.replace(long, short), encoding="utf-8")
    environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, source], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pictures = list(tmp_path.glob("*.png"))
    assert pictures, "no picture was written"
    for picture in pictures:
        low, high = Image.open(picture).convert("L").getextrema()
        assert low < high, f"{picture.name} is blank"


@every_page
def test_the_examples_in_the_docstrings_are_right(course: Course, page: Page) -> None:
    """The worked examples of the stubs (doctests) give what they say."""
    source = course.solutions / page.unit / f"{page.name}.py"
    namespace = {"__name__": page.name}
    exec(compile(source.read_text(encoding="utf-8"), str(source), "exec"), namespace)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for name, value in list(namespace.items()):  # an example may add names
        if getattr(value, "__module__", None) == page.name:
            for test in doctest.DocTestFinder(recurse=True).find(value, name, module=False, globs=dict(namespace)):
                runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.slow
@every_page
def test_the_notebook_runs_from_top_to_bottom(course: Course, page: Page, tmp_path: Path) -> None:
    """The solved notebook executes without an error, its check cells included, and they report success."""
    import nbformat
    from nbconvert.preprocessors import ExecutePreprocessor

    notebook = source_notebook(course, course.unit(page.unit), page)
    file = tmp_path / f"{page.name}.ipynb"
    nbformat.write(notebook, file)
    (tmp_path / "course.toml").write_text((ROOT / "course.toml").read_text())
    checks = tmp_path / "assignments" / page.unit
    checks.mkdir(parents=True)
    (checks / f"test_{page.name}.py").write_text((course.solutions / page.unit / f"test_{page.name}.py").read_text())
    ExecutePreprocessor(timeout=900, kernel_name="python3").preprocess(notebook, {"metadata": {"path": str(tmp_path)}})
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            shown = [output["data"]["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]
            assert len(shown) == 1 and "1 of 1 exercises pass" in shown[0] and "Error" not in shown[0]


def test_pages_name_their_points_as_the_course_does(course: Course) -> None:
    """The points in an exercise's heading are those of course.toml."""
    for unit in course.units:
        for page in unit.pages:
            text = (course.solutions / unit.id / f"{page.name}.py").read_text(encoding="utf-8")
            for exercise in page.exercises:
                headings = [line for line in text.splitlines() if line.startswith("# #") and f"`{exercise.id}`" in line]
                assert len(headings) == 1, f"{exercise.id}: no heading, or several"
                assert f"({exercise.points:g} points)" in headings[0]
