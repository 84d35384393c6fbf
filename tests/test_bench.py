"""The class that `bench` grades, its clock, and its figures; the figures themselves are no test's business."""

import ast
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from autograder.authoring.build import student_notebook
from autograder.commands.bench import Steps, _nbgrader_class
from autograder.commands.bench_class import (
    RIGHT,
    SHARES,
    UNFINISHED,
    WRONG,
    Member,
    _cells,
    mixed_class,
    right_class,
    write_class,
)
from autograder.commands.bench_clock import DIAGNOSIS, PYTEST, STUDENT, TESTS, WIRE, Clock
from autograder.commands.bench_lines import bench_lines
from autograder.course import Course
from autograder.errors import UsageError
from autograder.intake.finding import Asked, read_class


def test_the_mixed_class_has_its_shares_and_is_always_the_same(course: Course) -> None:
    """Of twenty 8, 6, 3, 2 and 1; notebooks and modules among each kind; several misconceptions on one page."""
    unit = course.units[0]
    members = mixed_class(course, unit, 60)
    assert Counter(member.kind for member in members) == {kind: 3 * count for kind, count in SHARES.items()}
    assert {(m.kind, m.notebook) for m in members} == {(kind, form) for kind in SHARES for form in (True, False)}
    assert members == mixed_class(course, unit, 60)
    solved = right_class(course, unit, 1)[0].pages
    wrong = [m for m in members if m.kind == WRONG]
    assert all(sum(m.pages[page] != solved[page] for page in solved) == 1 for m in wrong)
    held = {sum(cell.count("\n") == 0 and " = " in cell for cell in c) for m in wrong for c in m.pages.values()}
    assert {1, 2, 3} <= held  # the last cells of a page: one line for each misconception
    assert any(m.kind == RIGHT and m.pages != solved for m in members)
    assert all(m.pages != solved for m in members if m.kind != RIGHT)
    stubs = {page.name: [c.source for c in _cells(student_notebook(course, unit, page))] for page in unit.pages}
    assert [m.pages == stubs for m in members if m.kind == UNFINISHED] == [True, False, False] * 3


def test_intake_reads_the_class_as_it_was_made(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """What is graded are the cells of each member, in both forms; an untouched release counts as nothing."""
    course = tiny_course(tmp_path)
    unit = course.units[0]
    members = mixed_class(course, unit, 40)
    write_class(course, unit, members, tmp_path / "submitted")
    found = read_class(tmp_path / "submitted", course, Asked())
    assert not found.passed_over
    read = {
        submission.student: {page.name: page.cells for page in submission.pages} for submission in found.submissions
    }
    assert read.keys() == {member.name for member in members}
    for member in members:
        wanted = {} if member.untouched else member.pages
        assert read[member.name].keys() == wanted.keys()
        for page, cells in wanted.items():
            assert code(read[member.name][page]) == code(cells)


def code(cells: list[str]) -> str:
    """The statements of a page, without comments and cells."""
    return ast.unparse(ast.parse("\n".join(cells)))


def test_every_moment_has_one_owner() -> None:
    """An inner label takes its time from the outer one, except within a part that is counted as a whole."""
    clock = Clock()
    spin = clock.timed(STUDENT, lambda: _spin(0.02))
    started = time.perf_counter()
    with clock.on(PYTEST):
        _spin(0.02)
        with clock.on(TESTS), clock.on(WIRE):
            spin()
        with clock.on(DIAGNOSIS):
            spin()
    assert sum(clock.seconds.values()) <= time.perf_counter() - started
    assert clock.seconds.keys() == {PYTEST, TESTS, WIRE, STUDENT, DIAGNOSIS}
    assert all(clock.seconds[label] >= 0.02 for label in (PYTEST, STUDENT, DIAGNOSIS))
    assert clock.seconds[WIRE] < 0.02 > clock.seconds[TESTS]


def _spin(seconds: float) -> None:
    ends_at = time.perf_counter() + seconds
    while time.perf_counter() < ends_at:
        pass


_PAGE = """
from json import dumps

class Twice:
    def of(self, n):
        return double(n)

def double(n):
    return 2 * n
"""


def test_a_modules_functions_and_methods_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the module defines itself, not what it imported; and it works as before."""
    module = ModuleType("some_page")
    exec(_PAGE, module.__dict__)
    clock = Clock()
    clock.time_module(STUDENT, module, monkeypatch)
    assert module.Twice().of(4) == 8
    assert clock.seconds.keys() == {STUDENT}
    assert module.dumps is json.dumps


def test_the_sample_stands_for_the_class() -> None:
    """nbgrader's time for a class: its start once, and for each student the mean of the sample of that kind."""
    sample = [Member(name=n, kind=k, pages={}) for n, k in (("a", "right"), ("b", "right"), ("c", "wrong"))]
    members = [Member(name=str(n), kind="right", pages={}) for n in range(8)]
    members += [Member(name=str(n), kind="wrong", pages={}) for n in range(8, 10)]
    figures = _nbgrader_class(members, sample, 4.0, {"a": 10.0, "b": 12.0, "c": 2.0})
    assert figures == {"graded": 3, "wall_s": 96.0, "per_minute": 6.25}
    assert _nbgrader_class(members[:8], sample, 4.0, {"a": 10.0, "b": 12.0, "c": 2.0})["graded"] == 2


def test_the_figures_are_told_in_lines() -> None:
    """Each class with both rates and their ratio, each unit with its two ratios."""
    ours: dict[str, Any] = {"submissions": 20, "wall_s": 30.0, "per_minute": 40.0, "grading_share": 0.75}
    ours["dearest_tenth"] = {"share": 0.4, "mean_s": 6.0, "kinds": {WRONG: 2}}
    one: dict[str, Any] = {"ours": ours, "nbgrader": {"graded": 5, "wall_s": 300.0, "per_minute": 4.0}, "ratio": 10.0}
    one["shares"] = {STUDENT: 0.7, PYTEST: 0.3, WIRE: 0.0}
    row = {"unit": "unit0_tiny", "ratio": 2.5, "graded_s": 0.5, "bare_s": 0.2, "cpu_ratio": 3.5, "tests_cpu_ratio": 1.5}
    spread = {"median": 8.0, "max": 9.0, "count": 3}
    figures: dict[str, Any] = {
        "unit": "unit0_tiny",
        "tests": 4,
        "isolation": "none",
        "cores": 2,
        "load": 0.1,
        "bare": [row],
    }
    row = {"s": 3.0, "ratio": 1.9, "cpu_ratio": 2.6}
    figures["cold"] = {"rounds": 5, "unchanged": 50, "torch_s": 1.5, "cold": row, "nothing": row | {"ratio": 0.4}}
    figures |= {
        "classes": {"right": {}, "mixed": one},
        "failed": {},
        "fresh_worker_ms": spread,
        "save_to_verdict_s": spread,
    }
    text = "\n".join(bench_lines(figures))
    for told in (
        "40.0 submissions/min",
        "4.00 submissions/min",
        "10.0",
        "40% of the time",
        "2 wrong",
        "75% of the command",
    ):
        assert told in text
    assert "student code 70%, pytest 30%\n" in text
    assert "one submission, cold           ratio  1.90 (3.00 s), of CPU time  2.60" in text
    assert "nothing to do, 50 unchanged    ratio  0.40" in text
    assert "ratio  2.50 (0.50 s to 0.20 s), of CPU time  3.50" in text
    assert "not measured" not in text


def test_a_step_that_fails_takes_only_its_own_figures_with_it() -> None:
    """What was measured before and after is told, and what was not, with the reason."""
    said = io.StringIO()
    steps = Steps(Console(file=said, width=200))
    measured = []
    with steps.step("nbgrader autograde"):
        raise UsageError("bench: nbgrader gave up on student0001")
    with steps.step("fresh workers"):
        measured.append(1 / 0)
    with steps.step("saves"):
        measured.append(1.0)
    assert measured == [1.0]
    figures = {"unit": "unit0_tiny", "tests": 4, "isolation": "none", "cores": 2, "load": 0.1, "failed": steps.failed}
    spread = {"median": 8.0, "max": 9.0, "count": 3}
    told = list(bench_lines({**figures, "classes": {"right": {}}, "fresh_worker_ms": spread}))
    assert "fresh worker, first call: median 8.0 ms, max 9.0 ms of 3" in told
    assert "not measured: nbgrader autograde: bench: nbgrader gave up on student0001" in told
    assert told[-1].startswith("not measured: fresh workers: ZeroDivisionError")


@pytest.mark.slow
def test_bench_measures_everything_it_promises(
    tiny_course: Callable[[Path], Course], tmp_path: Path, cli: Callable[..., object]
) -> None:
    """The whole command on a course of two exercises, with both graders agreeing about who is right."""
    root = tiny_course(tmp_path).root
    done = cli("bench", "--quick", "--json", "--unit", "unit0_tiny", "--isolation", "none", "--course", root)
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    figures = json.loads(done.stdout)  # type: ignore[attr-defined]
    for name in ("right", "mixed"):
        measured = figures["classes"][name]
        assert measured["ratio"] > 0
        assert abs(sum(measured["shares"].values()) - 1) < 0.01
        assert 0 < measured["ours"]["grading_share"] <= 1
        assert 0 < measured["ours"]["dearest_tenth"]["share"] <= 1
    assert figures["nbgrader_s"].keys() == SHARES.keys()
    assert figures["cold"]["nothing"]["cpu_ratio"] < figures["cold"]["cold"]["cpu_ratio"]
    assert [row["unit"] for row in figures["bare"]] == ["unit0_tiny"]
    assert all(row["ratio"] > 0 and row["cpu_ratio"] > 0 for row in figures["bare"])
