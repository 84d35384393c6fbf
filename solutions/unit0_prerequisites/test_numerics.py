"""Public checks of the page `numerics`."""

import math

import numpy as np
import pytest

LN3 = math.log(3.0)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.exercise("softmax_stable")
def test_softmax_by_hand(student):
    """The example of the page: logits (0, ln 3) give (1/4, 3/4)."""
    np.testing.assert_allclose(student.softmax(np.array([0.0, LN3])), [0.25, 0.75])


@pytest.mark.exercise("softmax_stable")
def test_softmax_axes(student):
    """Along the given axis the result sums to 1, and shape and dtype are those of x."""
    x = draw(2, 3, 5).astype(np.float32)
    for axis in (0, 1, 2, -1):
        y = student.softmax(x, axis=axis)
        assert y.shape == (2, 3, 5), f"shape {y.shape}, expected (2, 3, 5)"
        assert y.dtype == np.float32, f"dtype {y.dtype}, expected float32"
        np.testing.assert_allclose(y.sum(axis=axis), 1.0, rtol=1e-5, err_msg=f"the sums for axis={axis}")


@pytest.mark.exercise("softmax_stable")
def test_softmax_far_apart(student):
    """Rows near 0 and near 1000 in the same array are both right, and -inf gives exactly 0."""
    x = np.array([[0.0, LN3, -np.inf], [1000.0, 1000.0 + LN3, -1000.0]])
    np.testing.assert_allclose(student.softmax(x), [[0.25, 0.75, 0.0], [0.25, 0.75, 0.0]])


@pytest.mark.exercise("softmax_stable")
def test_softmax_leaves_x_alone(student):
    """The argument is the caller's: it must not change."""
    called = student.call(student.softmax, np.array([1.0, 2.0]))
    (x_after,), _ = called.echo
    assert x_after.tolist() == [1.0, 2.0], f"x was [1, 2] and is now {x_after.tolist()}"


@pytest.mark.exercise("logsumexp_log_softmax")
def test_logsumexp_by_hand(student):
    """The logsumexp of (0, ln 3) is ln 4; with 1000 added to both it is 1000 + ln 4."""
    assert float(student.logsumexp(np.array([0.0, LN3]))) == pytest.approx(math.log(4))
    assert float(student.logsumexp(np.array([1000.0, 1000.0 + LN3]))) == pytest.approx(1000 + math.log(4))


@pytest.mark.exercise("logsumexp_log_softmax")
def test_logsumexp_shapes(student):
    """The axis is removed, or kept with length 1 if keepdims is set."""
    x = np.zeros((2, 3, 5))
    assert student.logsumexp(x).shape == (2, 3)
    assert student.logsumexp(x, axis=0).shape == (3, 5)
    assert student.logsumexp(x, axis=1, keepdims=True).shape == (2, 1, 5)


@pytest.mark.exercise("logsumexp_log_softmax")
def test_logsumexp_of_nothing(student):
    """A row of only -inf gives -inf, not NaN."""
    result = student.logsumexp(np.array([[-np.inf, -np.inf], [0.0, -np.inf]]))
    assert result.tolist() == [-np.inf, 0.0], f"got {result.tolist()}, expected [-inf, 0.0]"


@pytest.mark.exercise("logsumexp_log_softmax")
def test_log_softmax(student):
    """The logarithms of (1/4, 3/4); and a gap of 800 gives -800, not -inf."""
    np.testing.assert_allclose(student.log_softmax(np.array([0.0, LN3])), [-math.log(4), math.log(0.75)])
    np.testing.assert_allclose(student.log_softmax(np.array([[0.0, -800.0]])), [[0.0, -800.0]])
    np.testing.assert_allclose(np.exp(student.log_softmax(draw(3, 5), axis=0)).sum(0), np.ones(5))


@pytest.mark.exercise("cross_entropy")
def test_cross_entropy_by_hand(student):
    """Losses -ln 3/4 and -ln 1/2, one target ignored; the mean is over the two that count."""
    logits, targets = np.array([[0.0, LN3], [0.0, 0.0], [5.0, 7.0]]), np.array([1, 0, -100])
    losses = student.cross_entropy(logits, targets, reduction="none")
    np.testing.assert_allclose(losses, [-math.log(0.75), math.log(2), 0.0])
    assert float(student.cross_entropy(logits, targets)) == pytest.approx((-math.log(0.75) + math.log(2)) / 2)
    total = student.cross_entropy(logits, targets, reduction="sum")
    assert float(total) == pytest.approx(-math.log(0.75) + math.log(2))


@pytest.mark.exercise("cross_entropy")
def test_cross_entropy_of_ignorance(student):
    """If all 7 classes get the same logit the loss is ln 7, whatever the shape of the targets."""
    loss = student.cross_entropy(np.full((2, 3, 7), 4.0), np.zeros((2, 3), dtype=np.int64))
    assert float(loss) == pytest.approx(math.log(7))


@pytest.mark.exercise("cross_entropy")
def test_cross_entropy_large(student):
    """A very wrong prediction costs what it should: a gap of 1000 gives a loss of 1000."""
    losses = student.cross_entropy(np.array([[1000.0, 0.0], [0.0, 1000.0]]), np.array([1, 1]), reduction="none")
    np.testing.assert_allclose(losses, [1000.0, 0.0])


@pytest.mark.exercise("cross_entropy")
def test_cross_entropy_of_nothing(student):
    """If every target is ignored the loss is 0, not NaN."""
    assert float(student.cross_entropy(draw(3, 5), np.array([-1, -1, -1]), ignore_index=-1)) == 0.0


@pytest.mark.exercise("cross_entropy_grad")
def test_gradient_by_hand(student):
    """Two rows count, so each is half of p - y; the ignored row is 0."""
    logits, targets = np.array([[0.0, LN3], [0.0, 0.0], [5.0, 7.0]]), np.array([1, 0, -100])
    gradient = student.cross_entropy_grad(logits, targets)
    np.testing.assert_allclose(gradient, [[0.125, -0.125], [-0.25, 0.25], [0.0, 0.0]])


@pytest.mark.exercise("cross_entropy_grad")
def test_gradient_rows_sum_to_zero(student):
    """Each row sums to 0, only the right class has a negative gradient, and logits of 10000 are no problem."""
    logits, targets = draw(5, 7) * 1e4, np.array([3, 1, 6, 0, 2])
    gradient = student.cross_entropy_grad(logits, targets)
    assert gradient.shape == (5, 7), f"shape {gradient.shape}, expected (5, 7)"
    np.testing.assert_allclose(gradient.sum(1), 0.0, atol=1e-12)
    assert (np.delete(gradient[0], 3) >= 0).all()
    assert gradient[0, 3] <= 0


@pytest.mark.exercise("cross_entropy_grad")
def test_gradient_leaves_logits_alone(student):
    """The logits are the caller's: they must not change."""
    called = student.call(student.cross_entropy_grad, np.array([[1.0, 2.0]]), np.array([0]))
    (logits, _), _ = called.echo
    assert logits.tolist() == [[1.0, 2.0]], f"logits were [[1, 2]] and are now {logits.tolist()}"


@pytest.mark.exercise("softmax_vjp")
def test_vjp_by_hand(student):
    """The example of the page: y = (1/4, 3/4), dy = (1, 0) give (3/16, -3/16)."""
    dx = student.softmax_vjp(np.array([0.25, 0.75]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(dx, [3 / 16, -3 / 16])


@pytest.mark.exercise("softmax_vjp")
def test_vjp_central_differences(student):
    """The result is what nudging each input of a softmax does to the sum of y * dy, row by row."""
    x, dy, eps = draw(3, 5, seed=1), draw(3, 5, seed=2), 1e-6

    def y(x):
        return np.exp(x) / np.exp(x).sum(-1, keepdims=True)

    expected = np.empty_like(x)
    for index in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[index] = eps
        expected[index] = ((y(x + nudge) - y(x - nudge)) * dy).sum() / (2 * eps)
    np.testing.assert_allclose(student.softmax_vjp(y(x), dy), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(student.softmax_vjp(y(x).T, dy.T, axis=0), expected.T, rtol=1e-6, atol=1e-9)


@pytest.mark.exercise("softmax_vjp")
def test_vjp_of_one_hot(student):
    """A softmax that is completely sure passes nothing back, and a constant dy changes nothing."""
    np.testing.assert_allclose(student.softmax_vjp(np.array([[0.0, 1.0, 0.0]]), draw(1, 3)), [[0.0, 0.0, 0.0]])
    np.testing.assert_allclose(student.softmax_vjp(np.full((2, 4), 0.25), np.ones((2, 4))), np.zeros((2, 4)))
