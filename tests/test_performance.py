"""The trusted clock: whoever cheats it gives a wrong answer, gains no time, or voids the run; honest code never does.

The numbers of the clock are no test's business here; what must hold on any machine is who is judged how.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autograder.grading.compare import Disagreement, close
from autograder.grading.performance import Disturbed, Race, Runner
from autograder.grading.racing import _Side
from autograder.grading.sandwich import Sandwich
from autograder.policies import Limits
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentError
from autograder.sandbox.launch import Sandbox
from autograder.sandbox.shared import MachineMemory

FOLDER = Path(__file__).parent / "clock_cheats"
HONEST = (FOLDER / "_honest.py").read_text(encoding="utf-8")
ROUNDS, WIDTH = 12, 96


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[tuple[Sandbox, Sandbox]]:
    with Sandbox("none", Limits()) as one, Sandbox("none", Limits()) as other:
        yield one, other


def reference(x: torch.Tensor) -> torch.Tensor:
    out = x
    for _ in range(ROUNDS):
        out = out @ x
        out = out / torch.linalg.norm(out)
    return out


class Races:
    """Races of pages against the honest one, and what was judged in them."""

    def __init__(self, sandboxes: tuple[Sandbox, Sandbox], shared: bool) -> None:
        self._mine, self._theirs = sandboxes
        self._shared = shared
        self._sides: list[Sandwich] = []
        self.judged = 0

    def side(self, sandbox: Sandbox, code: str) -> Runner:
        pages = [wire.Source("raced", [code]), wire.Source("timed", [HONEST, "honest = power\n"])]
        page = Page(sandbox, "raced", pages, ["power"], Limits())
        if not self._shared:
            return _Side(page, "power")
        self._sides.append(Sandwich(page, "power", MachineMemory))
        return self._sides[-1]

    def close(self) -> None:
        for side in self._sides:
            side.close()

    def of(self, code: str, pairs: int = 5) -> Race:
        rng = np.random.default_rng(7)

        def inputs() -> Sequence[Any]:
            return (torch.from_numpy(rng.standard_normal((WIDTH, WIDTH))),)

        def judge(answer: Any, given: Sequence[Any]) -> None:
            self.judged += 1
            close(answer, reference(*given))

        mine, theirs = self.side(self._mine, code), self.side(self._theirs, HONEST)
        return Race(mine, theirs, inputs, judge, np.random.default_rng(8), pairs)


@pytest.fixture(params=["bytes on a socket", "shared memory"])
def races(
    request: pytest.FixtureRequest, sandboxes: tuple[Sandbox, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Races]:
    # a busy machine slows whatever it likes; `test_who_slows_the_baseline_voids_the_run` is about that rule
    monkeypatch.setattr("autograder.grading.performance.slowed_down", lambda *args: False)
    races = Races(sandboxes, request.param == "shared memory")
    yield races
    races.close()


def test_honest_code_is_judged_on_every_call(races: Races) -> None:
    """Each timed answer, and those that warm up, is compared; the ratio is a number with bounds around it."""
    ratio = races.of(HONEST).ratio([1e9])
    assert races.judged == 5 + 3
    assert 0 < ratio.lower <= ratio.median <= ratio.upper and ratio.pairs == 5


def test_what_cheats_build_on_is_honest(races: Races) -> None:
    """Code that imports the honest page and calls it is right: a cheat below fails for what it adds."""
    code = "from timed import ROUNDS, honest\n\n\ndef power(x):\n    return honest(x) if ROUNDS else None\n"
    assert races.of(code).ratio([1e9]).pairs == 5


SLOW = (
    HONEST.replace("def power(x):", "def once(x):")
    + """

def power(x):
    for _ in range(39):
        once(x)
    return once(x)
"""
)


def test_slower_code_has_a_larger_ratio(races: Races) -> None:
    """Forty times the work takes more than twice as long, and is not excused by the doubt."""
    ratio = races.of(SLOW, pairs=9).ratio([2.0])
    assert ratio.median > 2.0 and not ratio.passes(2.0)


CHEATS = sorted(path.stem for path in FOLDER.glob("*.py") if not path.name.startswith("_"))


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_a_wrong_answer(races: Races, name: str) -> None:
    """What saves time by not doing the work, or speaks out of turn, is caught: no ratio comes of it."""
    code = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    with pytest.raises((Disagreement, StudentError)):
        races.of(code).ratio([1e9])


PATCHED = """
import time
for name in ("time", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "time_ns", "process_time"):
    setattr(time, name, lambda: 0)
"""


def test_a_patched_clock_gains_nothing(races: Races) -> None:
    """The clock that counts is in another process: code that stops its own is as slow as it is."""
    assert not races.of(PATCHED + SLOW, pairs=9).ratio([2.0]).passes(2.0)


class Scripted:
    """A side whose times are written down: (seconds alone, seconds beside the other)."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.fresh_workers = 0

    def fresh(self) -> None:
        self.fresh_workers += 1

    def timed(self, inputs: Sequence[Any]) -> tuple[Any, float]:
        return 0, self._seconds()


def scripted(student: Scripted, baseline: Scripted, pairs: int = 31) -> Race:
    return Race(student, baseline, lambda: (), lambda answer, given: None, np.random.default_rng(3), pairs)


def test_who_slows_the_baseline_voids_the_run() -> None:
    """A baseline that is slower beside the student's worker than alone: no ratio, however often it is tried."""
    student = Scripted(lambda: 0.1)
    calls = iter(range(10**6))
    alone, batch = 2 * 8, 3 + 31

    def seconds() -> float:
        return 0.1 if next(calls) % (alone + batch) in {*range(8), *range(8 + batch, alone + batch)} else 0.2

    with pytest.raises(Disturbed, match="5 % slower"):
        scripted(student, Scripted(seconds)).ratio([2.0])
    assert student.fresh_workers == 3 * 2


def test_a_time_that_cannot_be_voids_the_run() -> None:
    """A right answer below the floor: no ratio, and no points. Once is an accident; at the floor it counts."""

    def race(seconds: Callable[[], float]) -> Race:
        sides = Scripted(seconds), Scripted(lambda: 0.1)
        rng = np.random.default_rng(3)
        return Race(*sides, lambda: (), lambda answer, given: None, rng, 9, floor_s=lambda inputs: 0.01)

    with pytest.raises(Disturbed, match="sooner than it can be computed"):
        race(lambda: 0.009).ratio([2.0])
    once = iter([0.01, 0.009])
    assert race(lambda: next(once, 0.01)).ratio([2.0]).median == pytest.approx(0.1)


def test_what_is_decided_is_not_measured_again() -> None:
    """A clear case takes one batch; one at the threshold takes three, each in a fresh worker."""
    rng = np.random.default_rng(5)
    clear, doubtful = Scripted(lambda: 0.1), Scripted(lambda: 0.2 * rng.lognormal(0, 0.1))
    assert scripted(clear, Scripted(lambda: 0.1)).ratio([2.0]).pairs == 31
    assert scripted(doubtful, Scripted(lambda: 0.1)).ratio([2.0]).pairs == 93
    assert (clear.fresh_workers, doubtful.fresh_workers) == (2, 6)


def test_a_baseline_that_fails_is_no_students_fault() -> None:
    """What goes wrong on the grader's own side is told as ours, never as an answer of the submission's."""

    def fails() -> float:
        raise StudentError("out of memory")

    with pytest.raises(RuntimeError, match="the baseline failed: out of memory"):
        scripted(Scripted(lambda: 0.1), Scripted(fails)).ratio([2.0])


def test_what_carrying_costs_is_taken_off_both_sides() -> None:
    """With an overhead of 0.1 s, 0.3 s against 0.2 s is twice as long; a call lost in the overhead stays positive."""
    sides = Scripted(lambda: 0.3), Scripted(lambda: 0.2)
    race = Race(*sides, lambda: (), lambda answer, given: None, np.random.default_rng(3), 9, overhead_s=0.1)
    assert race.ratio([9.0]).median == pytest.approx(2.0)
    lost = Race(*sides[::-1], lambda: (), lambda answer, given: None, np.random.default_rng(3), 9, overhead_s=0.25)
    assert 0 < lost.ratio([9.0]).median < 1


def test_both_sides_go_first_in_turn() -> None:
    """The order within a pair is drawn, so that neither side is always the one that warms the caches."""
    order: list[str] = []
    student = Scripted(lambda: order.append("student") or 0.1)  # type: ignore[func-returns-value]
    baseline = Scripted(lambda: order.append("baseline") or 0.1)  # type: ignore[func-returns-value]
    scripted(student, baseline).ratio([2.0])
    pairs = order[8:-8]
    first = pairs[::2]
    assert {"student", "baseline"} == set(first) and 8 < first.count("student") < 27
