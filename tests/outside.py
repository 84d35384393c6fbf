"""What tests share that use the kit from outside: a fresh clone, an unpacked kit, a guide's commands, a bare Python."""

import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterable
from pathlib import Path

from autograder.authoring import build
from autograder.course import Course

ROOT = Path(__file__).resolve().parents[1]
BLOCKED = ("typer", "rich", "nbgrader", "nbformat", "psutil", "pytest_timeout", "yaml", "watchfiles", "sqlalchemy")


def tracked() -> list[str]:
    """The files of the repository, by their paths from its root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [name for name in listed.decode().split("\0") if name]


def fresh_clone(folder: Path) -> Path:
    """A copy of the files of the repository."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def unpacked_kit(course: Course, folder: Path) -> Path:
    """The student kit as a student has it after unpacking."""
    build.student_kit(course, folder / "kit.zip")
    with zipfile.ZipFile(folder / "kit.zip") as packed:
        packed.extractall(folder / "kit")
    return folder / "kit"


def guide_commands(guide: str) -> list[str]:
    """The lines that start with `$ ` in the console blocks of a guide below docs/."""
    blocks = re.findall(r"(?s)```console\n(.*?)```", (ROOT / "docs" / guide).read_text(encoding="utf-8"))
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def block(folder: Path, packages: Iterable[str] = BLOCKED) -> None:
    """Let every Python with `folder` on its path fail to import these, as where they are not installed."""
    (folder / "sitecustomize.py").write_text(
        "import importlib.abc, sys\n"
        "class Blocked(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {tuple(packages)!r}:\n"
        "            raise ImportError(f'{name} is not installed on this machine')\n"
        "sys.meta_path.insert(0, Blocked())\n"
    )
