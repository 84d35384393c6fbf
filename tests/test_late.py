"""What being late costs: exact numbers, the student's own due dates, slip days, and the same from nbgrader's plugin."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from autograder.course import Course, load_course
from autograder.errors import UsageError
from autograder.extensions import Extensions, load_extensions
from autograder.policies import LatePolicy, SubmissionPolicy, UnitLatePolicy
from autograder.results.late import Grade, grade, lateness, scores_after_penalty, settle
from autograder.results.record import ExerciseResult, Late, UnitResult, write_result
from tests.conftest import record

DAY = 86400
UNITS = ("unit_a", "unit_b", "unit_c")
DUE = {
    "unit_a": datetime(2026, 11, 30, 22, 59, tzinfo=UTC),
    "unit_b": datetime(2026, 12, 14, 22, 59, tzinfo=UTC),
    "unit_c": datetime(2026, 12, 21, 22, 59, tzinfo=UTC),
}
POLICY = LatePolicy(grace_minutes=15, penalty_per_day=0.1, max_penalty=0.5)
_UNIT = """
[[unit]]
id = "{id}"
title = "{id}"
due = {due}

[[unit.exercise]]
id = "{id}_one"
page = "{id}_page"
title = "One"
symbols = ["f"]
points = 7

[[unit.exercise]]
id = "{id}_two"
page = "{id}_page"
title = "Two"
symbols = ["g"]
points = 3
"""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """Three units of ten points; in the file they do not stand in the order of their due dates."""
    text = 'id = "course"\ntitle = "A course"\n'
    for unit in ("unit_b", "unit_a", "unit_c"):
        text += _UNIT.format(id=unit, due=DUE[unit].isoformat())
    (tmp_path / "course.toml").write_text(text)
    return replace(load_course(tmp_path), late=POLICY)


def handed_in(unit: str, after_due_s: float | None, scores: tuple[float, float] = (7, 3), **other: Any) -> UnitResult:
    """Ada's result for a unit, handed in so many seconds after the course's due date (None: nobody knows when)."""
    when = None if after_due_s is None else DUE[unit] + timedelta(seconds=after_due_s)
    exercises = [
        ExerciseResult(
            id=f"{unit}_{name}", page="page", score=score, max_score=most, pending=0, status="partial", tests=[]
        )
        for name, score, most in zip(("one", "two"), scores, (7.0, 3.0), strict=True)
    ]
    known = {"student": "ada", "graded_at": "2026-12-01T00:00:00Z", "fingerprint": "sha256:0", **other}
    return UnitResult(
        course="course",
        unit=unit,
        score=sum(scores),
        max_score=10,
        pending=0,
        isolation="none",
        seed_id="s",
        duration_s=0,
        late=Late(),
        problems=[],
        exercises=exercises,
        submitted_at=when,
        **known,
    )


def extensions_of(course: Course, *lines: str, header: str = "student,unit,due,days,excused,note") -> Extensions:
    (course.root / "extensions.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return load_extensions(course)


def grades(course: Course, extensions: Extensions, *results: UnitResult) -> dict[str, Grade]:
    counted = settle(course, extensions, {result.unit: [result] for result in results})
    return {unit: one.grade for unit, one in counted.items()}


# ---------------------------------------------------------------- one hand-in

EDGES = [
    (-5.0, 0),
    (0.0, 0),
    (900.0, 0),  # exactly the grace period
    (900.000001, 1),
    (901.0, 1),
    (DAY, 1),  # days count from the due date, not from the end of the grace period
    (DAY + 0.000001, 2),
    (3 * DAY, 3),
    (3 * DAY + 1, 4),
    (5 * DAY, 5),
    (400 * DAY, 5),  # the most that can be lost
]


@pytest.mark.parametrize(("seconds", "tenths"), EDGES)
def test_each_started_day_costs_a_tenth(course: Course, seconds: float, tenths: int) -> None:
    """Exactly a tenth of ten points per started day: no 0.30000000000000004, to the microsecond at every edge."""
    got = grade(course, Extensions(), handed_in("unit_a", seconds))
    assert (got.earned, got.penalty, got.score) == (10.0, float(tenths), 10.0 - tenths)


@pytest.mark.parametrize(
    ("scores", "days", "score"), [((6.3, 0.0), 3, 4.41), ((0.1, 0.2), 1, 0.27), ((7, 1.1), 3, 5.67)]
)
def test_points_are_decimal_numbers(course: Course, scores: tuple[float, float], days: int, score: float) -> None:
    """What a person gets with pencil and paper is what comes out, digit by digit."""
    assert grade(course, Extensions(), handed_in("unit_a", days * DAY, scores)).score == score


def test_limits_are_decimal_numbers() -> None:
    """0.7 minutes are 42 seconds and 0.7 days 60480, to the last one; the float 0.7 is a little less."""
    due = DUE["unit_a"]
    policy = LatePolicy(grace_minutes=0.7, penalty_per_day=0.1, cutoff_days=0.7)
    late = [lateness(policy, due, due + timedelta(seconds=s)) for s in (42, 43, 60480, 60481)]
    assert [(one.days, one.cut_off) for one in late] == [(0, False), (1, False), (1, False), (1, True)]


def test_no_time_no_due_date_no_penalty(course: Course) -> None:
    """Where no time is known, or the unit has no due date, nothing is late."""
    assert grade(course, Extensions(), handed_in("unit_a", None)).score == 10
    undated = replace(course, units=tuple(replace(unit, due=None) for unit in course.units))
    assert grade(undated, Extensions(), handed_in("unit_a", 9 * DAY)).score == 10


def test_a_result_of_an_earlier_version(course: Course) -> None:
    """It says how late it was, and its score has the penalty taken off: the raw points are those of its exercises."""
    old = replace(handed_in("unit_a", None), late=Late(seconds=2 * DAY, penalty=2.0), score=8.0)
    got = grade(course, Extensions(), old)
    assert (got.earned, got.penalty, got.score) == (10, 2, 8)


@pytest.mark.parametrize(
    ("cutoff", "seconds", "share"),
    [
        (2.0, 2 * DAY, "2/10"),
        (2.0, 2 * DAY + 0.000001, "1"),
        (0.1, 8640, "1/10"),
        (0.1, 8640.000001, "1"),
        (0.0, 900, "0"),  # the grace period holds against the cut-off
        (0.0, 901, "1"),
        (None, 300 * DAY, "5/10"),
        (float("inf"), 300 * DAY, "5/10"),
    ],
)
def test_nothing_counts_after_the_cut_off(cutoff: float | None, seconds: float, share: str) -> None:
    """Past the cut-off everything is lost, whatever the maximum says; up to it, it changes nothing."""
    policy = replace(POLICY, cutoff_days=cutoff)
    late = lateness(policy, DUE["unit_a"], DUE["unit_a"] + timedelta(seconds=seconds))
    assert late.share == Fraction(share) and late.cut_off == (share == "1")


def test_a_unit_has_its_own_policy(course: Course) -> None:
    """What the unit sets counts there and nowhere else; what it does not set is the course's."""
    own = UnitLatePolicy(penalty_per_day=0.25, grace_minutes=0)
    course = replace(course, units=tuple(replace(u, late=own if u.id == "unit_b" else u.late) for u in course.units))
    late = [handed_in(unit, 60) for unit in UNITS[:2]]
    assert {unit: g.penalty for unit, g in grades(course, Extensions(), *late).items()} == {"unit_a": 0, "unit_b": 2.5}
    assert grade(course, Extensions(), handed_in("unit_b", 3 * DAY)).penalty == 5  # max_penalty is still the course's


def test_scores_after_penalty_add_up(course: Course) -> None:
    """The exercises' points after a penalty sum to the grade's score, whatever has to be rounded."""
    rng = random.Random(12)
    for _ in range(300):
        scores = (round(rng.uniform(0, 7), 4), round(rng.uniform(0, 3), 4))
        (one,) = settle(
            course, Extensions(), {"unit_a": [handed_in("unit_a", rng.uniform(0, 7 * DAY), scores)]}
        ).values()
        after = scores_after_penalty(one)
        assert sum(Fraction(str(score)) for score in after) == Fraction(str(one.grade.score))
        assert all(0 <= a <= b for a, b in zip(after, scores, strict=True))


# ---------------------------------------------------------------- slip days


def slipping(course: Course, budget: int, **policy: Any) -> Course:
    return replace(course, late=replace(course.late, slip_days=budget, **policy))


def spent(course: Course, *results: UnitResult, extensions: Extensions | None = None) -> dict[str, tuple[int, float]]:
    found = grades(course, extensions or Extensions(), *results)
    return {unit: (g.slip_days, g.penalty) for unit, g in found.items()}


def test_slip_days_are_spent_in_the_order_of_due_dates(course: Course) -> None:
    """The first unit to be due takes what it needs, wherever it stands in the file or among the results."""
    late = [handed_in(unit, 2 * DAY) for unit in ("unit_c", "unit_b", "unit_a")]
    expected = {"unit_a": (2, 0.0), "unit_b": (1, 1.0), "unit_c": (0, 2.0)}
    assert spent(slipping(course, 3), *late) == expected
    assert spent(slipping(course, 0), *late) == dict.fromkeys(UNITS, (0, 2.0))


def test_a_slip_day_that_saves_nothing_is_kept(course: Course) -> None:
    """None for a unit without points, in the grace period, past the cut-off, at the maximum, or where days are free."""
    course = slipping(course, 3)
    assert spent(course, handed_in("unit_a", 2 * DAY, (0, 0)), handed_in("unit_b", 2 * DAY))["unit_b"] == (2, 0.0)
    assert spent(course, handed_in("unit_a", 900)) == {"unit_a": (0, 0.0)}
    assert spent(slipping(course, 3, cutoff_days=1.5), handed_in("unit_a", 2 * DAY)) == {"unit_a": (0, 10.0)}
    assert spent(course, handed_in("unit_a", 9 * DAY)) == {"unit_a": (0, 5.0)}  # six days late cost as much as nine
    assert spent(course, handed_in("unit_a", 7 * DAY)) == {"unit_a": (3, 4.0)}
    assert spent(slipping(course, 3, penalty_per_day=0.0), handed_in("unit_a", 2 * DAY)) == {"unit_a": (0, 0.0)}


def test_a_unit_takes_no_more_slip_days_than_it_may(course: Course) -> None:
    """`max_slip_days` holds for each unit, the unit's own before the course's."""
    course = slipping(course, 5, max_slip_days=2)
    own = UnitLatePolicy(max_slip_days=0)
    course = replace(course, units=tuple(replace(u, late=own if u.id == "unit_a" else u.late) for u in course.units))
    late = [handed_in(unit, 3 * DAY) for unit in UNITS]
    assert spent(course, *late) == {"unit_a": (0, 3.0), "unit_b": (2, 1.0), "unit_c": (2, 1.0)}


def test_an_extension_gives_slip_days_back(course: Course) -> None:
    """What an extended unit no longer needs is there for the next one, and the order stays that of course.toml."""
    late = [handed_in(unit, 2 * DAY) for unit in UNITS[:2]]
    assert spent(slipping(course, 2), *late) == {"unit_a": (2, 0.0), "unit_b": (0, 2.0)}
    longer = extensions_of(course, "ada,unit_a,,1,,")
    assert spent(slipping(course, 2), *late, extensions=longer) == {"unit_a": (1, 0.0), "unit_b": (1, 1.0)}
    excused = extensions_of(course, "ada,unit_a,,,yes,")
    assert spent(slipping(course, 2), *late, extensions=excused) == {"unit_a": (0, 0.0), "unit_b": (2, 0.0)}


# ---------------------------------------------------------------- best or latest


def test_latest_or_best(course: Course) -> None:
    """The latest counts, or the one that is worth most now: an extension can change which one that is."""
    early, late = handed_in("unit_a", -60, (7, 1)), handed_in("unit_a", 3 * DAY, (7, 3))
    both = {"unit_a": [late, early]}
    best = replace(course, policy=SubmissionPolicy(keep="best"))
    assert settle(course, Extensions(), both)["unit_a"].grade.score == 7
    counted = settle(best, Extensions(), both)["unit_a"]
    assert (counted.grade.score, counted.result, counted.others) == (8, early, [late])
    counted = settle(best, extensions_of(course, "ada,unit_a,,3,,"), both)["unit_a"]
    assert (counted.grade.score, counted.result) == (10, late)
    same = {"unit_a": [handed_in("unit_a", -30), handed_in("unit_a", -60)]}
    assert settle(best, Extensions(), same)["unit_a"].result == same["unit_a"][0]  # of equals the latest


# ---------------------------------------------------------------- extensions.csv


def test_names_and_lines(course: Course) -> None:
    """Names go by their text in any Unicode form and case; `*` is every unit, a line for one unit counts before it."""
    found = extensions_of(
        course, "", "ZOË,*,,2,,", "zoe\u0308,unit_b,2026-12-20T12:00+01:00,,,a note", "王芳,unit_a,,,yes,"
    )
    assert found.of("Zoë", "unit_a").days == 2 and found.of("zoë", "unit_b").due.day == 20  # type: ignore[union-attr]
    assert found.of("王芳", "unit_a").excused and found.of("王芳", "unit_b") is None  # type: ignore[union-attr]
    assert found.of("Zoë", "unit_a").where == "extensions.csv, line 3"  # type: ignore[union-attr]
    assert load_extensions(replace(course, root=course.root / "elsewhere")) == Extensions()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (",unit_a,,1,,", "student is empty; give the name that the results have"),
        ("ada,unit_aa,,1,,", r"unit: no unit 'unit_aa' in course.toml; did you mean 'unit_a'\? \(\* stands for all\)"),
        ("ada,unit_a,20.12.2026,,,", "due: '20.12.2026' is not a time like 2026-12-20 23:59 or a date like 2026-12-20"),
        ("ada,unit_a,2026-12-20 23:59,,,", r"due: .* has no time zone; write it like .*\+01:00, or name .*timezone ="),
        ("ada,unit_a,9999-12-31T23:59-10:00,,,", "due: .* is beyond all time"),
        ("ada,unit_a,,1.5,,", "days: '1.5' is not a whole number from 1 to 366"),
        ("ada,unit_a,,-1,,", "days: '-1' is not a whole number"),
        ("ada,unit_a,,²,,", "days: '²' is not a whole number"),
        ("ada,unit_a,,0,,", "days: '0' is not a whole number"),
        ("ada,unit_a,,,maybe,", "excused: 'maybe' is neither yes nor no"),
        ("ada,unit_a,,,,", "one of due, days and excused is needed, and none is given"),
        ("ada,unit_a,,2,yes,", "one of due, days and excused is needed, and more than one is given"),
        ("ada,*,2026-12-20T23:59Z,,,", r"due: one date for every unit \(\*\); give days, or a line for each unit"),
        ("ada,unit_a,,1,,ill,really", "really: more cells than columns; put a note with commas into quotes"),
        ("ada,unit_a,,\x1b[2J,,", r"days: '\\+x1b\[2J' is not a whole number"),
    ],
)
def test_a_bad_line_is_named(course: Course, line: str, said: str) -> None:
    """With the file, the line, the key and the fix."""
    with pytest.raises(UsageError, match=rf"^\S+/extensions\.csv, line 4: {said}") as error:
        extensions_of(course, "bob,unit_a,,1,,", "", line)
    assert str(error.value).count("\n") == 0


def test_all_bad_lines_at_once(course: Course) -> None:
    """Every one makes a line; the same student and unit twice is one of them."""
    with pytest.raises(UsageError) as error:
        extensions_of(course, "ada,unit_a,,1,,", "ADA,unit_a,,2,,", "eve,nothing,soon,,,")
    lines = str(error.value).splitlines()
    assert "line 3: student 'ADA' has line 2 for the same unit; keep one" in lines[0]
    assert "line 4: unit:" in lines[1] and "line 4: due:" in lines[2] and len(lines) == 3


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("student,unit,dew", "line 1: unknown column 'dew'; did you mean 'due'?"),
        ("name,unit,days", "line 1: no column 'student'; the columns are student, unit, due, days, excused, note"),
        ("student,unit,days,days", "line 1: column days is there more than once; keep one"),
    ],
)
def test_a_bad_header_is_named(course: Course, header: str, said: str) -> None:
    """Like an unknown key of course.toml: with what was probably meant."""
    with pytest.raises(UsageError) as error:
        extensions_of(course, "ada,unit_a,1", header=header)
    assert said in str(error.value)


def test_lines_that_change_nothing_are_noted(course: Course) -> None:
    """A name that nearly is a student's, a date before the due date, a unit without one."""
    course = replace(course, units=tuple(replace(u, due=None if u.id == "unit_c" else u.due) for u in course.units))
    lines = ["adaa,unit_a,,1,,", "ada,unit_b,2026-12-01T00:00Z,,,", "ada,unit_c,,3,,", "grace hopper,unit_a,,1,,"]
    said = extensions_of(course, *lines).notes(course, ["ada", "bob", "Bob"])
    assert extensions_of(course, "BOB,unit_a,,1,,").notes(course, ["Bob", "bob"]) == [
        "extensions.csv, line 2: holds for Bob, bob, who differ in capitals only"
    ]
    assert said == [
        "extensions.csv, line 2: nobody called adaa handed in; did you mean 'ada'?",
        "extensions.csv, line 3: not later than unit_b is due anyway; the later date counts",
        "extensions.csv, line 4: unit_c has no due date in course.toml, so nothing is late",
        "extensions.csv: nobody called grace hopper handed in yet; names are those of the results, or the ids of the "
        "roster",
    ]


def test_an_extension_takes_no_time_away(course: Course) -> None:
    """A date before the due date, which may have moved since, leaves the student the others' date."""
    earlier = extensions_of(course, "ada,unit_a,2026-11-01T00:00Z,,,")
    assert earlier.due(course, course.unit("unit_a"), "ada") == DUE["unit_a"]
    assert grade(course, earlier, handed_in("unit_a", -60)).penalty == 0


BERLIN = {
    "2027-03-29 23:59": "2027-03-29T21:59+00:00",  # summer time has begun
    "2027-03-27 23:59": "2027-03-27T22:59+00:00",
    "2027-10-31": "2027-10-31T23:00+00:00",  # a date lasts until its end, on a day of 25 hours too
    "2027-10-31 12:00+05:45": "2027-10-31T06:15+00:00",
    "2027-10-31 12:00 UTC": "2027-10-31T12:00+00:00",
}


@pytest.mark.parametrize("text", BERLIN)
def test_times_in_the_courses_zone(course: Course, text: str) -> None:
    """A date without a zone is the course's, with the offset that holds there on that day."""
    found = extensions_of(replace(course, timezone="Europe/Berlin"), f"ada,unit_a,{text},,,")
    assert found.of("ada", "unit_a").due == datetime.fromisoformat(BERLIN[text])  # type: ignore[union-attr]


def test_more_days_end_at_the_same_time_of_day(course: Course) -> None:
    """Over the change to summer time two days are 47 hours; without a zone in course.toml they are 48."""
    due = datetime.fromisoformat("2027-03-27T23:59:00+01:00")
    course = replace(course, units=tuple(replace(unit, due=due) for unit in course.units))
    two = extensions_of(course, "ada,unit_a,,2,,")
    assert two.due(course, course.units[0], "ada") is due  # nothing was granted for unit_b
    unit = course.unit("unit_a")
    assert two.due(course, unit, "ada") == due + timedelta(hours=48)
    berlin = replace(course, timezone="Europe/Berlin")
    assert two.due(berlin, unit, "ada") == due + timedelta(hours=47)
    assert two.due(berlin, unit, "ada") == datetime.fromisoformat("2027-03-29T23:59:00+02:00")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('timezone = "Europe/Bärlin"', r"\$\.timezone: no time zone 'Europe/Bärlin'; give a name like Europe/Berlin"),
        ('timezone = "../etc/passwd"', r"\$\.timezone: no time zone"),
        ("[late]\ngrace_minutes = inf", r"\$\.late\.grace_minutes is endless"),
        ("[late]\ncutoff_days = -1", r"\$\.late\.cutoff_days"),
        ("[late]\npenalty_per_day = nan", r"\$\.late\.penalty_per_day"),
        ("[late]\nslip_days = 1.5", r"\$\.late\.slip_days"),
        ('[policy]\nkeep = "newest"', r"\$\.policy\.keep"),
    ],
)
def test_a_bad_policy_is_named(course: Course, text: str, said: str) -> None:
    """With the file and the key, like every other mistake in course.toml."""
    path = course.root / "course.toml"
    path.write_text(path.read_text().replace('title = "A course"', f'title = "A course"\n{text}', 1))
    with pytest.raises(UsageError, match=said):
        load_course(course.root)


def test_slip_days_of_a_unit_are_called_otherwise(course: Course) -> None:
    """The budget is the course's; a unit that wants one is told the key that it can have."""
    path = course.root / "course.toml"
    path.write_text(path.read_text().replace('title = "unit_b"', 'title = "unit_b"\nlate = {slip_days = 3}', 1))
    with pytest.raises(UsageError, match=r"\$\.unit\[0\]\.late\.slip_days; did you mean 'max_slip_days'\?"):
        load_course(course.root)


# ---------------------------------------------------------------- nbgrader's plugin


class Book:
    """As much of nbgrader's gradebook as the plugin asks: a student's submissions."""

    def __init__(self, results: list[UnitResult]) -> None:
        self._results = results

    def student_submissions(self, student: str) -> list[Any]:
        return [
            SimpleNamespace(
                assignment=SimpleNamespace(name=result.unit),
                timestamp=result.submitted_at.replace(tzinfo=None) if result.submitted_at else None,
                score=result.score,
            )
            for result in self._results
            if result.student == student
        ]


def plugin(course: Course, unit: str, results: list[UnitResult]) -> Any:
    """The plugin as nbgrader makes it, for one assignment, on a course whose files say what `course` does."""
    from nbgrader.preprocessors import AssignLatePenalties

    from autograder.results import nbgrader_late

    parent = AssignLatePenalties()
    parent.assignment_id, parent.gradebook = unit, Book(results)
    made = nbgrader_late.CourseLatePolicy(parent=parent)
    made.course = str(course.root)
    return made


def on_disk(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    from autograder.results import nbgrader_late

    monkeypatch.setattr(nbgrader_late, "load_course", lambda root: course)


@pytest.mark.parametrize("seconds", [seconds for seconds, _ in EDGES if seconds >= 0])
def test_nbgraders_plugin_gives_the_same(course: Course, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Per notebook, at every edge, with and without an extension."""
    on_disk(course, monkeypatch)
    for lines in ([], ["ada,unit_a,,2,,"], ["ada,unit_a,,,yes,"]):
        extensions = extensions_of(course, *lines)
        result = handed_in("unit_a", seconds)
        penalties = [
            plugin(course, "unit_a", [result]).late_submission_penalty("ada", e.score, seconds)
            for e in result.exercises
        ]
        assert sum(penalties) == pytest.approx(grade(course, extensions, result).penalty, abs=1e-9)


def test_nbgraders_plugin_spends_the_same_slip_days(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random classes: whatever the policy, each unit loses in nbgrader what it loses here."""
    rng = random.Random(31)
    for _ in range(60):
        policy = LatePolicy(
            grace_minutes=rng.choice([0, 15]),
            penalty_per_day=rng.choice([0.1, 0.25]),
            max_penalty=rng.choice([0.5, 1.0]),
            cutoff_days=rng.choice([None, 4.0]),
            slip_days=rng.choice([0, 2, 5]),
            max_slip_days=rng.choice([None, 1]),
        )
        changed = replace(course, late=policy)
        on_disk(changed, monkeypatch)
        extensions = extensions_of(changed, *rng.sample(["ada,unit_a,,1,,", "ada,unit_b,,,yes,", "ada,unit_c,,2,,"], 1))
        scores = [rng.choice([(0.0, 0.0), (7.0, 3.0), (4.2, 0.7)]) for _ in UNITS]
        results = [handed_in(u, rng.uniform(1, 6 * DAY), s) for u, s in zip(UNITS, scores, strict=True)]
        for unit, expected in grades(changed, extensions, *results).items():
            result = next(r for r in results if r.unit == unit)
            late_s = (result.submitted_at - DUE[unit]).total_seconds()  # type: ignore[operator]
            made = plugin(changed, unit, results)
            got = [made.late_submission_penalty("ada", e.score, late_s) for e in result.exercises]
            assert sum(got) == pytest.approx(expected.penalty, abs=1e-4), (policy, unit)


def test_nbgraders_plugin_knows_its_units(course: Course) -> None:
    """An assignment that is no unit of the course gets no penalty of the course's."""
    assert plugin(course, "exam", []).late_submission_penalty("ada", 10.0, 1e6) is None


def test_the_plugin_inside_nbgrader(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """nbgrader's own preprocessor, with its own gradebook, dates and clamping, writes what our own writer wrote."""
    from nbformat.v4 import new_notebook
    from nbgrader.api import Gradebook
    from nbgrader.preprocessors import AssignLatePenalties
    from traitlets.config import Config

    from autograder.results import gradebook

    course = tiny_course(tmp_path)
    unit = course.units[0]
    exercises = [
        ExerciseResult(
            id=e.id, page=e.page, score=e.points / 2, max_score=e.points, pending=0, status="partial", tests=[]
        )
        for e in unit.exercises
    ]
    when = unit.due + timedelta(days=1, seconds=1)  # type: ignore[operator]
    made = replace(handed_in("unit_a", 0), unit=unit.id, course=course.id, exercises=exercises, submitted_at=when)
    url = record(course, tmp_path, [made])
    assert gradebook.scores(course, tmp_path) == {("ada", unit.id): 4.0}
    with Gradebook(url) as book:
        book.find_submission_notebook("tiny_page", unit.id, "ada").late_submission_penalty = None
        book.db.commit()
    config = Config()
    config.AssignLatePenalties.plugin_class = "autograder.results.nbgrader_late.CourseLatePolicy"
    config.CourseLatePolicy.course = str(course.root)
    resources = {"nbgrader": {"notebook": "tiny_page", "assignment": unit.id, "student": "ada", "db_url": url}}
    AssignLatePenalties(config=config).preprocess(new_notebook(), resources)
    assert gradebook.scores(course, tmp_path) == {("ada", unit.id): 4.0}


def test_points_that_come_later_know_the_slip_days_of_other_units(course: Course, tmp_path: Path) -> None:
    """`--only-pending` and `pending merge` change one unit; both units of the student stand right in the gradebook."""
    from autograder.commands.grade import fill_gradebook
    from autograder.results import gradebook

    slips = replace(course, late=replace(POLICY, slip_days=2))
    early, changed = handed_in("unit_a", 0.5 * DAY), handed_in("unit_b", 1.5 * DAY)
    for result in (early, changed):
        write_result(tmp_path / "out", result)
    fill_gradebook(slips, tmp_path / "out", [changed])
    assert gradebook.scores(slips, tmp_path / "out") == {("ada", "unit_a"): 10.0, ("ada", "unit_b"): 9.0}


# ---------------------------------------------------------------- from the command line, without student code

UNIT = "unit0_tiny"
HAND_IN = "2026-12-16 12:00:00 UTC"  # the tiny course's unit is due on 14 December, 23:59 CET: two started days


class NoSandbox:
    def __init__(self, *_: object, **__: object) -> None:
        raise AssertionError("a sandbox was started")


def test_a_later_decision_runs_no_student_code(
    tiny_course: Callable[[Path], Course], tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Due date, policy, extension and time of hand-in are followed by table and gradebook; no sandbox could start."""
    from rich.console import Console

    from autograder.commands.grade import Options, run_grade
    from autograder.intake.finding import Asked
    from autograder.results import gradebook

    course = tiny_course(tmp_path)
    submitted, out = tmp_path / "submitted", tmp_path / "graded"
    (submitted / "ada" / UNIT).mkdir(parents=True)
    page = (course.solutions / UNIT / "tiny_page.py").read_text()
    (submitted / "ada" / UNIT / "tiny_page.py").write_text(page)
    times = tmp_path / "times.csv"
    times.write_text(f"student,submitted_at\nada,{HAND_IN}\n")
    arguments = ["grade", submitted, "--out", out, "--submitted-at", times, "--isolation", "none", "--json"]
    first = json.loads(cli(*arguments, cwd=course.root).stdout)
    assert (first["fresh"], first["grades"][0]["score"], first["results"][0]["score"]) == (1, 8.0, 10.0)
    assert first["results"][0]["late"] == {"seconds": 133260.0, "penalty": 2.0}

    monkeypatch.setattr("autograder.sandbox.launch.Sandbox", NoSandbox)
    monkeypatch.setattr("autograder.rooms.batch.grade_all", NoSandbox)
    notes: list[str] = []

    def again() -> float:
        nonlocal notes
        options = Options(submitted=submitted, out=out, isolation="none", asked=Asked(submitted_at=times))
        report = run_grade(load_course(course.root), options, quiet=True, console=Console())
        assert report.fresh == 0
        notes = report.notes
        assert gradebook.scores(course, out) == pytest.approx({("ada", UNIT): report.grades[0].score})
        return report.grades[0].score

    toml = course.root / "course.toml"
    text = toml.read_text()
    assert again() == 8.0
    toml.write_text(text.replace("penalty_per_day = 0.10", "penalty_per_day = 0.20"))
    assert again() == 6.0
    toml.write_text(text.replace("due = 2026-12-14", "due = 2026-12-15"))
    assert again() == 9.0
    toml.write_text(text.replace("due = 2026-12-14T23:59:00+01:00\n", ""))
    assert again() == 10.0
    toml.write_text(text.replace("[late]", "[late]\nslip_days = 1"))
    assert again() == 9.0
    toml.write_text(text)
    (course.root / "extensions.csv").write_text("student,unit,days\nada,unit0_tiny,2\n")
    assert again() == 10.0
    (course.root / "extensions.csv").unlink()
    times.write_text("student,submitted_at\nada,2026-12-19 12:00:00 UTC\n")
    assert again() == 5.0
    assert not any("was known before" in note for note in notes)
    times.write_text("student,submitted_at\n")
    assert again() == 10.0  # as where the option is left out the second time
    gone = "the time of hand-in was known before and is not now, so nothing is late; give --submitted-at again"
    assert f"{gone}: ada {UNIT}" in notes
    problems = json.loads((out / "students" / "ada" / UNIT / "result.json").read_text())["problems"]
    assert problems == ["times.csv: no time for this student; it counts as handed in on time"]
    times.write_text(f"student,submitted_at\nada,{HAND_IN}\n")
    assert again() == 8.0
    problems = json.loads((out / "students" / "ada" / UNIT / "result.json").read_text())["problems"]
    assert not any("no time" in problem for problem in problems)
