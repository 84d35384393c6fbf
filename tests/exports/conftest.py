"""A small class of results to be exported: late, excused, pending, hostile, and names of several scripts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from autograder.course import Course, load_course
from autograder.extensions import load_extensions
from autograder.results.attempts import read_class
from autograder.results.exports.gathered import Asked, Gathered, gather
from autograder.results.record import Basis, Late, Measured, Outcome, TestResult, UnitResult, write_result
from autograder.results.scoring import score_exercise
from autograder.roster import Roster

COURSE = """\
id = "course"
title = "A course"

[late]
grace_minutes = 15
penalty_per_day = 0.1
max_penalty = 0.5
slip_days = 1

[feedback]
before_due = "full"
after_due = "full"

[[unit]]
id = "unit_a"
title = "First steps"
due = 2026-11-30T23:59:00+01:00

[[unit.exercise]]
id = "one"
page = "page_a"
title = "One & only"
symbols = ["f"]
points = 7

[[unit.exercise]]
id = "two"
page = "page_a"
title = "Two"
symbols = ["g"]
points = 2.5

[[unit]]
id = "unit_b"
title = "Sprint (2)"
due = 2026-12-14T23:59:00+01:00

[[unit.exercise]]
id = "three"
page = "page_b"
title = "Three"
symbols = ["h"]
points = 4

[[unit]]
id = "unit_c"
title = "Nobody yet"

[[unit.exercise]]
id = "four"
page = "page_c"
title = "Four"
symbols = ["k"]
points = 4
"""
EXTENSIONS = """\
student,unit,due,days,excused,note
Zoë Müller,unit_a,,1,,
eve,unit_a,,,yes,never handed in
bob,unit_b,,,yes,handed in and excused
"""
FORMULA = "=cmd|' /C calc'!A0"
HOSTILE = (
    "RuntimeError: <script>alert(1)</script> & [x](javascript:y) `\x1b[2J` \u202eabc ]]> \"'\n"
    "seen: =1+1\n\t\x00\ufffe$\\href{x}{y}$"
)
P, F, R, D, E = (getattr(Outcome, name) for name in ("PASSED", "FAILED", "RAISED", "DEFERRED", "GRADER_ERROR"))


def result(course: Course, student: str, unit: str, late_s: float | None, *outcomes: list[Outcome]) -> UnitResult:
    """A result with these outcomes for the tests of each exercise, handed in so many seconds after the unit was due."""
    of = course.unit(unit)
    exercises = [
        score_exercise(
            exercise,
            [
                TestResult(
                    name=f"test_{n}",
                    outcome=outcome,
                    weight=n + 1.0,
                    message="" if outcome is P else f"The answer is right.\n{HOSTILE}",
                    hint="" if outcome is P else "Look at the *last* axis.",
                    duration_s=0.25,
                )
                for n, outcome in enumerate(given)
            ],
        )
        for exercise, given in zip(of.exercises, outcomes, strict=True)
    ]
    if student == "ada":
        raced = Measured(measure="time", device="cpu", title="CPU", ratio=0.41, lower=0.4, upper=0.42, pairs=51)
        exercises[0] = msgspec.structs.replace(exercises[0], measured=[raced])
    when = None if late_s is None or of.due is None else of.due + timedelta(seconds=late_s)
    return UnitResult(
        course=course.id,
        student=student,
        unit=unit,
        score=round(sum(exercise.score for exercise in exercises), 4),
        max_score=of.points,
        pending=round(sum(exercise.pending for exercise in exercises), 4),
        graded_at="2026-12-20T08:00:00Z",
        fingerprint="sha256:5eed",
        isolation="none",
        seed_id="s",
        duration_s=1.5,
        late=Late(),
        problems=["page_a.py: line 3: SyntaxError: <b>no</b>"] if student == "王芳" else [],
        exercises=exercises,
        submitted_at=when,
        basis=Basis(submission=f"{student}{unit}".encode().hex()),
    )


class Class(Struct):
    """The class on disk."""

    course: Course
    out: Path

    def gather(self, roster: Path | None = None, **asked: object) -> Gathered:
        found = read_class(self.out, self.course)
        return gather(self.course, load_extensions(self.course), found, Roster(roster), Asked(**asked))  # type: ignore[arg-type]


@pytest.fixture
def small_class(tmp_path: Path) -> Class:
    (tmp_path / "course.toml").write_text(COURSE, encoding="utf-8")
    (tmp_path / "extensions.csv").write_text(EXTENSIONS, encoding="utf-8")
    course, out = load_course(tmp_path), tmp_path / "graded"
    day = 86400
    for made in (
        result(course, "ada", "unit_a", -60, [P, P], [P]),
        result(course, "ada", "unit_b", 2 * day, [P, P]),  # one slip day is left, one tenth is lost
        result(course, "bob", "unit_a", 1.5 * day, [P, R], [F]),  # one slip day of two started days
        result(course, "bob", "unit_b", 3 * day, [P, P]),  # excused
        result(course, "Zoë Müller", "unit_a", day, [P, P], [P]),  # in time, by the extension
        result(course, "王芳", "unit_a", None, [F, R], [P, D]),
        result(course, FORMULA, "unit_a", 9 * day, [P, E], [P]),
    ):
        write_result(out, made)
    return Class(course, out)


GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "exports"
Golden = Callable[[str, bytes], None]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden(name, data)` compares with tests/golden/exports/<name>; `pytest --update-golden` writes it anew."""

    def compare(name: str, data: bytes) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        assert data.decode() == path.read_bytes().decode(), f"{path} differs; read the diff before --update-golden"

    return compare


def parse_utc(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
