"""Counts of random events are bounded exactly: never too strictly, and not so widely that nothing is said."""

import pytest
import torch
from scipy.stats import binom

from autograder.grading.chance import divergence, each_by_itself, likely
from autograder.grading.compare import Disagreement


@pytest.mark.parametrize(("n", "p"), [(10, 0.5), (60, 0.15), (600, 0.0225), (3000, 0.1), (40_000, 0.85**5)])
def test_likely_is_never_too_strict(n, p):
    """The counts that `likely` refuses have a probability of 1e-9 at most, by the exact distribution, and not 0."""
    allowed = [k for k in range(n + 1) if not refused(k, n, p)]
    outside = binom.cdf(allowed[0] - 1, n, p) + binom.sf(allowed[-1], n, p)
    assert outside <= 1e-9
    assert allowed == list(range(allowed[0], allowed[-1] + 1))
    if n >= 600:
        assert outside > 1e-13  # nor is it so wide that it says nothing


def test_likely_at_the_edges():
    """With p = 0 or 1 the count is certain; of nothing anything is true."""
    assert refused(1, 10, 0.0)
    assert refused(9, 10, 1.0)
    assert not refused(0, 10, 0.0)
    assert not refused(10, 10, 1.0)
    assert not refused(0, 0, 0.3)
    assert divergence(0.3, 0.3) == 0


def refused(k: int, n: int, p: float) -> bool:
    try:
        likely(k, n, p, "the count")
    except Disagreement:
        return True
    return False


def test_the_message_tells_both_shares():
    """What was counted and what was expected, as numbers and shares."""
    with pytest.raises(Disagreement, match=r"the number of heads is 90 of 100 \(90.0%\), expected about 50.0%"):
        likely(90, 100, 0.5, "the number of heads")


@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 1), (1, 2)])
def test_numbers_that_share_a_draw_are_not_independent(axes):
    """One draw for all examples, tokens or features is found, and a draw for each number is not refused."""
    generator = torch.Generator().manual_seed(7)
    shape = [1 if axis in axes else size for axis, size in enumerate((12, 40, 16))]
    dropped = (torch.rand(shape, generator=generator) < 0.3).expand(12, 40, 16)
    if not axes:
        each_by_itself(dropped, 0.3, "numbers")
        return
    with pytest.raises(Disagreement, match="the number of"):
        each_by_itself(dropped, 0.3, "numbers")
