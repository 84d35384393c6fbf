"""Known wrong answers to the page `numerics`."""

import numpy as np

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- softmax_stable


@misconception("softmax_stable", symbol="softmax")
def no_max_subtract(x, axis=-1):
    """The exponentials are taken of the logits as they are, and overflow: exp(710) is inf, and inf / inf is NaN.

    Softmax does not change when a constant is added to a row. Which constant makes every exponential at most 1, and
    their sum at least 1?
    """
    exponentials = np.exp(x)
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


@misconception("softmax_stable", symbol="softmax")
def global_max(x, axis=-1):
    """One and the same maximum, that of the whole array, is subtracted everywhere.

    A row far below it is pushed to exp(-1000) = 0 in every entry, and then divided by a sum of 0. Each row needs a
    shift of its own.
    """
    exponentials = np.exp(x - x.max()) if x.size else x
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


@misconception("softmax_stable", symbol="softmax")
def axis_ignored(x, axis=-1):
    """The softmax is always taken along the last axis, whatever `axis` says.

    Look for a -1 that is written out where the argument should stand, in the maximum and in the sum.
    """
    return correct.softmax(x)


@misconception("softmax_stable", symbol="softmax")
def keepdims_missing(x, axis=-1):
    """The maximum or the sum lost its axis, and NumPy lined what is left up with the wrong axis of x.

    Shapes are matched from the right. With as many rows as columns nothing complains, and each column is divided by
    the sum of a row. Print the shapes of x and of its sum.
    """
    exponentials = np.exp(x - x.max(axis=axis))
    return exponentials / exponentials.sum(axis=axis)


@misconception("softmax_stable", symbol="softmax")
def inplace_x(x, axis=-1):
    """The values are right, but x was changed: `x -= ...` writes into the caller's own array.

    `x = x - ...` makes a new one.
    """
    x -= x.max(axis=axis, keepdims=True)
    return correct.softmax(x, axis)


@misconception("softmax_stable", symbol="softmax")
def sum_of_everything(x, axis=-1):
    """The exponentials were divided by the sum of the whole array: all rows together share one unit.

    Each row (or column, if `axis` says so) sums to 1 by itself. Over which axis does the sum in your denominator run?
    """
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True)) if x.size else x
    return exponentials / exponentials.sum()


# ---------------------------------------------------------------- logsumexp_log_softmax


@misconception("logsumexp_log_softmax", symbol="log_softmax")
def log_of_softmax(x, axis=-1):
    """This is the logarithm of a finished softmax, and where the softmax is 0 the logarithm is -inf.

    With a gap of 800 the probability does not exist in float64, its logarithm is simply -800. Take the logarithm on
    paper first, and see what becomes of exp.
    """
    with np.errstate(divide="ignore"):
        return np.log(correct.softmax(x, axis))


@misconception("logsumexp_log_softmax", symbol="logsumexp")
def no_shift(x, axis=-1, keepdims=False):
    """The exponentials are taken of the numbers as they are: exp(710) is inf, and exp(-1000) is 0, whose log is -inf.

    logsumexp(x + c) = logsumexp(x) + c. Shift by a c with which no exponential overflows and the largest is 1, and
    give the shift back afterwards.
    """
    with np.errstate(all="ignore"):
        return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


@misconception("logsumexp_log_softmax", symbol="logsumexp")
def max_not_added_back(x, axis=-1, keepdims=False):
    """The result is too small by the maximum of each row: it was subtracted, and not given back.

    logsumexp(x + c) = logsumexp(x) + c. A softmax does not notice a shift, a logsumexp does.
    """
    return correct.logsumexp(x - x.max(axis=axis, keepdims=True), axis, keepdims)


@misconception("logsumexp_log_softmax", symbol="logsumexp")
def log2_base(x, axis=-1, keepdims=False):
    """The logarithm has base 2; the course means the natural one, np.log, wherever nothing else is said."""
    shift = x.max(axis=axis, keepdims=True)
    shift = np.where(np.isneginf(shift), 0, shift)
    with np.errstate(divide="ignore"):
        result = np.log2(np.exp(x - shift).sum(axis=axis, keepdims=True)) + shift
    return result if keepdims else result.squeeze(axis=axis)


@misconception("logsumexp_log_softmax", symbol="logsumexp")
def neg_inf_nan(x, axis=-1, keepdims=False):
    """A row of nothing but -inf gives NaN: its maximum is -inf, and (-inf) - (-inf) is not a number.

    The sum of no exponentials is 0 and its logarithm is -inf. What would be a harmless shift for such a row?
    """
    shift = x.max(axis=axis, keepdims=True)
    result = np.log(np.exp(x - shift).sum(axis=axis, keepdims=True)) + shift
    return result if keepdims else result.squeeze(axis=axis)


# ---------------------------------------------------------------- cross_entropy


def _mean(losses, targets, ignore_index, reduction):
    """The reductions, done right, on losses that need not be."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(reduction)
    counts = targets != ignore_index
    losses = np.where(counts, losses, 0)
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / max(counts.sum(), 1)


@misconception("cross_entropy", symbol="cross_entropy")
def sum_not_mean(logits, targets, ignore_index=-100, reduction="mean"):
    """The default is the mean, and this is the sum: the loss grows with the size of the batch.

    Divide by the number of targets that count.
    """
    return correct.cross_entropy(logits, targets, ignore_index, "sum" if reduction == "mean" else reduction)


@misconception("cross_entropy", symbol="cross_entropy")
def ignore_in_denominator(logits, targets, ignore_index=-100, reduction="mean"):
    """Ignored targets add nothing to the sum, but they are still counted in the mean.

    A batch with much padding then seems to have a small loss. Divide by the number of targets that count.
    """
    if reduction != "mean":
        return correct.cross_entropy(logits, targets, ignore_index, reduction)
    return correct.cross_entropy(logits, targets, ignore_index, "sum") / max(targets.size, 1)


@misconception("cross_entropy", symbol="cross_entropy")
def double_softmax(logits, targets, ignore_index=-100, reduction="mean"):
    """Two softmaxes: probabilities were treated as if they were logits.

    Probabilities lie between 0 and 1, so a softmax of them is nearly uniform, and the loss can never come close to 0.
    Apply one log-softmax to the logits.
    """
    return correct.cross_entropy(correct.softmax(logits), targets, ignore_index, reduction)


@misconception("cross_entropy", symbol="cross_entropy")
def log_clip_eps(logits, targets, ignore_index=-100, reduction="mean"):
    """A small number was added to the probability before the logarithm, which puts a ceiling on the loss.

    With 1e-8 no mistake can cost more than 18.4. And small losses are slightly wrong as well. The log-softmax needs no
    such crutch.
    """
    p = correct.softmax(logits)
    picked = np.take_along_axis(p, np.where(targets != ignore_index, targets, 0)[..., None], axis=-1)[..., 0]
    return _mean(-np.log(picked + 1e-8), targets, ignore_index, reduction)


@misconception("cross_entropy", symbol="cross_entropy")
def log_of_probability(logits, targets, ignore_index=-100, reduction="mean"):
    """This is the logarithm of a finished softmax, and where the probability is rounded to 0 the loss is infinite.

    A mistake of 800 costs 800, though the probability does not exist in float64. In terms of logits the loss is a
    difference, and needs no probability.
    """
    p = correct.softmax(logits)
    picked = np.take_along_axis(p, np.where(targets != ignore_index, targets, 0)[..., None], axis=-1)[..., 0]
    with np.errstate(divide="ignore"):
        return _mean(-np.log(picked), targets, ignore_index, reduction)


@misconception("cross_entropy", symbol="cross_entropy")
def minus_forgotten(logits, targets, ignore_index=-100, reduction="mean"):
    """The sign is wrong: this is ln p, which is never above 0. The loss is -ln p, and falls to 0 as p grows to 1."""
    return -correct.cross_entropy(logits, targets, ignore_index, reduction)


@misconception("cross_entropy", symbol="cross_entropy")
def ignore_index_unused(logits, targets, ignore_index=-100, reduction="mean"):
    """The argument ignore_index was not used: you leave out -100, or all negative targets, whatever it says.

    With ignore_index=2 the targets of 2 do not count. Compare the targets with the argument.
    """
    return correct.cross_entropy(logits, targets, -100, reduction)


@misconception("cross_entropy", symbol="cross_entropy")
def negative_wrap(logits, targets, ignore_index=-100, reduction="mean"):
    """ignore_index was used as an ordinary index. Negative ones count from the end: -1 is the last class.

    With at most 99 classes -100 is out of range and you get an IndexError; with more, or with -1, some class is picked
    silently. Find the targets that count before anything is looked up.
    """
    losses = -np.take_along_axis(correct.log_softmax(logits), np.asarray(targets)[..., None], axis=-1)[..., 0]
    return _mean(losses, np.zeros(targets.shape), None, reduction)


# ---------------------------------------------------------------- cross_entropy_grad


@misconception("cross_entropy_grad", symbol="cross_entropy_grad")
def missing_1_over_n(logits, targets, ignore_index=-100):
    """This is the gradient of the sum of the losses. The loss is their mean.

    The mean divides by the number of rows that count, and so does its gradient.
    """
    return correct.cross_entropy_grad(logits, targets, ignore_index) * (targets != ignore_index).sum()


@misconception("cross_entropy_grad", symbol="cross_entropy_grad")
def sign_flipped(logits, targets, ignore_index=-100):
    """The sign is wrong: this is truth minus probability.

    The gradient points to where the loss *grows*. Raising the right logit lowers the loss, so its gradient is negative.
    """
    return -correct.cross_entropy_grad(logits, targets, ignore_index)


@misconception("cross_entropy_grad", symbol="cross_entropy_grad")
def grad_through_ignored(logits, targets, ignore_index=-100):
    """Ignored rows have a gradient that is not 0: their probabilities were left standing.

    It is not enough to leave the 1 of the truth out. A row that has no part in the loss has no part in its gradient.
    """
    counts = targets != ignore_index
    gradient = correct.softmax(logits)
    gradient[counts, targets[counts]] -= 1
    return gradient / max(int(counts.sum()), 1)


@misconception("cross_entropy_grad", symbol="cross_entropy_grad")
def count_all_rows(logits, targets, ignore_index=-100):
    """The gradient is divided by the number of all rows. The mean is over those that count."""
    counts = targets != ignore_index
    return correct.cross_entropy_grad(logits, targets, ignore_index) * float(counts.sum() / max(targets.size, 1))


@misconception("cross_entropy_grad", symbol="cross_entropy_grad")
def one_from_whole_columns(logits, targets, ignore_index=-100):
    """The 1 of the truth was taken from whole columns: `p[:, targets]` means these classes in *every* row.

    Row i gets its 1 at targets[i] and nowhere else. NumPy pairs two lists of indices: one of rows, one of classes.
    """
    counts = targets != ignore_index
    gradient = correct.softmax(logits)
    gradient[:, targets[counts]] -= 1
    gradient[~counts] = 0
    return gradient / max(int(counts.sum()), 1)


@misconception("cross_entropy_grad", symbol="cross_entropy_grad")
def inplace_probs(logits, targets, ignore_index=-100):
    """The gradient is right, but an array was reused that is not yours: the caller's logits hold it now.

    `p[rows, targets] -= 1` and `np.exp(..., out=...)` write where p lives. If p is the logits (or an array kept for
    later), the next one to use it gets nonsense. Work on a new array.
    """
    logits[...] = correct.cross_entropy_grad(logits, targets, ignore_index)
    return logits


# ---------------------------------------------------------------- softmax_vjp


@misconception("softmax_vjp", symbol="softmax_vjp")
def diag_only(y, dy, axis=-1):
    """Only the diagonal of the Jacobian was used: y (1 - y) dy.

    That is the derivative of a sigmoid, where each output has one input. In a softmax all outputs share one sum, and
    every input moves all of them.
    """
    return y * (1 - y) * dy


@misconception("softmax_vjp", symbol="softmax_vjp")
def softmax_of_y(y, dy, axis=-1):
    """A softmax was taken of y. But y is the output of the softmax already; the x before it is not needed."""
    return correct.softmax_vjp(correct.softmax(y, axis), dy, axis)


@misconception("softmax_vjp", symbol="softmax_vjp")
def plain_average(y, dy, axis=-1):
    """What was subtracted is the plain mean of dy. It is an average weighted by y: an output that is nearly 0 hardly
    counts.
    """
    return y * (dy - dy.mean(axis=axis, keepdims=True))


@misconception("softmax_vjp", symbol="softmax_vjp")
def factor_missing(y, dy, axis=-1):
    """The average was subtracted, but the factor y in front is missing: outputs near 0 pass next to nothing back."""
    return dy - (y * dy).sum(axis=axis, keepdims=True)


@misconception("softmax_vjp", symbol="softmax_vjp")
def sum_wrong_axis(y, dy, axis=-1):
    """The average of dy was taken along the wrong axis: it mixes rows that have nothing to do with each other.

    y sums to 1 along `axis`, and y · dy must be summed along the same one.
    """
    wrong = 0 if axis % y.ndim else y.ndim - 1
    return y * (dy - (y * dy).sum(axis=wrong, keepdims=True))


@misconception("softmax_vjp", symbol="softmax_vjp")
def full_jacobian_wrong_T(y, dy, axis=-1):
    """Every row was multiplied by the Jacobian of one and the same row.

    Each row of y has a Jacobian of its own. After a loop its variable still holds the *last* row, for example.
    """
    rows, cotangents = np.moveaxis(y, axis, -1), np.moveaxis(dy, axis, -1)
    for row in rows.reshape(-1, rows.shape[-1]):
        jacobian = np.diag(row) - np.outer(row, row)
    return np.moveaxis(cotangents @ jacobian, -1, axis)
