"""Whose files are these: our distribution's name, strangers under it, and what our texts tell people to install."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from autograder import installed
from tests.outside import tracked
from tests.test_architecture import imports

ROOT = Path(__file__).resolve().parents[1]


def commands(text: str) -> list[str]:
    """What follows `pip install` on each line."""
    return re.findall(r"pip install\s+(?:--?[a-z-]+\s+)*([^\n`]*)", text)


def test_no_text_names_a_package_of_somebody_else() -> None:
    """On PyPI `autograder` is a stranger's, and our own name is nobody's: neither is told to be installed."""
    seen = 0
    for name in tracked():
        path = ROOT / name
        if path.suffix not in (".py", ".md", ".toml", ".ipynb", ".yml", ".yaml", ".sh", "") or path == Path(__file__):
            continue
        for what in commands(path.read_text(encoding="utf-8", errors="replace")):
            seen += 1
            packages = {
                re.split(r"[\[=<>~!]", word)[0] for word in re.findall(r"[^\s'\"]+", what) if ".whl" not in word
            }
            assert not packages & {"autograder", installed.DISTRIBUTION}, f"{name}: pip install {what}"
    assert seen >= 5


def test_what_students_install_brings_all_that_pages_import() -> None:
    """The wheel with [student] is all that the kit's README installs, beside a PyTorch that brings nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["student"]]
    brought = {re.split(r"[\[=<>~!; ]", requirement)[0] for requirement in asked}
    pages = sorted((ROOT / "assignments").rglob("*.py"))
    imported = {name.partition(".")[0] for page in pages for name in imports(page)}
    assert {"torch", "matplotlib", "triton"} <= imported
    assert imported <= brought | set(sys.stdlib_module_names) | {"autograder"}


def stranger(folder: Path, name: str, files: list[str]) -> None:
    """A distribution that is installed in a folder, and the files that it says are its own."""
    info = folder / f"{name.replace('-', '_')}-3.7.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.7\n", encoding="utf-8")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files), encoding="utf-8")
    for file in files:  # one that is not there is not told of, from Python 3.12 on
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    (info / "top_level.txt").write_text("autograder\n", encoding="utf-8")


@pytest.mark.parametrize("thorough", [False, True])
def test_a_stranger_over_our_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thorough: bool) -> None:
    """A distribution that claims a file in our folder is named, with what to do; one that lies elsewhere is not."""
    name = "somebodys-grader" if thorough else "autograder"
    package = tmp_path / "here" / "autograder"
    stranger(package.parent, name, ["autograder/cli.py"])
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(installed, "_PACKAGE", package)
    (sentence,) = installed.strangers(thorough)
    assert f"{name} 3.7" in sentence and str(package) in sentence and f"pip uninstall {name}" in sentence
    monkeypatch.setattr(installed, "_PACKAGE", tmp_path / "elsewhere" / "autograder")
    assert installed.strangers(thorough) == []
