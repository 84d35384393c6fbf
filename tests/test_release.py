"""No line of a solution, no reference and no grader reaches students, by any of the commands."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from autograder.authoring import build as building
from autograder.course import Course, load_course
from autograder.errors import UsageError
from autograder.policies import GradebookConfig

ROOT = Path(__file__).resolve().parents[1]


def solution_lines(course: Course) -> set[str]:
    """The lines that stand in solution regions and nowhere else in solutions/."""
    inside: set[str] = set()
    public: set[str] = set()
    for path in course.solutions.rglob("*.*"):
        hidden = False
        for line in path.read_text(encoding="utf-8").splitlines():
            if "BEGIN SOLUTION" in line:
                hidden = True
            elif "END SOLUTION" in line:
                hidden = False
            else:
                (inside if hidden else public).add(line.strip())
                public |= set() if hidden else {line.removeprefix("# ").strip()}  # a line of a markdown cell
    secret = {line for line in inside - public if len(line) > 7}
    assert secret
    return secret


def lines_of(name: str, data: bytes) -> set[str]:
    """Every line of a file; of a notebook, every line of every string in it."""
    text = data.decode()
    if name.endswith(".ipynb"):
        text = "\n".join(strings(json.loads(text)))
    return {line.strip() for line in text.splitlines()}


def strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (key, *strings(item))
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def leaked(course: Course, files: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
    secret = solution_lines(course)
    files = list(files)
    assert files
    return [(name, line) for name, data in files for line in sorted(lines_of(name, data) & secret)]


def folder_files(folder: Path) -> list[tuple[str, bytes]]:
    return [
        (path.name, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".ipynb", ".md")
    ]


def test_no_solution_line_is_released(course: Course) -> None:
    """No line that stands only in solution regions is in any file that students receive."""
    built = [(str(path), data) for path, data in building.render(course).items()]
    assert leaked(course, built) == []
    assert leaked(course, folder_files(course.assignments)) == []


def test_the_leak_check_sees_a_leak(course: Course) -> None:
    """The unbuilt page itself counts as a leak, as a module and as a notebook."""
    unit = course.units[0]
    page = unit.pages[0]
    source = building._write_notebook(building.source_notebook(course, unit, page))
    assert leaked(course, [("page.ipynb", source)])
    assert leaked(course, [("page.py", (course.solutions / unit.id / f"{page.name}.py").read_bytes())])


def test_nbgrader_releases_no_solution(course: Course, tmp_path: Path) -> None:
    """`nbgrader generate_assignment` on the folder that write_source makes releases cleared notebooks only."""
    unit = course.units[0]
    building.write_source(course, unit, tmp_path / "source" / unit.id)
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", unit.id, "--course-dir", str(tmp_path)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # nbgrader calls alembic by name
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    released = folder_files(tmp_path / "release" / unit.id)
    assert sorted(name for name, _ in released) == sorted(f"{page.name}.ipynb" for page in unit.pages)
    assert leaked(course, released) == []
    assert sorted(p.name for p in (tmp_path / "release" / unit.id).iterdir()) == sorted(n for n, _ in released)


# ---------------------------------------------------------------- the student kit


def kit(course: Course, folder: Path) -> dict[str, bytes]:
    """The files of the student kit, by name."""
    building.student_kit(course, folder / "kit.zip")
    with zipfile.ZipFile(folder / "kit.zip") as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def fake_wheel(course: Course, folder: Path) -> Path:
    (folder / "autograder-0-py3-none-any.whl").write_bytes(b"")
    return folder / "autograder-0-py3-none-any.whl"


def test_kit_holds_what_students_need(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit is assignments/ as built, a course.toml, a README that names the wheel, and the wheel; nothing else."""
    monkeypatch.setattr(building, "_wheel", fake_wheel)
    files = kit(course, tmp_path)
    built = {str(path.relative_to(course.root)): data for path, data in building.render(course).items()}
    assert {name: data for name, data in files.items() if name.startswith("assignments/")} == built
    assert set(files) - set(built) == {"course.toml", "README.md", "autograder-0-py3-none-any.whl"}
    assert b'pip install "./autograder-0-py3-none-any.whl[student]"' in files["README.md"]
    assert leaked(course, files.items()) == []


def test_kit_course_file(
    tiny_course: Callable[[Path], Course], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kit's course.toml loads to the same course, without the gradebook's address, wherever it stands."""
    monkeypatch.setattr(building, "_wheel", fake_wheel)
    course = tiny_course(tmp_path)
    file = course.root / "course.toml"
    text = file.read_text()
    table = '[gradebook]\nurl = "postgresql://staff:hunter2@db/grades"\n'
    rest = text.replace('[gradebook]\nurl = "sqlite:///gradebook.db"\n', "")
    assert rest != text
    for number, secret in enumerate((text.replace(text, rest + table), rest.replace("[late]", table + "[late]"))):
        file.write_text(secret)
        assert load_course(course.root).gradebook.url.endswith("/grades")
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "course.toml").write_bytes(kit(load_course(course.root), folder)["course.toml"])
        assert "hunter2" not in (folder / "course.toml").read_text()
        public = load_course(folder)
        assert (public.units, public.late, public.limits) == (course.units, course.late, course.limits)
        assert public.gradebook == GradebookConfig()


def test_kit_course_file_with_an_inline_gradebook(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """An address that cannot be cut out for certain is refused rather than released."""
    course = tiny_course(tmp_path)
    file = course.root / "course.toml"
    text = file.read_text().replace('[gradebook]\nurl = "sqlite:///gradebook.db"\n', "")
    file.write_text('gradebook = {url = "postgresql://staff:hunter2@db/grades"}\n' + text)
    with pytest.raises(UsageError, match=r"write \[gradebook\] as a table of its own"):
        building.public_course_file(load_course(course.root))


@pytest.mark.slow
def test_kit_wheel_has_no_hidden_part(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel holds every module that a student's checks need, no grader and no reference, and leaves no litter."""
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # pip's way to say: use the setuptools that is installed
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    had_build_folder = (ROOT / "build").exists()
    files = kit(course, tmp_path)
    assert (ROOT / "build").exists() == had_build_folder
    (wheel,) = (data for name, data in files.items() if name.endswith(".whl"))
    with zipfile.ZipFile(io.BytesIO(wheel)) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "autograder").rglob("*.py") if "graders" not in p.parts}
    assert {name for name in contents if name.startswith("autograder/")} == modules
    hidden = [course.reference, course.solutions, course.graders]
    texts = {path.read_bytes() for folder in hidden for path in folder.rglob("*.py") if "__pycache__" not in path.parts}
    assert texts and not texts & set(contents.values())
