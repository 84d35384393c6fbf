"""An output that cannot be written is one sentence and exit code 4; the same command finishes once it is mended."""

import contextlib
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from autograder.commands.grade import Options, run_grade
from autograder.course import Course
from autograder.errors import UsageError
from autograder.results import gradebook
from autograder.results.record import UnitResult, read_result
from tests.conftest import record

UNIT = "unit0_tiny"
STUDENTS = [f"student{number}" for number in range(10)]


class Batch:
    """The tiny course's solution handed in by a few students."""

    def __init__(self, course: Course, folder: Path, students: list[str], cli: Any) -> None:
        self.course, self.students, self._cli = course, students, cli
        self.submitted, self.out = folder / "submitted", folder / "graded"
        page = (course.solutions / UNIT / "tiny_page.py").read_text()
        for student in students:
            (self.submitted / student / UNIT).mkdir(parents=True)
            (self.submitted / student / UNIT / "tiny_page.py").write_text(page)

    def grade(self) -> Any:
        arguments = ["grade", self.submitted, "--out", self.out, "--jobs", 1, "--json"]
        return self._cli(*arguments, cwd=self.course.root)

    def results(self) -> dict[str, UnitResult]:
        found = {path.parts[-3]: read_result(path) for path in self.out.glob("students/*/*/result.json")}
        assert None not in found.values(), found
        return found  # type: ignore[return-value]

    def check(self) -> dict[str, UnitResult]:
        """Grade; there is one result for every student, the gradebook says the same, and nothing else lies about."""
        done = self.grade()
        assert done.returncode == 0, done.stderr
        results = self.results()
        assert sorted(results) == sorted(self.students) and len(json.loads(done.stdout)["results"]) == len(results)
        assert {file.name for file in self.out.glob("students/*/*/*")} == {"result.json"}
        scores = {(student, UNIT): result.score for student, result in results.items()}
        assert gradebook.scores(self.course, self.out) == pytest.approx(scores)
        return results


MakeBatch = Callable[[list[str]], Batch]


@pytest.fixture
def make_batch(tiny_course: Callable[[Path], Course], tmp_path: Path, cli: Any) -> MakeBatch:
    return lambda students: Batch(tiny_course(tmp_path), tmp_path, students, cli)


def refused(batch: Batch, words: str) -> None:
    done = batch.grade()
    assert done.returncode == 4 and len(done.stderr.splitlines()) == 1, done.stderr
    assert words in done.stderr and str(batch.out) in done.stderr


def test_the_output_is_a_file(make_batch: MakeBatch) -> None:
    """A file or a device in the place of the folder, or of a student's folder, is named, with what to do."""
    batch = make_batch(STUDENTS[:1])
    batch.out.write_text("")
    refused(batch, "cannot be used for results: it is not a folder; give another folder with --out")
    for out in (batch.out / "below", Path("/dev/full")):
        with pytest.raises(UsageError, match="it is not a folder"):
            run_grade(batch.course, Options(submitted=batch.submitted, out=out), quiet=True, console=Console())
    batch.out.unlink()
    (batch.out / "students").mkdir(parents=True)
    (batch.out / "students" / STUDENTS[0]).write_text("")
    refused(batch, "cannot be written: ")


def test_one_grader_at_a_time(make_batch: MakeBatch) -> None:
    """Two runs into one folder would write one gradebook: the second is refused."""
    batch = make_batch(STUDENTS[:1])
    batch.out.mkdir()
    with (batch.out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(batch, "another `autograder grade` is writing to ")


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Callable[[str], None]]:
    """A file system of its own at `folder`; the function given mounts it again with other options."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system of its own can be mounted by root only, where the machine allows it")
    try:
        yield lambda changed: subprocess.run(["mount", "-o", f"remount,{changed}", str(folder)], check=True) and None
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_read_only(make_batch: MakeBatch) -> None:
    """A read-only file system is one sentence and exit code 4, before anything is graded."""
    batch = make_batch(STUDENTS[:1])
    with mounted(batch.out, "ro"):
        refused(batch, "Read-only file system; give another folder with --out")


def test_disk_full(make_batch: MakeBatch) -> None:
    """A full disk is one sentence, at the gradebook and at the results; with more room the same command finishes."""
    batch = make_batch(STUDENTS[:10])
    with mounted(batch.out, "size=32k") as remount:
        refused(batch, "nothing was graded yet: mend this and run the same command again")
        assert not batch.results()
        remount("size=184k")
        refused(batch, "No space left on device; what was graded before is kept")
        kept = batch.results()
        assert 0 < len(kept) < 10
        remount("size=212k")
        refused(batch, "the result files are complete: mend this and run the same command again")
        assert len(batch.results()) == 10
        remount("size=8m")
        results = batch.check()
        assert {student: results[student] for student in kept} == kept


def test_the_terminal_is_full(make_batch: MakeBatch) -> None:
    """What cannot be printed is one sentence too, and costs no result."""
    batch = make_batch(STUDENTS[:1])
    command = [sys.executable, "-m", "autograder.cli", "grade", str(batch.submitted), "--out", str(batch.out)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=batch.course.root, stdout=full, stderr=subprocess.PIPE, check=False, text=True
        )
    assert done.returncode == 4 and done.stderr == "autograder: no room to write: [Errno 28] No space left on device\n"
    assert len(batch.results()) == 1


def test_the_gradebook_has_the_version_that_nbgrader_gives_it(make_batch: MakeBatch) -> None:
    """nbgrader asks a command for the version of its tables; what is written without it is the same."""
    batch = make_batch(STUDENTS[:1])
    assert batch.grade().returncode == 0
    command = [sys.executable, "-c", "import nbgrader.api; print(nbgrader.api.get_alembic_version())"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # nbgrader calls alembic by name
    theirs = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True)
    with sqlite3.connect(batch.out / "gradebook.db") as database:
        assert database.execute("select version_num from alembic_version").fetchall() == [(theirs.stdout.strip(),)]


def test_the_gradebook_gets_all_of_a_batch_or_nothing(make_batch: MakeBatch, tmp_path: Path) -> None:
    """Where one result cannot be recorded, none of the others is half in."""
    batch = make_batch(STUDENTS[:3])
    assert batch.grade().returncode == 0
    results = list(batch.results().values())
    broken = replace(results[-1], exercises=[])
    (out := tmp_path / "elsewhere").mkdir()
    with pytest.raises(KeyError):
        record(batch.course, out, [*results[:-1], broken])
    assert gradebook.scores(batch.course, out) == {}
    record(batch.course, out, results)
    assert gradebook.scores(batch.course, out) == {(r.student, r.unit): r.score for r in results}


def test_a_gradebook_older_than_an_exercise(make_batch: MakeBatch) -> None:
    """Submissions from before an exercise existed have no row for it: said in one sentence, with what to do."""
    batch = make_batch(STUDENTS[:1])
    assert batch.grade().returncode == 0
    results = list(batch.results().values())
    unit = batch.course.units[0]
    later = replace(unit, exercises=(*unit.exercises, replace(unit.exercises[0], id="newer")))
    course = replace(batch.course, units=(later,))
    graded = replace(results[0], exercises=[*results[0].exercises, replace(results[0].exercises[0], id="newer")])
    with pytest.raises(UsageError, match=r"from before 'newer' existed.*--regrade"):
        record(course, batch.out, [graded])
