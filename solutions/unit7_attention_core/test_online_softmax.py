"""Public checks of the page `online_softmax`."""

import numpy as np
import pytest


def lse(pair) -> np.ndarray:
    m, l = pair
    with np.errstate(divide="ignore"):
        return m + np.log(l)


@pytest.mark.exercise("online_softmax")
def test_worked_example(student):
    """The row (0, ln 3, ln 4) in two blocks has m = ln 4 and l = 2."""
    m, l = student.online_softmax(iter([np.array([0.0, np.log(3)]), np.array([np.log(4)])]))
    np.testing.assert_allclose([m, l], [np.log(4), 2.0], rtol=1e-12)


@pytest.mark.exercise("online_softmax")
def test_split_makes_no_difference(student):
    """However a row is cut into blocks, m + log(l) is its logsumexp."""
    x = np.random.default_rng(0).standard_normal((2, 3, 17))
    expected = np.log(np.exp(x).sum(-1))
    for cuts in ([], [5], [1, 2, 9], [0, 0, 16, 17]):
        found = student.online_softmax(iter(np.split(x, cuts, axis=-1)))
        np.testing.assert_allclose(lse(found), expected, rtol=1e-12, err_msg=f"cut at {cuts}")


@pytest.mark.exercise("online_softmax")
def test_masked_beginning(student):
    """A first block of nothing but -inf leaves no trace; a row of nothing but -inf has m = -inf and l = 0."""
    blocks = [np.full((2, 3), -np.inf), np.array([[1.0, 1.0], [-np.inf, -np.inf]])]
    m, l = student.online_softmax(iter(blocks))
    np.testing.assert_array_equal(m, [1.0, -np.inf])
    np.testing.assert_allclose(l, [2.0, 0.0])


@pytest.mark.exercise("online_softmax")
def test_merge(student):
    """Summaries are merged by rescaling both sums to the larger maximum, in either order."""
    a, b = (np.array(0.0), np.array(1.0)), (np.array(np.log(4)), np.array(1.5))
    for pair in ((a, b), (b, a)):
        np.testing.assert_allclose(student.merge(*pair), [np.log(4), 1.75], rtol=1e-12)
    nothing = np.array(-np.inf), np.array(0.0)
    np.testing.assert_array_equal(student.merge(nothing, nothing), [-np.inf, 0.0])
