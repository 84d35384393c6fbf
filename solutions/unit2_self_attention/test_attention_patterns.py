"""Public checks of the page `attention_patterns`."""

import math

import numpy as np
import pytest

EXAMPLE = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.25, 0.25]])


@pytest.mark.exercise("attention_pattern_metrics")
def test_entropy(student):
    """The entropies of the page's example, in nats; a weight of 0 counts 0 and gives no NaN."""
    expected = [0.0, math.log(2), 0.5 * math.log(2) + 0.5 * math.log(4)]
    np.testing.assert_allclose(student.attention_entropy(EXAMPLE), expected, atol=1e-12)


@pytest.mark.exercise("attention_pattern_metrics")
def test_entropy_of_a_batch(student):
    """Leading axes stay, and there is one number per query: (2, 3, Tq, Tk) gives (2, 3, Tq); uniform gives ln Tk."""
    entropy = student.attention_entropy(np.full((2, 3, 4, 5), 0.2))
    assert entropy.shape == (2, 3, 4), f"shape {entropy.shape}, expected (2, 3, 4)"
    np.testing.assert_allclose(entropy, np.full((2, 3, 4), math.log(5)))


@pytest.mark.exercise("attention_pattern_metrics")
def test_distance(student):
    """Distances have no sign: looking back and looking ahead both count, and do not cancel."""
    np.testing.assert_allclose(student.mean_distance(EXAMPLE), [0.0, 0.5, 1.25])
    np.testing.assert_allclose(student.mean_distance(np.array([[0.0, 0.0, 1.0], [0.5, 0.0, 0.5]])), [2.0, 1.0])


@pytest.mark.exercise("attention_pattern_metrics")
@pytest.mark.parametrize("name", ["previous", "self", "first", "uniform", "other"])
def test_names(student, name):
    """Clear cases of the five patterns get their names."""
    T = 6
    first = np.zeros((T, T))
    first[:, 0] = 1.0
    heads = {
        "previous": np.eye(T, k=-1) + np.diag([1.0, 0, 0, 0, 0, 0]),
        "self": np.eye(T),
        "first": first,
        "uniform": np.full((T, T), 1 / T),
        "other": np.eye(T)[::-1],
    }
    assert student.classify_head(heads[name]) == name


@pytest.mark.exercise("attention_pattern_metrics")
def test_causal_uniform(student):
    """A causal head that looks at everything so far equally is uniform, not "first"."""
    causal = np.tri(6)
    assert student.classify_head(causal / causal.sum(axis=1, keepdims=True)) == "uniform"


FIRST_LAYER = [[0.0, 1.0], [0.0, 1.0]]
SECOND_LAYER = [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.exercise("attention_rollout")
def test_worked_example(student):
    """The page's example with two layers: later layers stand on the left of the product."""
    weights = np.array([FIRST_LAYER, SECOND_LAYER]).reshape(2, 1, 1, 2, 2)
    np.testing.assert_allclose(student.rollout(weights), [[[0.5, 0.5], [0.25, 0.75]]])


@pytest.mark.exercise("attention_rollout")
def test_shape_and_heads(student):
    """Heads are averaged and examples kept: (L, B, H, T, T) gives (B, T, T), and rows sum to 1."""
    weights = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 3, 7, 5))
    result = student.rollout(weights)
    assert result.shape == (3, 5, 5), f"shape {result.shape}, expected (3, 5, 5) = (B, T, T)"
    np.testing.assert_allclose(result.sum(axis=-1), np.ones((3, 5)))
    one_layer = student.rollout(weights[:1], residual=0.0)
    np.testing.assert_allclose(one_layer, weights[0].mean(axis=1))


@pytest.mark.exercise("attention_rollout")
def test_empty_row(student):
    """A fully masked query (a row of zeros) passes its own token on: rows are normalised after mixing."""
    weights = np.array([[0.5, 0.5], [0.0, 0.0]]).reshape(1, 1, 1, 2, 2)
    np.testing.assert_allclose(student.rollout(weights), [[[0.75, 0.25], [0.0, 1.0]]])
