"""What a call of `grade` does not do: hold a class in memory, or start what an unchanged class does not need."""

import io
import json
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from autograder.commands.grade import Options, run_grade
from autograder.course import Course, load_course
from autograder.intake.finding import Asked, look_through, read_class
from autograder.intake.submission import Submission
from autograder.results import gradebook
from autograder.results.record import Outcome, TestResult
from autograder.rooms.room import Graded
from tests.handed_in.conftest import UNIT

PAGE = "def double(x):\n    return x + x  # {}\n"


def hand_in(course: Course, students: Sequence[str], filler: str = "") -> Path:
    submitted = course.root.parent / "submitted"
    for student in students:
        (submitted / student / UNIT).mkdir(parents=True)
        (submitted / student / UNIT / "tiny_page.py").write_text(PAGE.format(student) + filler)
    return submitted


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> list[Submission]:
    """No rooms: everybody gets the same; the last submissions that were asked for are kept here."""
    asked: list[Submission] = []

    def grade_all(submissions: Sequence[Submission], *_: object) -> Iterator[tuple[int, bytes]]:
        for position in range(len(submissions)):
            asked[:] = [*asked[-3:], submissions[position]]
            last = submissions[position].pages[0].cells[-1].splitlines()[-1]
            message = f"Twice as much is asked for: {last}\n" + "  expected other values " * 40
            tests = [TestResult(name=f"test_{n}", outcome=Outcome.FAILED, message=message) for n in range(5)]
            results = {"twice": tests, "scale_layer": [TestResult(name="test_factor", outcome=Outcome.PASSED)]}
            yield position, msgspec.msgpack.encode(Graded(results=results, problems=[], duration_s=0.1))

    monkeypatch.setattr("autograder.rooms.batch.grade_all", grade_all)
    return asked


def run(course: Course, submitted: Path, **options: object) -> dict[str, object]:
    given = Options(submitted=submitted, out=course.root.parent / "graded", isolation="none", **options)  # type: ignore[arg-type]
    report = run_grade(load_course(course.root), given, quiet=True, console=Console(file=io.StringIO()))
    report.write_json(written := io.BytesIO())
    return json.loads(written.getvalue())  # type: ignore[no-any-return]


def test_a_submission_is_read_again_as_it_was(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """The plan keeps no page; what is read later is the same, digest, problems and time included."""
    course = tiny_course(tmp_path)
    submitted = hand_in(course, ["ada", "bob"])
    (submitted / "ada" / UNIT / "notes.pdf").write_text("x")
    whole = {s.student: s for s in read_class(submitted, course, Asked()).submissions}
    seen = look_through(submitted, course, Asked())
    assert [type(s).__name__ for s in seen.submissions] == ["HandedIn", "HandedIn"]
    assert {s.student: seen.read(s) for s in seen.submissions} == whole
    assert [s.without_pages() for s in whole.values()] == seen.submissions


def test_what_lies_there_when_a_room_asks_is_graded(
    tiny_course: Callable[[Path], Course], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that changes meanwhile is graded as it is then, under its own digest; one that is gone is said to be."""
    course = tiny_course(tmp_path)
    submitted = hand_in(course, ["ada", "bob"])

    def grade_all(submissions: Sequence[Submission], *_: object) -> Iterator[tuple[int, bytes]]:
        (submitted / "ada" / UNIT / "tiny_page.py").write_text("def double(x):\n    return 2 * x\n")
        shutil.rmtree(submitted / "bob")
        for position, submission in enumerate(submissions):
            graded = Graded(results={}, problems=submission.problems, duration_s=0.1)
            yield position, msgspec.msgpack.encode(graded)

    monkeypatch.setattr("autograder.rooms.batch.grade_all", grade_all)
    ada, bob = run(course, submitted, gradebook=False)["results"]  # type: ignore[misc]
    (now,) = read_class(submitted, course, Asked(student="ada")).submissions
    assert ada["basis"]["submission"] == now.digest
    assert ada["problems"] == [f"{UNIT} has changed since the class was looked through, and was graded as it is now"]
    assert bob["problems"][0] == "bob: cannot be opened: No such file or directory"


def test_a_gradebook_that_holds_everything_is_left_alone(
    tiny_course: Callable[[Path], Course],
    tmp_path: Path,
    rooms: list[Submission],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is written for what is new, and wholly where somebody has touched or removed it."""
    course = tiny_course(tmp_path)
    submitted = hand_in(course, ["ada", "bob"])
    written: list[list[str]] = []
    record = gradebook.record_counted

    def recording(of: Course, out: Path, settled: object) -> str:
        counted = list(settled)  # type: ignore[call-overload]
        written.append([one.result.student for one in counted])
        return record(of, out, counted)

    monkeypatch.setattr(gradebook, "record_counted", recording)
    database = course.root.parent / "graded" / "gradebook.db"
    for _ in range(2):
        run(course, submitted)
    assert written == [["ada", "bob"]]
    (submitted / "bob" / UNIT / "tiny_page.py").write_text(PAGE.format("another"))
    run(course, submitted)
    assert written[1:] == [["bob"]]
    with gradebook._open(gradebook.database_url(course, database.parent), course.id, "") as opened:
        opened.update_or_create_student("carol")
    run(course, submitted)
    database.unlink()
    run(course, submitted)
    assert written[2:] == [["ada", "bob"], ["ada", "bob"]]
    assert {student for student, _ in gradebook.scores(course, database.parent)} == {"ada", "bob"}
    file = course.root / "course.toml"
    file.write_text(file.read_text().replace("due = 2", "due = 3", 1))
    run(course, submitted)
    assert written[4:] == [["ada", "bob"]]


UNCHANGED = """\
import sys
from autograder import cli
sys.argv = ["autograder", "grade", *sys.argv[1:]]
try:
    cli.main()
finally:
    print([name for name in ("torch", "nbgrader", "pytest") if name in sys.modules], file=sys.stderr)
"""


def test_an_unchanged_class_needs_neither_torch_nor_nbgrader(
    tiny_course: Callable[[Path], Course], tmp_path: Path, rooms: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing to do is said without importing either."""
    course = tiny_course(tmp_path)
    submitted = hand_in(course, ["ada", "bob"])
    run(course, submitted)
    command = [sys.executable, "-c", UNCHANGED, submitted, "--out", submitted.parent / "graded", "--isolation", "none"]
    done = subprocess.run(command, cwd=course.root, capture_output=True, text=True, check=False)
    assert "graded 0, unchanged 2" in done.stdout and done.stderr == "[]\n"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_class(
    tiny_course: Callable[[Path], Course], tmp_path: Path, rooms: list[Submission]
) -> None:
    """Under 10 KiB a submission, with pages of 40 KiB each, results of 6, and the JSON that tells them all."""
    course = tiny_course(tmp_path)
    filler = "# nothing\n" * 4000
    used = []
    for first, last in ((0, 50), (50, 100), (100, 300)):  # the first for what is imported and cached
        submitted = hand_in(course, [f"student{n:04}" for n in range(first, last)], filler)
        tracemalloc.start()
        report = run_grade(
            load_course(course.root),
            Options(submitted=submitted, out=tmp_path / "graded", isolation="none", gradebook=False, regrade=True),
            quiet=True,
            console=Console(file=io.StringIO()),
        )
        with (tmp_path / "report.json").open("wb") as stream:
            report.write_json(stream)
        used.append(tracemalloc.get_traced_memory()[1])  # at its peak
        tracemalloc.stop()
        assert len(json.loads((tmp_path / "report.json").read_bytes())["results"]) == last == report.fresh
        del report
    assert used[2] - used[1] < 200 * 10 * 1024, used
