"""Verdicts about times: they rarely hang on luck, and a disturbed baseline voids them."""

import math

import numpy as np
import pytest

from autograder.grading.verdict import BATCHES, PAIRS, Ratio, ratio_of, slowed_down

SEED = 20261129


def noisy(rng: np.random.Generator, true: float, jitter: float, bias: float = 0.03) -> list[float]:
    """The log-ratios of one batch: jitter on both sides, 5 % outliers of +35 % on average, a bias of this worker."""
    sides = rng.normal(0, jitter, (2, PAIRS)) + np.where(
        rng.random((2, PAIRS)) < 0.05, rng.exponential(0.35, (2, PAIRS)), 0
    )
    return list(math.log(true) + rng.normal(0, bias) + sides[0] - sides[1])


def passes(rng: np.random.Generator, true: float, threshold: float, jitter: float) -> bool:
    """One grading, by the rule of `Race.ratio` and `Result.must_reach`."""
    logs: list[float] = []
    for _ in range(BATCHES):
        logs += noisy(rng, true, jitter)
        ratio = ratio_of(logs, rng)
        if ratio.decides(threshold):
            break
    return ratio.passes(threshold)


@pytest.mark.parametrize("jitter", [0.03, 0.08])
@pytest.mark.parametrize(("true", "expected"), [(0.9, True), (1.1, False)])
def test_ten_per_cent_off_the_threshold_luck_decides_nothing(jitter: float, true: float, expected: bool) -> None:
    """Of 300 gradings none goes the other way (10 000 in `test_flips_are_rarer_than_one_in_a_thousand`)."""
    rng = np.random.default_rng(SEED)
    assert [passes(rng, true * 2.0, 2.0, jitter) for _ in range(300)] == [expected] * 300


@pytest.mark.slow
@pytest.mark.parametrize("jitter", [0.03, 0.08])
@pytest.mark.parametrize(("true", "expected"), [(0.9, True), (1.1, False)])
def test_flips_are_rarer_than_one_in_a_thousand(jitter: float, true: float, expected: bool) -> None:
    """10 000 simulated gradings of the same kernel, 10 % off the threshold."""
    rng = np.random.default_rng(SEED)
    flips = sum(passes(rng, true * 2.0, 2.0, jitter) != expected for _ in range(10_000))
    assert flips <= 10, flips


def test_bounds_hold_the_median_and_shrink_with_pairs() -> None:
    """The ratio is that of the medians, and more pairs bring the bounds closer."""
    rng = np.random.default_rng(SEED)
    logs = list(rng.normal(math.log(1.5), 0.05, 93))
    few, many = ratio_of(logs[:31], rng), ratio_of(logs, rng)
    assert few.lower < 1.5 < few.upper and many.lower < 1.5 < many.upper
    assert many.upper - many.lower < few.upper - few.lower
    assert many.pairs == 93 and "1.5" in str(many)


@pytest.mark.parametrize("logs", [[], [0.1, math.inf], [math.nan]])
def test_no_ratio_without_times(logs: list[float]) -> None:
    """An infinite or missing time is never turned into a verdict."""
    with pytest.raises(ValueError, match="finite"):
        ratio_of(logs, np.random.default_rng(SEED))


def test_the_doubt_is_the_students() -> None:
    """What is not surely above the threshold passes; what is, fails."""
    assert Ratio(2.1, 1.9, 2.3, 93).passes(2.0) and not Ratio(2.1, 1.9, 2.3, 93).decides(2.0)
    assert not Ratio(2.2, 2.05, 2.3, 31).passes(2.0) and Ratio(2.2, 2.05, 2.3, 31).decides(2.0)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, False), (1.04, False), (1.3, True)])
def test_a_slowed_baseline_is_seen(factor: float, expected: bool) -> None:
    """30 % slower beside the student than alone voids a run; noise and a few per cent do not."""
    rng = np.random.default_rng(SEED)
    alone = rng.lognormal(math.log(0.05), 0.03, 14)
    beside = rng.lognormal(math.log(0.05 * factor), 0.03, PAIRS)
    assert slowed_down(list(alone), list(beside), rng) is expected
