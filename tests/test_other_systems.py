"""What students do on macOS and Windows, with everything taken away from the kit that those systems lack.

`tests/elsewhere/sitecustomize.py` takes it away. No test here has met a real macOS or Windows.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from autograder.commands.kernel import is_named
from autograder.course import Course
from autograder.intake import files
from tests.conftest import ROOT
from tests.test_notebook_check import CHECK, RIGHT, WRONG, Kernel

RIGHT_PAGE = """\
from torch import nn

# %%
def double(x):
    return x + x

# %%
class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x
"""
ENDLESS = RIGHT_PAGE.replace("return x + x", "while True:\n        pass")


def elsewhere(system: str, **more: str) -> dict[str, str]:
    """The environment in which every Python plays another system."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "elsewhere")])
    return {**os.environ, "PYTHONPATH": path, "ELSEWHERE": system, **more}


@pytest.fixture(params=["win32", "darwin"])
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tiny_course: Callable[[Path], Course], tmp_path: Path) -> Path:
    return tiny_course(tmp_path).assignments / "unit0_tiny"


def run(system: str, *arguments: object, **more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "autograder.cli", *map(str, arguments)]
    environment = elsewhere(system, PYTHONIOENCODING="utf-8", **more)
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=300
    )


def test_what_is_taken_away_is_missed() -> None:
    """Our files see another system, and what others import is whole."""
    code = (
        "import sys, os; from autograder.sandbox import systems, portable\n"
        "print(sys.platform, systems.sys.platform, hasattr(os, 'fork'), hasattr(portable.os, 'fork'))\n"
        "import autograder.sandbox.shared"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=elsewhere("win32"), capture_output=True, text=True, check=False
    )
    assert done.stdout == "linux win32 True False\n", done.stderr
    assert "No module named 'fcntl' on win32" in done.stderr


def test_right_work_is_full(system: str, folder: Path) -> None:
    """As on Linux, and line ends of Windows change nothing."""
    (folder / "tiny_page.py").write_bytes(RIGHT_PAGE.replace("\n", "\r\n").encode())
    done = run(system, "check", folder)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "✓ twice: 1 of 1" in done.stdout and "2 of 2 exercises" in done.stdout


def test_an_endless_loop_costs_its_own_exercise(system: str, folder: Path) -> None:
    """It is ended at its limit and said; what comes after it keeps its result."""
    (folder / "tiny_page.py").write_text(ENDLESS)
    done = run(system, "check", folder)
    assert done.returncode == 1, done.stderr
    assert "double did not return within 2 s (limit call_wall_s); is there an endless loop?" in done.stdout
    assert "✗ twice: 0 of 1" in done.stdout and "✓ scale_layer: 1 of 1" in done.stdout


def test_a_page_that_ends_its_process(system: str, folder: Path) -> None:
    """`exit()` in a cell is reported with its line and costs that cell only; a crash is told as one."""
    (folder / "tiny_page.py").write_text(ending := RIGHT_PAGE + "\n# %%\nexit()\n")
    ends_at = ending.count("\n")
    done = run(system, "check", folder)
    assert "2 of 2 exercises" in done.stdout and f"tiny_page.py: line {ends_at}: SystemExit" in done.stdout, done
    (folder / "tiny_page.py").write_text(RIGHT_PAGE.replace("return x + x", "import os; os._exit(3)"))
    done = run(system, "check", folder)
    assert "double: the process ended without an answer" in done.stdout and "✓ scale_layer" in done.stdout


def test_watching(system: str, folder: Path) -> None:
    """`--watch` checks again what was saved."""
    page = folder / "tiny_page.py"
    page.write_text(RIGHT_PAGE.replace("x + x", "x * x"))
    command = [sys.executable, "-u", "-m", "autograder.cli", "check", "--watch", str(folder), "--exercise", "twice"]
    watching = subprocess.Popen(command, env=elsewhere(system), stdout=subprocess.PIPE, encoding="utf-8")
    try:
        assert watching.stdout is not None
        lines = iter(watching.stdout.readline, "")
        assert any("0 of 1 exercises" in line for line in lines)
        page.write_text(RIGHT_PAGE)
        assert any("1 of 1 exercises" in line for line in lines)
    finally:
        watching.kill()
        watching.communicate(timeout=60)


@pytest.fixture
def kernel(system: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    for name, value in elsewhere(system).items():
        monkeypatch.setenv(name, value)
    kernel = Kernel(folder)
    yield kernel
    kernel.close()


def test_a_check_in_a_notebook(kernel: Kernel) -> None:
    """`check("twice")` looks at what the kernel holds."""
    kernel.run(WRONG)
    assert "✗ twice: 0 of 1" in kernel.run(CHECK)
    kernel.run(RIGHT)
    assert "✓ twice: 1 of 1" in kernel.run(CHECK)


def test_what_needs_linux_says_so(system: str, folder: Path, tmp_path: Path) -> None:
    """One sentence with the way out and exit code 4, and no traceback."""
    commands = (["grade", tmp_path], ["validate"], ["bench"], ["demo"], ["pending", "merge", "a.zip"], ["gpu-check"])
    name = {"win32": "Windows", "darwin": "macOS"}[system]
    for command in commands:
        done = run(system, *command)
        assert done.returncode == 4 and done.stdout == "", (command, done)
        assert done.stderr.count("\n") == 1 and f"needs Linux, and this is {name}; " in done.stderr
        assert ("WSL 2" in done.stderr) == (system == "win32") and "docs/other_systems.md" in done.stderr
    assert (ROOT / "docs" / "other_systems.md").is_file()


def test_doctor(system: str) -> None:
    """It answers everywhere: `check` was tried, no wall is promised, and that is no failure."""
    done = run(system, "doctor")
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "check (a student's own machine): works" in done.stdout and "chosen: none possible" in done.stdout
    assert "needs Linux" in done.stdout and "stopped" not in done.stdout


@pytest.mark.slow
def test_all_tests_of_check(system: str) -> None:
    """Everything that is asked of `check` on Linux holds there."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not slow"]
    command += [f"tests/{name}.py" for name in ("test_check", "test_notebook_check")]
    done = subprocess.run(
        command, cwd=ROOT, env=elsewhere(system), capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout


# ---------------------------------------------------------------- consoles, paths and files


@pytest.mark.parametrize("inside", [False, True], ids=["command line", "check in a script"])
def test_a_console_in_cp1252(folder: Path, inside: bool) -> None:
    """What the console cannot show is written out; nothing ends in a traceback."""
    (folder / "tiny_page.py").write_text(
        RIGHT_PAGE.replace("return x + x", 'raise ValueError("π ≠ 3 × 王")'), encoding="utf-8"
    )
    (folder / "tiny_page.ipynb").unlink()
    how = ["-c", "from autograder import check; check('twice')"] if inside else ["-m", "autograder.cli", "check", "."]
    done = subprocess.run(
        [sys.executable, *how],
        cwd=folder,
        env=elsewhere("win32", PYTHONIOENCODING="cp1252"),
        capture_output=True,
        check=False,
    )
    said = done.stdout.decode("cp1252")
    assert b"Traceback" not in done.stderr, done.stderr
    assert "- twice: 0 of 1" in said and r"\u03c0 \u2260 3 × \u738b" in said


@pytest.mark.parametrize(
    ("name", "paths", "expected"),
    [
        (r"c:\Users\Ada Lovelace\kit\tiny_page.ipynb", PureWindowsPath, True),
        ("C:/kit/tiny_page.ipynb", PureWindowsPath, True),
        (r"\\server\home\ada\tiny_page.ipynb", PureWindowsPath, True),
        (r"C:\kit\tiny_page.ipynb\other.ipynb", PureWindowsPath, False),
        ("/home/ada/tiny_page.ipynb", PurePosixPath, True),
        ("/home/ada/other.ipynb", PurePosixPath, False),
    ],
)
def test_the_notebook_that_an_editor_names(name: str, paths: Any, expected: bool) -> None:
    """Drive letters, backslashes and network folders."""
    assert is_named(name, "tiny_page", paths) is expected


def test_files_are_read_as_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows opens a file as text unless told otherwise: it ends at a Ctrl-Z, and line ends are changed."""
    page = tmp_path / "page.py"
    page.write_bytes(b"x = 1\r\n\x1ay = 2\r\n")
    binary, asked, real = 1 << 30, [], os.open

    def opened(path: Any, flags: int) -> int:
        asked.append(flags)
        return real(path, flags & ~binary)

    monkeypatch.setattr(os, "O_BINARY", binary, raising=False)
    monkeypatch.setattr(os, "open", opened)
    assert files.read_regular(page, 100) == page.read_bytes()
    assert [flags & binary for flags in asked] == [binary]
