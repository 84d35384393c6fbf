"""`race` in a grader file, through the real command: thresholds of course.toml, and one race for all tiers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autograder.course import load_course
from autograder.grading import racing
from autograder.grading.context import Context, Deferred, Student
from autograder.grading.draw import Draw
from autograder.grading.racing import Racer
from autograder.intake.submission import PageSource
from autograder.policies import Limits
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.launch import Sandbox

COURSE = """
id = "racing"
title = "Racing"
[[unit]]
id = "unit0_racing"
title = "Racing"
[[unit.exercise]]
id = "powers"
page = "running"
title = "Powers"
symbols = ["power"]
points = 10
[[unit.exercise.threshold]]
measure = "time"
pass = 4.0
good = 1e-6
excellent = 1e-7
measured = "made up: what anybody reaches, and what nobody does"
"""
PAGE = """
import torch


def power(x):
    out = x
    for _ in range(ROUNDS):
        out = out @ x
        out = out / out.norm()
    return out
"""
CACHE = """

work, kept = power, {}


def power(x):
    if x.shape not in kept:
        kept[x.shape] = work(x)
    return kept[x.shape]
"""
GRADER = '''"""Powers, and how long they take."""

import pytest
import torch

from autograder.grading import agree, close
from autograder.grading.racing import TIERS


def slow_power(x):
    out = x
    for _ in range(30):
        out = out @ x
        out = out / out.norm()
    return out


@pytest.mark.exercise("powers")
@pytest.mark.weight(7)
def test_power(student, reference, draw):
    """The power of a matrix, scaled."""
    agree(student.power, reference.power, draw.tensor(7, 7))


@pytest.mark.exercise("powers")
@pytest.mark.parametrize("tier", TIERS)
def test_time(student, reference, draw, race, tier):
    """As fast as the grader's own loop."""
    result = race(
        student.power,
        slow_power,
        inputs=lambda: (draw.tensor(61, 61),),
        judge=lambda answer, inputs: close(answer, reference.power(*inputs)),
        pairs=5,
    )
    result.must_reach(tier)
'''


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, cli: Any) -> Callable[[str], dict[str, Any]]:
    """The tests of each student: right, wrong now and then."""
    root = tmp_path_factory.mktemp("racing")
    right = PAGE.replace("ROUNDS", "30")
    cached = right + CACHE
    files = {
        "course/course.toml": COURSE,
        "course/reference/unit0_racing/running.py": '"""The loop."""\n' + right,
        "course/autograder/graders/unit0_racing/test_running.py": GRADER,
        "submitted/right/unit0_racing/running.py": right,
        "submitted/cached/unit0_racing/running.py": cached,
        "submitted/unwritten/unit0_racing/running.py": "def power(x):\n    raise NotImplementedError\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    options = ["--course", root / "course", "--out", root / "graded", "--no-gradebook", "--jobs", "1"]
    done = cli("grade", root / "submitted", *options)
    assert done.returncode == 0, done.stdout + done.stderr

    def tests(student: str) -> dict[str, Any]:
        result = json.loads((root / "graded" / "students" / student / "unit0_racing" / "result.json").read_text())
        return {test["name"]: test for test in result["exercises"][0]["tests"]}

    return tests


def test_each_tier_is_a_test_of_its_own(graded: Callable[[str], dict[str, Any]]) -> None:
    """Who is as fast as `pass` asks has that test; the others say the ratio, its bounds and what was allowed."""
    tests = graded("right")
    assert tests["test_power"]["outcome"] == "passed"
    # a machine that is too busy for any ratio leaves the points pending
    if {tests[f"test_time[{tier}]"]["outcome"] for tier in ("pass", "good", "excellent")} != {"deferred"}:
        assert tests["test_time[pass]"]["outcome"] == "passed"
        for tier, allowed in (("good", "1e-06"), ("excellent", "1e-07")):
            test = tests[f"test_time[{tier}]"]
            assert test["outcome"] == "failed" and test["misconception"] is None
            assert (
                "as long as the grader's slow_power" in test["message"] and f"allows {allowed} times" in test["message"]
            )


def test_a_cheat_loses_every_tier(graded: Callable[[str], dict[str, Any]]) -> None:
    """An answer that is kept from the call before is wrong, whatever its time."""
    tests = graded("cached")
    assert tests["test_power"]["outcome"] == "passed"
    assert {tests[f"test_time[{tier}]"]["outcome"] for tier in ("pass", "good", "excellent")} == {"failed"}
    assert "is wrong at" in tests["test_time[pass]"]["message"]


def test_what_is_not_written_is_missing(graded: Callable[[str], dict[str, Any]]) -> None:
    """A stub is not raced any further than its first call."""
    assert {test["outcome"] for test in graded("unwritten").values()} == {"missing"}


@pytest.mark.parametrize(("rounds", "held_back"), [(1, False), (3000, True)])
def test_a_busy_machine_costs_nobody_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, held_back: bool
) -> None:
    """Where the grader's own program hardly gets a processor, who is fast has the points, and who is slow waits."""
    monkeypatch.setattr(racing, "_QUIET", 2.0)  # no machine is that quiet
    (tmp_path / "course.toml").write_text(
        COURSE.replace("good = 1e-6\nexcellent = 1e-7", "good = 3.9\nexcellent = 3.8")
    )
    (tmp_path / "reference" / "unit0_racing").mkdir(parents=True)
    course = load_course(tmp_path)
    unit = course.units[0]
    with Sandbox("none", course.limits) as sandbox:
        page = PageSource("running", [PAGE.replace("ROUNDS", str(rounds))])
        context = Context(course, unit, [page], sandbox, b"seed")
        racer = Racer(context, context.page("running"), unit.exercise("powers"))
        draw = Draw(b"seed", "race")

        def race() -> Any:
            student = Student(context.page("running"))
            return racer(student.power, loop, lambda: (draw.tensor(61, 61),), lambda answer, given: None, pairs=5)

        if held_back:
            with pytest.raises(Deferred, match="grade again on a quiet machine"):
                race()
        else:
            race().must_reach("excellent")
        context.close()


def loop(x):  # type: ignore[no-untyped-def]
    out = x
    for _ in range(30):
        out = out @ x
        out = out / out.norm()
    return out


def test_several_processors_win_nothing() -> None:
    """Half the time on two processors is no ratio below 1; what rounding makes of one processor changes nothing."""
    ratio = racing.Ratio(0.5, 0.4, 0.6, 51)
    for share in (0.0, 0.7, 1.0, 1.1):
        assert racing.on_one_processor(ratio, share) == ratio
    wide = racing.on_one_processor(ratio, 2.0)
    assert (wide.median, wide.lower, wide.upper, wide.pairs) == (1.0, 0.8, 1.2, 51)
    assert ratio.passes(0.75) and not wide.passes(0.75)


def test_the_share_is_of_the_processor(tmp_path: Path) -> None:
    """Computing has it, sleeping has not: what the kernel says, over several calls."""
    code = "import time\ndef spin(s):\n    t = time.process_time() + s\n    while time.process_time() < t: pass\n"
    with Sandbox("none", Limits()) as sandbox:
        source = wire.Source("page", [code + "def nap(s):\n    time.sleep(s)\n"], notebook=True)
        page = Page(sandbox, "page", [source], ["spin", "nap"], Limits())
        shares = {}
        for name in ("spin", "nap"):
            side = racing._Side(page, name)
            for _ in range(3):
                side.timed([0.1])
            shares[name] = side.share
        page.close()
    assert 3 * shares["nap"] < shares["spin"]
