"""Which isolation is chosen, and what happens where none can be had."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autograder.course import Course
from autograder.errors import UsageError
from autograder.sandbox import rungs


def test_auto_takes_the_best_rung_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """bubblewrap first, landlock where it does not work."""
    monkeypatch.setattr(rungs, "probe", lambda rung: None)
    assert rungs.choose_rung("auto") == "bubblewrap"
    monkeypatch.setattr(rungs, "probe", lambda rung: "no" if rung == "bubblewrap" else None)
    assert rungs.choose_rung("auto") == "landlock"


def test_auto_never_falls_to_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing works it refuses, with every reason and the one way to go on; `none` takes an explicit choice."""
    monkeypatch.setattr(rungs, "probe", lambda rung: None if rung == "none" else f"{rung} is broken here")
    with pytest.raises(UsageError) as caught:
        rungs.choose_rung("auto")
    for words in ("bubblewrap is broken here", "landlock is broken here", "--isolation none"):
        assert words in str(caught.value)
    assert rungs.choose_rung("none") == "none"


def test_grading_without_bubblewrap_uses_landlock(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """With no bwrap on PATH a submission is graded behind landlock, and the result says so."""
    course = tiny_course(tmp_path / "course")
    folder = tmp_path / "submitted" / "one" / course.units[0].id
    folder.mkdir(parents=True)
    for page in course.units[0].pages:
        shutil.copy(course.solutions / course.units[0].id / f"{page.name}.py", folder)
    command = [sys.executable, "-m", "autograder.cli", "grade", str(tmp_path / "submitted"), "--json"]
    command += ["--out", str(tmp_path / "graded"), "--course", str(course.root)]
    environment = {**os.environ, "PATH": str(Path(sys.executable).parent)}
    assert shutil.which("bwrap", path=environment["PATH"]) is None
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["isolation"] == "landlock" and result["score"] == result["max_score"]


@pytest.mark.parametrize(
    ("file", "value", "fix"),
    [
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces"),
    ],
)
def test_a_common_blocker_is_named_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, file: str, value: str, fix: str
) -> None:
    """When bwrap fails, the kernel setting that forbids it is named, and the command that changes it."""

    def read(path: Path, *args: object, **kwargs: object) -> str:
        if str(path) == file:
            return f"{value}\n"
        raise OSError(path)

    monkeypatch.setattr(Path, "read_text", read)
    assert fix in rungs._blocker()
