"""The gradebook in SQLite and in PostgreSQL: the same rows, scores and exports."""

import itertools
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from autograder.commands.grade import fill_gradebook
from autograder.course import Course
from autograder.errors import UsageError
from autograder.extensions import load_extensions
from autograder.policies import GradebookConfig
from autograder.results import gradebook
from autograder.results.attempts import read_class
from autograder.results.late import settle_all
from autograder.results.record import ExerciseResult, Late, UnitResult, write_result
from tests import postgres
from tests.exports.test_text import PAYLOADS
from tests.test_nbgrader import NAMES, PAGE, UNIT, counted, filled, nbgrader


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    if reason := postgres.why_not():
        pytest.skip(reason)
    with postgres.server() as found:
        yield found


Kept = Callable[[str, Course], Course]  # the course with a new, empty gradebook


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest) -> Kept:
    def make(name: str, course: Course) -> Course:
        if request.param == "sqlite":
            return course
        url = postgres.new_database(request.getfixturevalue("address"), f"{name}-{request.node.name}"[:60])
        return msgspec.structs.replace(course, gradebook=GradebookConfig(url=url))

    return make


def test_scores_are_kept(kept: Kept, tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """Every name, every character of a message, with and without a time; a second writing changes nothing."""
    course = kept("scores", tiny_course(tmp_path))
    everyone = {name: counted(course, name, f"sentence\n{words}") for name, words in zip(NAMES, PAYLOADS, strict=False)}
    everyone["untimed"] = counted(course, "untimed", when=None)
    for _ in range(2):
        filled(course, tmp_path / "out", everyone)
        assert gradebook.scores(course, tmp_path / "out") == {(name, UNIT): 6.0 for name in everyone}


def test_a_manual_score_stays(kept: Kept, tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """What an instructor entered counts after a second writing."""
    from nbgrader.api import Gradebook

    course = kept("manual", tiny_course(tmp_path))
    filled(course, tmp_path / "out", {"ada": counted(course, "ada")})
    with Gradebook(gradebook.database_url(course, tmp_path / "out"), course_id=course.id) as book:
        book.find_grade("twice_score", PAGE, UNIT, "ada").manual_score = 2.5
        book.db.commit()
    filled(course, tmp_path / "out", {"ada": counted(course, "ada")})
    assert gradebook.scores(course, tmp_path / "out") == {("ada", UNIT): 8.5}


def test_the_tables_of_another_nbgrader(kept: Kept, tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """A gradebook that lacks a column of today's is named as that, with nbgrader's own command for it."""
    from nbgrader.api import Gradebook
    from sqlalchemy import text

    course = kept("old", tiny_course(tmp_path))
    filled(course, tmp_path / "out", {"ada": counted(course, "ada")})
    with Gradebook(gradebook.database_url(course, tmp_path / "out"), course_id=course.id) as book:
        book.db.execute(text("ALTER TABLE student DROP COLUMN lms_user_id"))
        book.db.commit()
    with pytest.raises(
        UsageError, match=r"lms_user_id.*another version of nbgrader: copy it, .* `nbgrader db upgrade`"
    ):
        filled(course, tmp_path / "out", {"ada": counted(course, "ada")})


def test_a_failed_writing_leaves_nothing(kept: Kept, tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """All of a batch or none of it."""
    course = kept("failed", tiny_course(tmp_path))
    (tmp_path / "out").mkdir()
    right = counted(course, "ada")
    wrong = msgspec.structs.replace(right, result=msgspec.structs.replace(right.result, student="bob", exercises=[]))
    gradebook.prepare(course, tmp_path / "out")
    with pytest.raises(KeyError):
        gradebook.record_counted(course, tmp_path / "out", [right, wrong])
    assert gradebook.scores(course, tmp_path / "out") == {}


@pytest.mark.slow
def test_a_class_of_300_with_every_unit(kept: Kept, course: Course, tmp_path: Path) -> None:
    """2400 results, written in one run and with slip days: the gradebook holds what the result files are worth."""
    slips = msgspec.structs.replace(course.late, slip_days=3, penalty_per_day=0.1, max_penalty=0.5)
    whole = kept("whole class", msgspec.structs.replace(course, late=slips, gradebook=GradebookConfig()))
    rng, results = random.Random(300), []
    for number, unit in itertools.product(range(300), whole.units):
        assert unit.due is not None
        exercises = [
            ExerciseResult(
                id=exercise.id,
                page=exercise.page,
                score=round(exercise.points * rng.random(), 4),
                max_score=exercise.points,
                pending=0,
                status="partial",
                tests=[],
            )
            for exercise in unit.exercises
        ]
        results.append(
            UnitResult(
                student=f"student{number:03d}",
                course=whole.id,
                unit=unit.id,
                graded_at="2026-12-24T00:00:00Z",
                fingerprint="sha256:0",
                score=round(sum(exercise.score for exercise in exercises), 4),
                max_score=unit.points,
                pending=0,
                isolation="none",
                seed_id="",
                duration_s=0,
                late=Late(seconds=0, penalty=0),
                problems=[],
                exercises=exercises,
                submitted_at=unit.due + timedelta(days=rng.uniform(-3, 3)),
            )
        )
        write_result(tmp_path / "out", results[-1])
    fill_gradebook(whole, tmp_path / "out", results)
    read = read_class(tmp_path / "out", whole)
    assert not read.left_out
    worth = {key: one.grade.score for key, one in settle_all(whole, load_extensions(whole), read.all()).items()}
    held = gradebook.scores(whole, tmp_path / "out")
    assert held.keys() == worth.keys() and len(worth) == 300 * 8
    assert max(abs(held[key] - worth[key]) for key in worth) < 1e-6


def test_both_export_the_same(address: str, tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """The same class in both: `nbgrader export` writes the same bytes, and feedback the same pages."""
    sqlite = tiny_course(tmp_path)
    url = postgres.new_database(address, "exports")
    everyone = {name: counted(sqlite, name, f"sentence\n{name}") for name in NAMES}
    written = []
    for number, kind in enumerate(["sqlite:///gradebook.db", url]):
        toml = sqlite.root / "course.toml"
        text = toml.read_text(encoding="utf-8")
        before = sqlite.gradebook.url if not number else "sqlite:///gradebook.db"
        toml.write_text(text.replace(f'"{before}"', f'"{kind}"'), encoding="utf-8")
        course = msgspec.structs.replace(sqlite, gradebook=GradebookConfig(url=kind))
        root = filled(course, tmp_path / f"out{number}", everyone)
        for command in (("export", "--to", str(tmp_path / f"{number}.csv")), ("generate_feedback", UNIT)):
            done = nbgrader(*command, cwd=root)
            assert done.returncode == 0, done.stderr[-3000:]
        pages = {p.relative_to(root): p.read_bytes() for p in sorted((root / "feedback").rglob("*.html"))}
        assert len(pages) == len(NAMES)
        rows = sorted((tmp_path / f"{number}.csv").read_text(encoding="utf-8").splitlines())
        assert len(rows) == len(NAMES) + 1 and "secret" not in (root / "nbgrader_config.py").read_text()
        written.append((rows, pages))
    assert written[0] == written[1]


def test_no_password_in_what_is_said(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """A database that cannot be reached is named without the password, and what to do."""
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://grader:secret@127.0.0.1:1/gradebook"
    course = msgspec.structs.replace(tiny_course(tmp_path), gradebook=GradebookConfig(url=url))
    with pytest.raises(UsageError, match=r"grader:\*\*\*@127\.0\.0\.1:1/gradebook cannot be opened") as caught:
        gradebook.prepare(course, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named(
    tiny_course: Callable[[Path], Course], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which extra brings it."""
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    course = msgspec.structs.replace(
        tiny_course(tmp_path), gradebook=GradebookConfig(url="postgresql+psycopg://grader@127.0.0.1:1/gradebook")
    )
    with pytest.raises(UsageError, match="psycopg"):
        gradebook.prepare(course, tmp_path)
