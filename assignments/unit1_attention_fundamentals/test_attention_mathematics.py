"""Public checks of the page `attention_mathematics`."""

import math

import numpy as np
import pytest
import torch

SCORES = np.array([[math.log(2), math.log(4), 5.0]])


@pytest.mark.exercise("masked_softmax")
def test_worked_example(student):
    """The example of the page: 1/3, 2/3 and exactly 0."""
    weights = student.masked_softmax(SCORES, np.array([True, True, False]))
    np.testing.assert_allclose(weights, [[1 / 3, 2 / 3, 0.0]], atol=1e-12)
    assert weights[0, 2] == 0.0, "the forbidden key has a weight that is not exactly 0"


@pytest.mark.exercise("masked_softmax")
def test_without_a_mask(student):
    """Without a mask it is the softmax over the last axis, for any leading axes."""
    scores = 3 * np.random.default_rng(0).standard_normal((2, 3, 5, 7))
    weights = student.masked_softmax(scores)
    assert weights.shape == (2, 3, 5, 7), f"shape {weights.shape}, expected that of the scores"
    np.testing.assert_allclose(weights, torch.softmax(torch.from_numpy(scores), -1).numpy(), atol=1e-12)


@pytest.mark.exercise("masked_softmax")
def test_empty_row(student):
    """A query that may attend to nothing gets zeros, not NaN and not 1/Tk; the other rows are as usual."""
    mask = np.array([[True, False, True], [False, False, False]])
    weights = student.masked_softmax(np.zeros((2, 3)), mask)
    np.testing.assert_allclose(weights, [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]])


@pytest.mark.exercise("masked_softmax")
def test_low_scores(student):
    """Where the allowed scores are very low, a forbidden key still gets nothing."""
    weights = student.masked_softmax(np.array([[-300.0, -300.0, 0.0]]), np.array([True, True, False]))
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0.0]])


# Bounds of the two tests below: at least six standard errors, so that a right answer fails once in 10^8 runs at most.


@pytest.mark.exercise("why_scale")
@pytest.mark.parametrize("d", [4, 64])
def test_unscaled(student, d):
    """The variance of unscaled scores is d, and the attention of a wide model is narrow."""
    stats = student.score_stats(d, 16000, False, np.random.default_rng(1))
    assert sorted(stats) == ["entropy", "max_prob", "var"], f"the keys are {sorted(stats)}"
    assert abs(stats["var"] / d - 1) < 0.11
    assert abs(stats["entropy"] - {4: 1.56, 64: 0.40}[d]) < 0.12
    assert abs(stats["max_prob"] - {4: 0.505, 64: 0.847}[d]) < 0.05


@pytest.mark.exercise("why_scale")
@pytest.mark.parametrize("d", [4, 64])
def test_scaled(student, d):
    """The variance of scaled scores is 1 at every width, and the attention is about equally wide."""
    stats = student.score_stats(d, 16000, True, np.random.default_rng(1))
    assert abs(stats["var"] - 1) < 0.11
    assert abs(stats["entropy"] - 2.34) < 0.1
    assert abs(stats["max_prob"] - 0.26) < 0.04


@pytest.mark.exercise("why_scale")
def test_same_seed(student):
    """The same seed gives the same numbers, another seed gives others."""
    first, again, other = (student.score_stats(8, 160, True, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
