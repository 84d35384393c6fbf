"""solutions/ -> assignments/: notebooks, modules and public checks without a line of solution in them.

jupytext reads the literate page, nbgrader's own preprocessors clear the solutions, lock the cells and compute their
checksums. The page's source says only which exercise a cell is (`# %% exercise="sdpa_torch"`); ids, points and the
check cell behind each exercise are derived from course.toml here.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from autograder.authoring import course_map
from autograder.authoring.diagrams import pages as diagrams
from autograder.course import COURSE_FILE, Course, Exercise, Page, Unit, read_course_text
from autograder.errors import UsageError
from autograder.intake.cells import parse_cells
from autograder.intake.released import RELEASED_FILE, digest_of, released_file
from autograder.results.gradebook import grade_cell

_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def build(course: Course) -> list[Path]:
    """Write what is stale below assignments/, remove what no page produces. Returns the changed files."""
    wanted = render(course)
    changed = []
    for path, data in wanted.items():
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            changed.append(path)
    for path in _extra(course, wanted):
        path.unlink()
        changed.append(path)
    return changed


def stale(course: Course) -> list[Path]:
    """The files below assignments/ that `build` would change."""
    wanted = render(course)
    differing = [path for path, data in wanted.items() if not path.is_file() or path.read_bytes() != data]
    return differing + _extra(course, wanted)


def render(course: Course) -> dict[Path, bytes]:
    """Every file below assignments/ with its contents. Raises UsageError where a page cannot be built."""
    files: dict[Path, bytes] = {}
    released: dict[str, dict[str, list[str]]] = {}
    for unit in course.units:
        source, target = course.solutions / unit.id, course.assignments / unit.id
        readme = source / "README.md"
        if readme.is_file():
            files[target / "README.md"] = readme.read_bytes()
        drawn = diagrams.draw_all(source)
        files |= {target / diagrams.FOLDER / f"{name}.svg": data for name, data in drawn.items()}
        seen: set[str] = set()
        for page in unit.pages:
            notebook = student_notebook(course, unit, page)
            module = _write_module(notebook)  # keeps the line that names the diagram's file, beside it
            seen |= diagrams.embed(source / f"{page.name}.py", notebook, drawn)
            forms = {"ipynb": _write_notebook(notebook), "py": module}
            files |= {target / f"{page.name}.{form}": data for form, data in forms.items()}
            released[page.name] = {
                form: [digest_of(cell) for cell in parse_cells(data, f".{form}")] for form, data in forms.items()
            }
            checks = source / f"test_{page.name}.py"
            if not checks.is_file():
                raise UsageError(f"{checks} does not exist: page {page.name!r} has no public checks")
            files[target / checks.name] = checks.read_bytes()
        diagrams.all_are_shown(source, drawn, seen)
    files[course.assignments / RELEASED_FILE] = released_file(released)
    if any(exercise.builds_on for unit in course.units for exercise in unit.exercises):
        files[course.assignments / course_map.FILE] = course_map.draw_map(course)
    return files


def source_notebook(course: Course, unit: Unit, page: Page) -> Any:
    """The page with its solutions as a notebook with nbgrader's metadata, as `nbgrader generate_assignment` expects."""
    import jupytext
    from nbformat.v4 import new_code_cell

    path = course.solutions / unit.id / f"{page.name}.py"
    if not path.is_file():
        raise UsageError(f"{path} does not exist: course.toml names the page {page.name!r} in unit {unit.id}")
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    cells, seen = [], set()
    for number, cell in enumerate(notebook.cells):
        exercise_id = cell.metadata.pop("exercise", None)
        cell.metadata = {}
        cell["id"] = f"{page.name[:50]}-{number}"
        cells.append(cell)
        if exercise_id is None:
            _no_solution_here(path, cell.source)
            continue
        exercise = _exercise(path, page, exercise_id, cell.source)
        seen.add(exercise_id)
        cell.metadata["nbgrader"] = _metadata(exercise.id, solution=True)
        check = new_code_cell(
            "# Checks what this notebook holds now, saved or not.\n"
            f'from autograder import check\n\ncheck("{exercise.id}")'
        )
        check.metadata["nbgrader"] = _metadata(grade_cell(exercise.id), points=exercise.points)
        check["id"] = f"{page.name[:50]}-{number}-check"
        cells.append(check)
    missing = {exercise.id for exercise in page.exercises} - seen
    if missing:
        raise UsageError(f'{path}: no cell `# %% exercise="{sorted(missing)[0]}"`, which course.toml puts on this page')
    notebook.cells = cells
    notebook.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    return notebook


def student_notebook(course: Course, unit: Unit, page: Page) -> Any:
    """The page as students receive it."""
    from nbgrader.preprocessors import ClearOutput, ClearSolutions, ComputeChecksums, LockCells

    notebook: Any = source_notebook(course, unit, page)
    resources: dict[str, Any] = {}
    for preprocessor in (LockCells(), ClearSolutions(enforce_metadata=False), ClearOutput(), ComputeChecksums()):
        notebook, resources = preprocessor.preprocess(notebook, resources)
    return notebook


def student_module(course: Course, unit: Unit, page: Page) -> str:
    """The page as students receive it, as a plain module."""
    return _write_module(student_notebook(course, unit, page)).decode()


def write_source(course: Course, unit: Unit, folder: Path) -> None:
    """nbgrader's `source/<unit>/`: notebooks only, so that `generate_assignment` cannot copy a solution along."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = diagrams.draw_all(course.solutions / unit.id)
    for page in unit.pages:
        notebook = source_notebook(course, unit, page)
        diagrams.embed(course.solutions / unit.id / f"{page.name}.py", notebook, drawn)
        (folder / f"{page.name}.ipynb").write_bytes(_write_notebook(notebook))


def student_kit(course: Course, target: Path) -> None:
    """A zip with what students need: assignments/, a public course.toml, and a wheel without any hidden part.

    Raises UsageError.
    """
    if target.suffix != ".zip":
        raise UsageError(f"{target}: a student kit is a zip; give a name that ends in .zip")
    try:
        _write_kit(course, target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}; give another name") from None


def _write_kit(course: Course, target: Path) -> None:
    files = render(course)
    with tempfile.TemporaryDirectory() as folder:
        wheel = _wheel(course, Path(folder))
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as kit:
            for path, data in files.items():
                kit.writestr(str(path.relative_to(course.root)), data)
            kit.writestr(COURSE_FILE, public_course_file(course))
            kit.writestr("README.md", _KIT_README.format(title=course.title, wheel=wheel.name))
            kit.write(wheel, wheel.name)


def public_course_file(course: Course) -> str:
    """course.toml without what only the course team needs: the gradebook's address may hold a password."""
    text = read_course_text(course.root / COURSE_FILE)
    kept = re.sub(r"(?ms)^\[gradebook\].*?(?=^\[|\Z)", "", text)
    if "gradebook" in tomllib.loads(kept):
        raise UsageError(f"{course.root / COURSE_FILE}: write [gradebook] as a table of its own, on a line of its own")
    return kept


_KIT_README = """# {title}

You need Python 3.11 or newer. In this folder, once:

    python3 -m venv .venv                 # Windows: py -m venv .venv
    source .venv/bin/activate             # Windows: .venv\\Scripts\\activate
    pip install torch --index-url https://download.pytorch.org/whl/cpu
    pip install "./{wheel}[student]"

The third line installs PyTorch's CPU build, which is all that the pages need (on Linux, `pip install torch` alone
downloads several gigabytes for NVIDIA cards; on Windows and macOS it gives the CPU build as well). If that address
cannot be reached, https://pytorch.org/get-started/locally/ names the command for your machine. The fourth brings the
checks, Jupyter, matplotlib and, on Linux, Triton, in which the last page is written.

`assignments/course_map.svg` shows the course as a picture: which exercise builds on which.

Then work on a page as a notebook (`jupyter lab`) or as a plain module in any editor, whichever you prefer, and check it
as often as you like:

    autograder check                                       # everything
    autograder check assignments/unit2_self_attention      # one unit, or one page
    autograder check --watch assignments/unit2_self_attention

In a notebook, the check cell below each exercise looks at what the notebook holds at that moment. What you hand in is
the file: save it, and run `autograder check` on your folder (or on the zip that you are about to upload) before the
deadline. It reads the same files as the grader and says what the grader would say about them.
"""


_WHEEL_NEEDS = ("pyproject.toml", "README.md", "LICENSE")
_not_for_students = shutil.ignore_patterns("graders", "__pycache__")


def _wheel(course: Course, folder: Path) -> Path:
    """Built from a copy without hidden parts: what an earlier build left in `build/` would end up in the wheel."""
    missing = [name for name in _WHEEL_NEEDS if not (course.root / name).is_file()]
    if missing:
        raise UsageError(f"{course.root / missing[0]} does not exist: a student kit is made from the folder of the kit")
    source = folder / "source"
    shutil.copytree(course.root / "autograder", source / "autograder", ignore=_not_for_students)
    for name in _WHEEL_NEEDS:
        shutil.copy(course.root / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"the student wheel could not be built: {done.stderr.strip().splitlines()[-1]}")
    return next(folder.glob("*.whl"))


def _exercise(path: Path, page: Page, exercise_id: str, source: str) -> Exercise:
    for exercise in page.exercises:
        if exercise.id == exercise_id:
            marks = re.findall(r"(BEGIN|END) SOLUTION", source)  # as loosely as nbgrader looks for them
            if not marks or marks != ["BEGIN", "END"] * (len(marks) // 2):
                raise UsageError(f"{path}: exercise {exercise_id!r} needs pairs of {_BEGIN} and {_END}")
            return exercise
    raise UsageError(f"{path}: a cell says exercise={exercise_id!r}, which course.toml does not have on this page")


def _no_solution_here(path: Path, source: str) -> None:
    if _BEGIN in source or _END in source:
        raise UsageError(f'{path}: a solution region outside a cell marked `# %% exercise="..."`: it would be released')


def _metadata(grade_id: str, *, solution: bool = False, points: float | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": points is not None,
        "solution": solution,
        "locked": points is not None,
        "task": False,
        "cell_type": "code",
    }
    return metadata if points is None else {**metadata, "points": points}


def _write_notebook(notebook: Any) -> bytes:
    import nbformat

    nbformat.validate(notebook)
    return bytes((nbformat.writes(notebook, version=4) + "\n").encode())


def _write_module(notebook: Any) -> bytes:
    """The same page as a plain module in percent format: no check cells, no metadata."""
    import copy

    import jupytext

    plain = copy.deepcopy(notebook)
    plain.cells = [cell for cell in plain.cells if not cell.metadata.get("nbgrader", {}).get("grade")]
    for cell in plain.cells:
        cell.metadata = {}
    plain.metadata = {}
    text = jupytext.writes(plain, fmt="py:percent")
    body = re.sub(r"\A# ---\n.*?^# ---\n+", "", text, flags=re.DOTALL | re.MULTILINE)
    return body.encode()


def _extra(course: Course, wanted: dict[Path, bytes]) -> list[Path]:
    """Generated kinds of files below assignments/ that no page produces any more."""
    found = [p for p in course.assignments.rglob("*") if p.suffix in (".py", ".ipynb", ".md", ".svg") and p.is_file()]
    return sorted(p for p in found if p not in wanted and "__pycache__" not in p.parts)
