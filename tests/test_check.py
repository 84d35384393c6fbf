"""`autograder check` on a student's folder: the file that counts, and what `grade` would say about the rest."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from autograder import cli as cli_module
from autograder.commands.check import check_path, find_pages
from autograder.commands.checked import CheckedFolder, render_checks
from autograder.course import COURSE_FILE, Course, load_course
from autograder.errors import UsageError
from autograder.intake.finding import read_class
from tests.conftest import ROOT
from tests.handed_in.conftest import UNIT, notebook

SOLVED = "from torch import nn\n\n\ndef double(x):\n    return x + x\n"
HELPED = "from helpers import twice\n\n\ndef double(x):\n    return twice(x)\n"


@pytest.fixture
def kit(tiny_course: Callable[[Path], Course], tmp_path: Path) -> Course:
    """What a student has: the release and course.toml, nothing else."""
    course = tiny_course(tmp_path)
    root = tmp_path / "kit"
    shutil.copytree(course.assignments, root / "assignments")
    shutil.copy(course.root / COURSE_FILE, root)
    return load_course(root)


def folder(kit: Course) -> Path:
    return kit.assignments / UNIT


def shown(checked: CheckedFolder) -> str:
    console = Console(file=StringIO(), width=200)
    render_checks(checked, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("where", ["", "assignments", f"assignments/{UNIT}"])
def test_the_module_of_a_student_who_works_in_modules(kit: Course, where: str) -> None:
    """The notebook beside it is as it was released, whatever is edited, and does not hide the work."""
    (folder(kit) / "tiny_page.py").write_text(SOLVED)
    (page,) = check_path(kit, kit.root / where).pages
    assert page.source.name == "tiny_page.py"
    assert [(e.exercise.id, e.done) for e in page.exercises] == [("twice", True), ("scale_layer", False)]


def test_an_untouched_kit(kit: Course) -> None:
    """Nothing is written yet, and that is what is said; the notebook is named."""
    checked = check_path(kit, kit.root)
    assert checked.pages[0].source.name == "tiny_page.ipynb" and "not written yet" in shown(checked)
    assert "0 of 2 exercises" in shown(checked) and not checked.all_passed and checked.said == []


HANDED_IN: dict[str, dict[str, str]] = {
    "module": {"tiny_page.py": SOLVED},
    "notebook": {"tiny_page.ipynb": notebook(SOLVED)},
    "both": {"tiny_page.py": SOLVED, "tiny_page.ipynb": notebook(SOLVED)},
    "copy": {"tiny_page (1).py": SOLVED},
    "copies": {"tiny_page (1).py": SOLVED, "tiny_page (2).py": HELPED},
    "beside": {"tiny_page.py": SOLVED, "tiny_page-old.py": HELPED},
    "helper": {"tiny_page.py": HELPED, "helpers.py": "def twice(x):\n    return x + x\n"},
    "shadow": {"tiny_page.py": "import random\n" + SOLVED, "random.py": "x = 1\n"},
    "deeper": {"a/tiny_page.py": SOLVED, "notes.txt": ""},
    "typing error": {"tiny_pgae.py": SOLVED},
    "unreadable": {"tiny_page.py": "x = 1\0"},
    "another language": {"tiny_page.ipynb のコピー": notebook(SOLVED)},
    "module called notebook": {"tiny_page.ipynb": SOLVED},
    "empty beside": {"tiny_page.ipynb": "", "tiny_page (1).ipynb": notebook(SOLVED)},
    "only looked at": {"tiny_page.ipynb": notebook("x = 1"), "tiny_page.py": SOLVED},
    "hidden": {".tiny_page.ipynb.icloud": "bplist00"},
}


@pytest.mark.parametrize("case", HANDED_IN)
@pytest.mark.parametrize("packed", [False, True])
def test_check_and_grade_read_the_same(kit: Course, tmp_path: Path, case: str, packed: bool) -> None:
    """The same file for each page, the same modules with it, and the same words, in a folder and in an archive."""
    work = tmp_path / "submitted" / "ada" / UNIT
    for name, text in HANDED_IN[case].items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    checked_at = work.parent
    if packed:
        checked_at = tmp_path / "submitted" / "ada.zip"
        with zipfile.ZipFile(checked_at, "w") as archive:
            for path in work.rglob("*.*"):
                archive.write(path, path.relative_to(work.parent))
        shutil.rmtree(work.parent)
    found = read_class(tmp_path / "submitted", kit)
    (graded,) = found.submissions
    try:
        checked = find_pages(kit, checked_at)
    except UsageError as error:
        assert graded.pages == [] and graded.problems[0] in str(error)
    else:
        assert [source for page in checked.pages for source in page.sources] == graded.pages
        assert checked.said == graded.problems


@pytest.mark.parametrize("answer", ["3", "None", "(x, x)", "x[0]"])
def test_an_answer_of_another_form(kit: Course, answer: str) -> None:
    """What breaks the check itself is told as the answer's form, with the check's sentence and no frame of ours."""
    (folder(kit) / "tiny_page.py").write_text(f"def double(x):\n    return {answer}\n")
    text = shown(check_path(kit, kit.root, "twice"))
    assert "Twice 1.5 is 3." in text and "Traceback" not in text
    assert answer == "x[0]" or "the answer does not have the form that was asked for (AttributeError: " in text


def test_a_check_of_ours_that_breaks_is_not_the_students(kit: Course) -> None:
    """What is missing on this machine is told as it is."""
    checks = folder(kit) / "test_tiny_page.py"
    checks.write_text(
        checks.read_text().replace("    assert student.double", "    import no_such_package\n    assert student.double")
    )
    (folder(kit) / "tiny_page.py").write_text(SOLVED)
    text = shown(check_path(kit, kit.root, "twice"))
    assert "ModuleNotFoundError: No module named 'no_such_package'" in text and "form that was asked" not in text


def test_two_candidates_are_not_checked(kit: Course) -> None:
    """Where `grade` would read neither, no check passes, and both are named."""
    for name in ("tiny_page (1).py", "tiny_page (2).py"):
        (folder(kit) / name).write_text(SOLVED + f"# {name}\nx = {name[11]}\n")
    checked = check_path(kit, kit.root)
    assert not checked.all_passed and "none was read" in checked.pages[0].problems[0]
    assert "twice: not checked" in shown(checked) and "0 of 2" in shown(checked)


def test_a_page_that_is_named(kit: Course) -> None:
    """It is checked whatever it is called; that another file would be graded is said."""
    (folder(kit) / "tiny_page.py").write_text(SOLVED)
    copy = folder(kit) / "tiny_page (1).py"
    copy.write_text(SOLVED.replace("x + x", "2 + x"))
    checked = check_path(kit, copy, "twice")
    assert checked.pages[0].source == copy and not checked.all_passed
    assert "tiny_page (1).py is checked here, but tiny_page.py would be graded" in checked.said
    with pytest.raises(UsageError, match=r"no page of the course at .*other\.py"):
        check_path(kit, Path(shutil.copy(copy, kit.root / "other.py")))


@pytest.mark.parametrize(
    ("name", "words"),
    [("Double", "; is it Double? The name must be double\n"), ("doubel", "; is it doubel?"), ("other", "tiny_page\n")],
)
def test_a_function_under_another_name(kit: Course, name: str, words: str) -> None:
    """A missing name that the page nearly has is asked about."""
    (folder(kit) / "tiny_page.py").write_text(SOLVED.replace("def double", f"def {name}"))
    assert f"double is not defined in tiny_page{words.removeprefix('tiny_page')}" in shown(check_path(kit, kit.root))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            '\nif __name__ == "__main__":\n    x = 1\n\n    def double(x):\n        return 2 * x\n',
            "; it is under `if __name__",
        ),
        ("\nif __name__ == '__main__':\n    double = lambda x: 2 * x\n", "; it is under `if __name__"),
        ("\ndef double(x):\n    return 2 * x\n\ndel double\n", ""),
        ('\nif __name__ == "__main__":\n    print(double == 3)\n', ""),
        ('\nif __name__ == "__main__":\n    main()\n\nclass A:\n    def double(self): pass\n', ""),
    ],
)
def test_a_function_that_is_there_and_is_not(kit: Course, code: str, words: str) -> None:
    """What a notebook runs and a grader does not is told; a name that was deleted is not asked about."""
    text = SOLVED.replace("def double", "def unasked") + code
    (folder(kit) / "tiny_page.py").write_text(text)
    said = shown(check_path(kit, kit.root))
    (line,) = (line for line in said.split("\n") if "double is not defined" in line)
    assert line.strip().startswith(f"double is not defined in tiny_page{words}") and (
        words or line.endswith("tiny_page")
    ), line


@pytest.mark.parametrize("name", ["tiny_page (1).py", "tiny_page.py.txt", "tiny_page.ipynb のコピー", "tiny_page.py~"])
def test_a_page_that_is_named_and_alone(kit: Course, tmp_path: Path, name: str) -> None:
    """Whoever names the one file that they hand in reads what `grade` would say of it."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / name).write_text(notebook(SOLVED) if "ipynb" in name else SOLVED)
    checked = check_path(kit, tmp_path / "work" / name, "twice")
    suffix = ".ipynb" if "ipynb" in name else ".py"
    assert checked.all_passed and checked.said == [f"{name}: read as tiny_page{suffix}"]


def test_a_terminal_without_unicode(kit: Course) -> None:
    """The ticks become signs that the terminal has."""
    (folder(kit) / "tiny_page.py").write_text(SOLVED)
    checked = check_path(kit, folder(kit) / "tiny_page.py")
    narrow = Console(file=open("/dev/null", "w", encoding="ascii"), width=200)  # noqa: SIM115
    with narrow.capture() as captured:
        render_checks(checked, narrow)
    assert "+ twice: 1 of 1" in captured.get() and "- scale_layer" in captured.get() and captured.get().isascii()


def test_version(cli: Any) -> None:
    """`autograder --version` answers, without a command."""
    done = cli("--version")
    assert done.returncode == 0 and done.stdout.startswith("autograder 0."), (sys.version, done.stderr)


def test_an_exercise_that_is_nearly_called_so(kit: Course) -> None:
    """A typing error is answered with the name that was meant, not with all names of the course."""
    with pytest.raises(UsageError, match=r"--exercise twce: not on the pages at .*; did you mean 'twice'\?$"):
        check_path(kit, kit.root, "twce")


def test_a_path_that_is_neither(kit: Course) -> None:
    """A FIFO is called what it is not, and is not waited for."""
    os.mkfifo(kit.root / "tiny_page.py")
    with pytest.raises(UsageError, match="is neither a file nor a folder"):
        check_path(kit, kit.root / "tiny_page.py")


def test_only_what_was_asked_for_is_shown(kit: Course) -> None:
    """Also where the page cannot be read; and where there is no page, nothing is counted."""
    (folder(kit) / "tiny_page.py").write_text("<!DOCTYPE html>")
    assert "scale_layer" not in shown(check_path(kit, folder(kit) / "tiny_page.py", "twice"))
    gone = shown(CheckedFolder([], ["no page of the course"]))
    assert "no page of the course" in gone and "0 of 0" not in gone and "hidden checks" not in gone


def in_python(code: str, where: Path) -> str:
    command = [sys.executable, "-c", f"from autograder import check\n{code}"]
    done = subprocess.run(
        command, cwd=where, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def test_check_in_a_script(kit: Course, tmp_path: Path) -> None:
    """The file that counts is checked, not the untouched notebook beside it; mistakes are told without a traceback."""
    (folder(kit) / "tiny_page.py").write_text(SOLVED)
    said = in_python("check('twice')\ncheck('twce')", folder(kit))
    assert "✓ twice: 1 of 1" in said and "autograder: no exercise 'twce' in this course; did you mean 'twice'?" in said
    assert in_python("check('twice')", tmp_path).startswith("autograder: no course.toml in ")


def test_without_a_standard_output(kit: Course) -> None:
    """Whoever closes it gets the exit code, and no traceback."""
    command = 'exec "$0" -m autograder.cli check nowhere >&-'
    done = subprocess.run(["sh", "-c", command, sys.executable], cwd=kit.root, capture_output=True, text=True)
    assert done.returncode == 4 and done.stderr.startswith("autograder: nowhere does not exist")


@pytest.mark.parametrize(("command", "kept"), [("grade", "; what was graded is kept"), ("check", "\n")])
def test_what_ctrl_c_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, kept: str
) -> None:
    """Only `grade` has something to keep."""

    def stopped(**options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_module, "app", stopped)
    monkeypatch.setattr(cli_module.gc, "freeze", lambda: None)
    monkeypatch.setattr(sys, "argv", ["autograder", command])
    with pytest.raises(SystemExit):
        cli_module.main()
    assert capsys.readouterr().err.startswith(f"autograder: stopped{kept}")
