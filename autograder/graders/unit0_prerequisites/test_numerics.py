"""Hidden grader of the page `numerics`."""

import math

import numpy as np
import pytest

from autograder.grading import agree, close, raises

# Values are compared with `close`, not `agree`: a changed argument costs the one test that is about it, not all.

AXES_OF_THREE = (0, 1, 2, -1, -2, -3)


def far_apart(draw, dtype=np.float64):
    """Three rows of five around 0, 1000 and -1000: no shift suits them all."""
    return (draw.array(3, 5) + np.array([[0.0], [1000.0], [-1000.0]])).astype(dtype)


# ---------------------------------------------------------------- softmax_stable

softmax_stable = pytest.mark.exercise("softmax_stable")


@softmax_stable
@pytest.mark.weight(2)
def test_softmax_values(student, reference, draw):
    """Along the last axis, for any number of other axes, each entry is exp(x) over the sum of its row."""
    for shape in ((3, 5), (7,), (2, 3, 5), (2, 3, 2, 5), (5, 1)):
        x = draw.array(*shape)
        close(student.softmax(x), reference.softmax(x))


@softmax_stable
def test_softmax_of_a_square(student, reference, draw):
    """Each row is divided by its own sum also where there are as many rows as columns."""
    x = draw.array(5, 5)
    close(student.softmax(x), reference.softmax(x))


@softmax_stable
@pytest.mark.weight(2)
def test_softmax_axes(student, reference, draw):
    """Any axis can be asked for, counted from the front or from the end."""
    x = draw.array(2, 3, 5)
    for axis in AXES_OF_THREE:
        close(student.softmax(x, axis=axis), reference.softmax(x, axis=axis))


@softmax_stable
@pytest.mark.weight(2)
def test_softmax_of_large_logits(student, reference, draw):
    """Logits of ±10000 are no problem, and adding a constant to a row changes nothing."""
    x = draw.array(1, 5)
    close(student.softmax(x + 1e4), reference.softmax(x + 1e4))
    close(student.softmax(x - 1e4), reference.softmax(x - 1e4))
    x = draw.array(1, 5, scale=1e4)
    close(student.softmax(x), reference.softmax(x))


@softmax_stable
@pytest.mark.weight(2)
def test_softmax_of_rows_far_apart(student, reference, draw):
    """A row around 0 is right also beside rows around 1000 and -1000, and so is a column."""
    x = far_apart(draw)
    close(student.softmax(x), reference.softmax(x))
    close(student.softmax(x.T, axis=0), reference.softmax(x.T, axis=0))


@softmax_stable
def test_softmax_of_minus_infinity(student, reference, draw):
    """Where x is -inf the result is exactly 0, and the rest shares the whole."""
    x = draw.array(3, 5)
    x[0, 1] = x[1, :4] = x[2, ::2] = -np.inf
    y = student.softmax(x)
    close(y, reference.softmax(x))
    close(y[x == -np.inf], np.zeros(8), rtol=0, atol=0, what="the result where x is -inf")


@softmax_stable
def test_softmax_of_no_rows(student, reference, draw):
    """An array without rows gives an array without rows; one with a single column gives ones."""
    close(student.softmax(draw.array(3, 1)), np.ones((3, 1)))
    close(student.softmax(draw.array(3, 2)[:0]), np.zeros((0, 2)))
    close(student.softmax(draw.array(2, 0, 3)), np.zeros((2, 0, 3)))


@softmax_stable
def test_softmax_of_float32(student, reference, draw):
    """float32 comes back as float32, large logits included."""
    for x in (draw.array(3, 5, dtype=np.float32), far_apart(draw, np.float32)):
        close(student.softmax(x), reference.softmax(x))


@softmax_stable
def test_softmax_of_a_view(student, reference, draw):
    """x may be a view that is not contiguous in memory."""
    x = draw.array(7, 5, 6)[:, :, ::2].transpose(2, 0, 1)
    close(student.softmax(x), reference.softmax(x))
    close(student.softmax(x, axis=1), reference.softmax(x, axis=1))


@softmax_stable
def test_softmax_leaves_x_alone(student, reference, draw):
    """x is as it was after the call: the caller still needs it."""
    agree(student.softmax, reference.softmax, draw.array(3, 5))


# ---------------------------------------------------------------- logsumexp_log_softmax

logsumexp_log_softmax = pytest.mark.exercise("logsumexp_log_softmax")


@logsumexp_log_softmax
@pytest.mark.weight(2)
def test_logsumexp_values(student, reference, draw):
    """The natural logarithm of the sum of exponentials, along any axis; the axis goes, or stays with keepdims."""
    x = draw.array(2, 3, 5)
    for axis in AXES_OF_THREE:
        close(student.logsumexp(x, axis=axis), reference.logsumexp(x, axis=axis))
        close(student.logsumexp(x, axis=axis, keepdims=True), reference.logsumexp(x, axis=axis, keepdims=True))
    close(student.logsumexp(x), reference.logsumexp(x))
    row = draw.array(7)
    close(student.logsumexp(row), reference.logsumexp(row))


@logsumexp_log_softmax
@pytest.mark.weight(2)
def test_logsumexp_of_large_logits(student, reference, draw):
    """With ±10000 added to all entries the result moves by just that; rows far apart are right each by itself."""
    x = draw.array(3, 5)
    for c in (1e4, -1e4):
        close(student.logsumexp(x + c), reference.logsumexp(x) + c)
    x = far_apart(draw)
    close(student.logsumexp(x), reference.logsumexp(x))
    close(student.logsumexp(x, axis=0), reference.logsumexp(x, axis=0))


@logsumexp_log_softmax
def test_logsumexp_of_nothing(student, reference, draw):
    """A row of only -inf gives -inf, not NaN, and the rows beside it are as usual."""
    x = draw.array(3, 5)
    x[1] = -np.inf
    x[2, :4] = -np.inf
    close(student.logsumexp(x), reference.logsumexp(x))
    close(student.logsumexp(x, axis=0), reference.logsumexp(x, axis=0))
    close(student.logsumexp(x[1], keepdims=True), np.array([-np.inf]))


@logsumexp_log_softmax
@pytest.mark.weight(2)
def test_log_softmax_values(student, reference, draw):
    """x minus its logsumexp, along any axis."""
    x = draw.array(2, 3, 5)
    for axis in AXES_OF_THREE:
        close(student.log_softmax(x, axis=axis), reference.log_softmax(x, axis=axis))
    row = draw.array(7)
    close(student.log_softmax(row), reference.log_softmax(row))


@logsumexp_log_softmax
@pytest.mark.weight(2)
def test_log_softmax_of_large_gaps(student, reference, draw):
    """Entries that are thousands apart keep a finite logarithm; -inf stays -inf."""
    x = draw.array(3, 5, scale=1e4)
    close(student.log_softmax(x), reference.log_softmax(x))
    x = far_apart(draw)
    close(student.log_softmax(x), reference.log_softmax(x))
    close(student.log_softmax(x, axis=0), reference.log_softmax(x, axis=0))
    x[0, 2] = -np.inf
    close(student.log_softmax(x), reference.log_softmax(x))


@logsumexp_log_softmax
def test_logs_of_single_entries(student, draw):
    """The logsumexp of one number is that number, its log-softmax is 0; one row gives one result, no rows give none."""
    x = draw.array(3, 1)
    close(student.logsumexp(x), x[:, 0])
    close(student.logsumexp(x[:1]), x[0])
    close(student.log_softmax(x), np.zeros((3, 1)))
    close(student.log_softmax(x[:0]), np.zeros((0, 1)))
    close(student.logsumexp(x[:0]), np.zeros(0))


@logsumexp_log_softmax
def test_logs_of_float32(student, reference, draw):
    """float32 comes back as float32."""
    x = draw.array(3, 5, dtype=np.float32)
    x[0] += 90.0
    close(student.logsumexp(x), reference.logsumexp(x))
    close(student.logsumexp(x, axis=0, keepdims=True), reference.logsumexp(x, axis=0, keepdims=True))
    close(student.log_softmax(x), reference.log_softmax(x), atol=1e-4)


@logsumexp_log_softmax
def test_logs_leave_x_alone(student, reference, draw):
    """x is as it was after the calls."""
    x = draw.array(3, 5)
    agree(student.logsumexp, reference.logsumexp, x)
    agree(student.log_softmax, reference.log_softmax, x)


# ---------------------------------------------------------------- cross_entropy

cross_entropy = pytest.mark.exercise("cross_entropy")


def classes(draw, *shape, high=5):
    return draw.integers(0, high, *shape).numpy()


@cross_entropy
@pytest.mark.weight(2)
def test_cross_entropy_mean(student, reference, draw):
    """By default the result is the mean of -ln softmax(logits)[target], for any leading axes, even none."""
    for shape in ((7,), (2, 3), (2, 3, 2), (1,), ()):
        logits, targets = draw.array(*shape, 5), classes(draw, *shape)
        close(student.cross_entropy(logits, targets), float(reference.cross_entropy(logits, targets)))


@cross_entropy
def test_cross_entropy_of_ignorance(student, draw):
    """If all C classes get the same logit the loss is ln C; with a single class it is 0."""
    for n_classes in (11, 2, 1):
        logits = np.full((7, n_classes), draw.array().item())
        close(student.cross_entropy(logits, classes(draw, 7, high=n_classes)), math.log(n_classes))


@cross_entropy
@pytest.mark.weight(2)
def test_cross_entropy_reductions(student, reference, draw):
    """ "none" gives every loss in its place, "sum" their sum; any other name is refused."""
    logits, targets = draw.array(2, 3, 5), classes(draw, 2, 3)
    close(
        student.cross_entropy(logits, targets, reduction="none"), reference.cross_entropy(logits, targets, -100, "none")
    )
    total = float(reference.cross_entropy(logits, targets, -100, "sum"))
    close(student.cross_entropy(logits, targets, reduction="sum"), total)
    close(student.cross_entropy(logits, targets, reduction="mean"), total / 6)
    raises(ValueError, student.cross_entropy, logits, targets, reduction="average")


@cross_entropy
@pytest.mark.weight(2)
def test_cross_entropy_ignores(student, reference, draw):
    """Targets of -100 add nothing and are not counted, also where there is a single class."""
    logits, targets = draw.array(3, 7, 5), classes(draw, 3, 7)
    targets[0, 2] = targets[1, :4] = targets[2, 6] = -100
    for reduction in ("none", "sum", "mean"):
        expected = reference.cross_entropy(logits, targets, -100, reduction)
        close(student.cross_entropy(logits, targets, reduction=reduction), expected)
    close(student.cross_entropy(draw.array(3, 1), np.array([0, -100, 0])), 0.0)


@cross_entropy
@pytest.mark.names("ignore_index_unused")  # whoever indexes with -100 has failed the test before
def test_cross_entropy_other_ignore_index(student, reference, draw):
    """ignore_index may be -1, or the id of a class; -100 is then nothing special."""
    logits, targets = draw.array(11, 5), classes(draw, 11)
    targets[:5] = np.arange(5)
    for ignore_index in (2, 0):
        expected = float(reference.cross_entropy(logits, targets, ignore_index))
        close(student.cross_entropy(logits, targets, ignore_index=ignore_index), expected)
    targets[3:6] = -1
    close(student.cross_entropy(logits, targets, ignore_index=-1), float(reference.cross_entropy(logits, targets, -1)))


@cross_entropy
@pytest.mark.weight(2)
def test_cross_entropy_ignores_with_many_classes(student, reference, draw):
    """With more than 100 classes, too, -100 is no class: it does not count from the end."""
    logits, targets = draw.array(7, 101), classes(draw, 7, high=101)
    targets[[1, 4]] = -100
    expected = float(reference.cross_entropy(logits, targets))
    close(student.cross_entropy(logits, targets), expected)
    logits[[1, 4]] = draw.array(2, 101, scale=1e4)
    close(student.cross_entropy(logits, targets), expected, what="the loss after a change in ignored rows")


@cross_entropy
@pytest.mark.weight(2)
def test_cross_entropy_of_large_logits(student, reference, draw):
    """A confident mistake costs its full price, however large; a constant added to a row changes nothing."""
    logits, targets = draw.array(7, 5), classes(draw, 7)
    expected = float(reference.cross_entropy(logits, targets))
    close(student.cross_entropy(logits + draw.array(7, 1, scale=1e3), targets), expected)
    logits = 1000 * logits
    close(
        student.cross_entropy(logits, targets, reduction="none"), reference.cross_entropy(logits, targets, -100, "none")
    )
    close(student.cross_entropy(logits, targets), float(reference.cross_entropy(logits, targets)))


@cross_entropy
def test_cross_entropy_of_nothing(student, reference, draw):
    """If every target is ignored, or there is none, the loss is 0, not NaN."""
    logits, targets = draw.array(3, 5), classes(draw, 3)
    close(student.cross_entropy(logits, targets), float(reference.cross_entropy(logits, targets)))
    targets[:] = -100
    for reduction, expected in (("mean", 0.0), ("sum", 0.0), ("none", np.zeros(3))):
        close(student.cross_entropy(logits, targets, reduction=reduction), expected)
    close(student.cross_entropy(logits[:0], targets[:0]), 0.0)


@cross_entropy
def test_cross_entropy_of_float32(student, reference, draw):
    """float32 logits give float32 losses."""
    logits, targets = draw.array(7, 5, dtype=np.float32), classes(draw, 7)
    targets[3] = -100
    close(
        student.cross_entropy(logits, targets, reduction="none"), reference.cross_entropy(logits, targets, -100, "none")
    )
    close(student.cross_entropy(logits, targets), float(reference.cross_entropy(logits, targets)), rtol=1e-4, atol=1e-5)


@cross_entropy
def test_cross_entropy_leaves_arguments_alone(student, reference, draw):
    """Logits and targets are as they were after the call."""
    targets = classes(draw, 7)
    targets[2] = -100
    agree(student.cross_entropy, reference.cross_entropy, draw.array(7, 5), targets, reduction="none")


@cross_entropy
def test_cross_entropy_picture(student):
    """The picture's curves are the losses of logits (z, 0) in float32, for class 0 and for class 1."""
    if not student.has("figure_data"):
        return
    z = np.linspace(-120.0, 120.0, 241, dtype=np.float32)
    losses = np.stack([np.logaddexp(0.0, -z.astype(float)), np.logaddexp(0.0, z.astype(float))])
    close(student.figure_data(), losses.astype(np.float32))


# ---------------------------------------------------------------- cross_entropy_grad

cross_entropy_grad = pytest.mark.exercise("cross_entropy_grad")


@cross_entropy_grad
@pytest.mark.weight(3)
def test_gradient_values(student, reference, draw):
    """Probability minus truth, divided by the number of rows."""
    for rows, n_classes in ((7, 5), (3, 11), (5, 5)):
        logits, targets = draw.array(rows, n_classes), classes(draw, rows, high=n_classes)
        close(student.cross_entropy_grad(logits, targets), reference.cross_entropy_grad(logits, targets))


@cross_entropy_grad
@pytest.mark.weight(2)
def test_gradient_is_the_slope_of_the_loss(student, reference, draw):
    """Nudging a logit changes the mean loss as the gradient says (central differences)."""
    logits, targets = draw.array(3, 5), classes(draw, 3)
    targets[1:] = -100, (targets[0] + 1) % 5
    slope = np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        nudge = np.zeros_like(logits)
        nudge[index] = 1e-5
        above, below = (reference.cross_entropy(moved, targets) for moved in (logits + nudge, logits - nudge))
        slope[index] = (above - below) / 2e-5
    close(student.cross_entropy_grad(logits, targets), slope, rtol=1e-6, atol=1e-8, what="the gradient")


@cross_entropy_grad
@pytest.mark.weight(3)
def test_gradient_of_ignored_rows(student, reference, draw):
    """Ignored rows get exactly 0 and are not counted, whatever their logits and whatever ignore_index is."""
    logits, targets = draw.array(11, 5), classes(draw, 11)
    targets[:5] = np.arange(5)
    for ignore_index in (-100, -1, 3):
        ignored = targets == ignore_index if ignore_index >= 0 else np.isin(np.arange(11), (0, 6, 7))
        marked = np.where(ignored, ignore_index, targets)
        gradient = student.cross_entropy_grad(logits, marked, ignore_index=ignore_index)
        close(gradient, reference.cross_entropy_grad(logits, marked, ignore_index))
        close(gradient[ignored], np.zeros((ignored.sum(), 5)), rtol=0, atol=0, what="the gradient of ignored rows")


@cross_entropy_grad
def test_gradient_with_many_classes(student, reference, draw):
    """With more than 100 classes, too, -100 is no class: it does not count from the end."""
    logits, targets = draw.array(3, 103), classes(draw, 3, high=103)
    targets[1:] = -100, (targets[0] + 1) % 103
    close(student.cross_entropy_grad(logits, targets), reference.cross_entropy_grad(logits, targets))


@cross_entropy_grad
def test_gradient_of_nothing(student, reference, draw):
    """If every row is ignored the gradient is 0 everywhere, not NaN; one row alone is ordinary."""
    logits, targets = draw.array(3, 5), classes(draw, 3)
    close(student.cross_entropy_grad(logits[:1], targets[:1]), reference.cross_entropy_grad(logits[:1], targets[:1]))
    close(student.cross_entropy_grad(logits, np.full(3, -100)), np.zeros((3, 5)))


@cross_entropy_grad
def test_gradient_of_large_logits(student, reference, draw):
    """Logits of ±10000 give a finite gradient between -1 and 1."""
    logits, targets = draw.array(7, 5, scale=1e4), classes(draw, 7)
    close(student.cross_entropy_grad(logits, targets), reference.cross_entropy_grad(logits, targets))


@cross_entropy_grad
def test_gradient_of_float32(student, reference, draw):
    """float32 comes back as float32."""
    logits, targets = draw.array(7, 5, dtype=np.float32), classes(draw, 7)
    close(student.cross_entropy_grad(logits, targets), reference.cross_entropy_grad(logits, targets))


@cross_entropy_grad
@pytest.mark.weight(2)
def test_gradient_leaves_arguments_alone(student, reference, draw):
    """Logits and targets are as they were after the call, so that a second call gives the same."""
    agree(student.cross_entropy_grad, reference.cross_entropy_grad, draw.array(7, 5), classes(draw, 7))


# ---------------------------------------------------------------- softmax_vjp

softmax_vjp = pytest.mark.exercise("softmax_vjp")


def vjp_inputs(reference, draw, *shape, axis=-1, dtype=np.float64):
    """A softmax's output and a gradient for it."""
    return reference.softmax(draw.array(*shape), axis).astype(dtype), draw.array(*shape, dtype=dtype)


@softmax_vjp
@pytest.mark.weight(2)
def test_vjp_of_one_row(student, reference, draw):
    """For a single row the result is that of the full Jacobian, off-diagonal entries included."""
    y, dy = vjp_inputs(reference, draw, 5)
    close(student.softmax_vjp(y, dy), reference.softmax_vjp(y, dy))
    y, dy = vjp_inputs(reference, draw, 1, 7)
    close(student.softmax_vjp(y, dy), reference.softmax_vjp(y, dy))


@softmax_vjp
@pytest.mark.weight(3)
def test_vjp_of_many_rows(student, reference, draw):
    """Each row has a Jacobian and an average of its own, however many axes there are."""
    for shape in ((3, 5), (5, 5), (2, 3, 7), (2, 3, 2, 5)):
        y, dy = vjp_inputs(reference, draw, *shape)
        close(student.softmax_vjp(y, dy), reference.softmax_vjp(y, dy))


@softmax_vjp
@pytest.mark.weight(2)
def test_vjp_axes(student, reference, draw):
    """Any axis can be asked for."""
    for axis in AXES_OF_THREE:
        y, dy = vjp_inputs(reference, draw, 2, 3, 5, axis=axis)
        close(student.softmax_vjp(y, dy, axis=axis), reference.softmax_vjp(y, dy, axis=axis))


@softmax_vjp
def test_vjp_is_the_slope(student, reference, draw):
    """Nudging an input of the softmax changes the sum of y · dy as dx says (central differences)."""
    x, dy = draw.array(3, 5), draw.array(3, 5)
    slope = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[index] = 1e-5
        slope[index] = ((reference.softmax(x + nudge) - reference.softmax(x - nudge)) * dy).sum() / 2e-5
    close(student.softmax_vjp(reference.softmax(x), dy), slope, rtol=1e-6, atol=1e-8, what="dx")


@softmax_vjp
def test_vjp_is_linear(student, reference, draw):
    """dx is linear in dy, sums to 0, and does not see a constant that is added to dy."""
    y, u = vjp_inputs(reference, draw, 3, 5)
    v = draw.array(3, 5)
    a, b = student.softmax_vjp(y, u), student.softmax_vjp(y, v)
    close(a, reference.softmax_vjp(y, u))
    close(student.softmax_vjp(y, 2 * u - 3 * v), 2 * a - 3 * b, what="dx for 2u - 3v")
    close(student.softmax_vjp(y, u + 7.0), a, what="dx after a constant was added to dy")
    close(a.sum(-1), np.zeros(3), what="the sum of dx over a row")


@softmax_vjp
def test_vjp_of_sure_rows(student, reference, draw):
    """A one-hot row passes nothing back; its neighbours do."""
    y, dy = vjp_inputs(reference, draw, 3, 5)
    y[1] = np.eye(5)[2]
    close(student.softmax_vjp(y, dy), reference.softmax_vjp(y, dy))


@softmax_vjp
def test_vjp_of_float32(student, reference, draw):
    """float32 comes back as float32."""
    y, dy = vjp_inputs(reference, draw, 3, 5, dtype=np.float32)
    close(student.softmax_vjp(y, dy), reference.softmax_vjp(y, dy))


@softmax_vjp
def test_vjp_leaves_arguments_alone(student, reference, draw):
    """y and dy are as they were after the call."""
    agree(student.softmax_vjp, reference.softmax_vjp, *vjp_inputs(reference, draw, 3, 5))
