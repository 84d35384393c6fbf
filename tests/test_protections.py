"""Every protection of `protections.toml` is needed: without it, in a copy of the kit, the named test fails.

The slow part (`make test-all`, or `pytest tests/test_protections.py -m slow`) takes them away one at a time.
"""

import ast
import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("autograder", "reference", "solutions", "tests", "course.toml", "pyproject.toml")
_PR_SET_CHILD_SUBREAPER = 36


class Protection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    file: str
    before: str
    after: str
    noticed_by: str


def protections() -> list[Protection]:
    table = tomllib.loads((ROOT / "tests" / "protections.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table["protection"], list[Protection])


each = pytest.mark.parametrize("protection", protections(), ids=lambda protection: protection.name)


@each
def test_it_is_still_there(protection: Protection) -> None:
    """The lines that are taken away stand once in their file, which is Python without them too; the test exists."""
    text = (ROOT / protection.file).read_text(encoding="utf-8")
    assert text.count(protection.before) == 1, f"{protection.file}: {protection.before!r}"
    if protection.file.endswith(".py"):
        ast.parse(text.replace(protection.before, protection.after))
    path, _, rest = protection.noticed_by.partition("::")
    assert f"def {rest.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the kit to break."""
    copy = tmp_path_factory.mktemp("kit")
    copy.chmod(0o755)  # bubblewrap binds files from it for another uid
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    yield copy
    shutil.rmtree(copy)


def run(kit: Path, *tests: str) -> "subprocess.CompletedProcess[str]":
    """Run tests of the copy, on the copy. What is left running when the wipe is gone is ended."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "--timeout=60", *tests]
    environment = {**os.environ, "PYTHONPATH": str(kit), "PYTHONDONTWRITEBYTECODE": "1"}
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans come to us
    mine = set(psutil.Process().children(recursive=True))
    done = subprocess.run(
        command, cwd=kit, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    for process in set(psutil.Process().children(recursive=True)) - mine:
        with contextlib.suppress(psutil.Error, ChildProcessError):
            process.kill()
            os.waitpid(process.pid, 0)
    return done


@pytest.mark.slow
def test_the_copy_is_sound(kit: Path) -> None:
    """With everything in place all the named tests pass in the copy, which is what they test."""
    where = run(kit, "--co", "-q", "tests/sandbox")
    assert where.returncode == 0, where.stdout
    done = run(kit, *sorted({protection.noticed_by for protection in protections()}))
    assert done.returncode == 0, done.stdout[-3000:]
    imported = "import autograder; print(autograder.__file__)"
    found = subprocess.run([sys.executable, "-c", imported], cwd=kit, capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()).is_relative_to(kit)


@pytest.mark.slow
@each
def test_taking_it_away_is_noticed(kit: Path, protection: Protection) -> None:
    """Without it the named test fails, or its sandbox does not start; it is collected, and does not pass."""
    path = kit / protection.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(protection.before, protection.after), encoding="utf-8")
    try:
        done = run(kit, "-x", protection.noticed_by)
    finally:
        path.write_text(text, encoding="utf-8")
    assert done.returncode == 1, f"{protection.noticed_by} did not notice\n{done.stdout[-3000:]}{done.stderr[-1000:]}"
