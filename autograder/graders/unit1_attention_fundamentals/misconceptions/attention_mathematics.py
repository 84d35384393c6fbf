"""Known wrong answers to the page `attention_mathematics`."""

import math

import numpy as np

from autograder.grading.misconceptions import correct, misconception


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# ---------------------------------------------------------------- masked_softmax


@misconception("masked_softmax", symbol="masked_softmax")
def mask_after_softmax(scores, mask=None):
    """The softmax was taken over all keys, and the forbidden weights were set to 0 afterwards.

    What the forbidden keys had is then missing: the row no longer sums to 1, and how much is missing depends on the
    forbidden scores. The mask has to act before the sum in the denominator is formed.
    """
    return softmax(scores) if mask is None else softmax(scores) * mask


@misconception("masked_softmax", symbol="masked_softmax")
def polarity_inverted(scores, mask=None):
    """The mask is read the wrong way round: keys marked True were dropped.

    In this course, as in F.scaled_dot_product_attention, True means "may attend". In nn.MultiheadAttention it means the
    opposite.
    """
    return correct.masked_softmax(scores, None if mask is None else ~mask)


@misconception("masked_softmax", symbol="masked_softmax")
def finite_fill_leak(scores, mask=None):
    """Forbidden scores were replaced by a low finite number, such as -100 or -10000.

    Only differences of scores count. Where all allowed scores are lower than your number, the forbidden keys are the
    best in the row. Which value has the exponential 0 whatever stands next to it?
    """
    return softmax(scores if mask is None else np.where(mask, scores, scores.dtype.type(-100)))


@misconception("masked_softmax", symbol="masked_softmax")
def fully_masked_nan(scores, mask=None):
    """A row in which nothing is allowed becomes NaN: -inf minus -inf, or 0 divided by 0.

    One NaN here is NaN everywhere after the next matrix product. Such a row is to be all zeros; think about what its
    maximum and its sum are.
    """
    return softmax(scores if mask is None else np.where(mask, scores, scores.dtype.type(-math.inf)))


@misconception("masked_softmax", symbol="masked_softmax")
def fully_masked_uniform(scores, mask=None):
    """A row in which nothing is allowed shares its attention evenly among the forbidden keys.

    That is what a large negative number such as -1e9 does in place of a forbidden score: in such a row it stands
    everywhere, and the softmax sees equal scores. The row is to be all zeros.
    """
    return softmax(scores if mask is None else np.where(mask, scores, scores.dtype.type(-1e9)))


@misconception("masked_softmax", symbol="masked_softmax")
def mask_multiplies_scores(scores, mask=None):
    """The scores were multiplied by the mask, which sets forbidden scores to 0.

    0 is a score like any other: its exponential is 1, and if the allowed scores are negative the forbidden keys even
    win. Which score has the exponential 0?
    """
    return softmax(scores if mask is None else scores * mask)


@misconception("masked_softmax", symbol="masked_softmax")
def maximum_of_all(scores, mask=None):
    """The maximum was taken over all scores of the row, forbidden ones included, and only then were these removed.

    If a forbidden score is much the largest, what is left of the allowed ones is exp(-1000) = 0. The maximum is to be
    that of the keys that take part.
    """
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    powers = powers if mask is None else powers * mask
    total = powers.sum(axis=-1, keepdims=True)
    return powers / np.where(total == 0, scores.dtype.type(1), total)


@misconception("masked_softmax", symbol="masked_softmax")
def low_number_added(scores, mask=None):
    """A large negative number was added to the forbidden scores. What stood there is still in the sum.

    In a row in which nothing is allowed it is added everywhere and cancels, and garbage of 1e30 does not even notice.
    A forbidden score must be replaced, by the one value whose exponential is 0.
    """
    return softmax(scores if mask is None else scores + (1 - mask.astype(scores.dtype)) * scores.dtype.type(-1e9))


@misconception("masked_softmax", symbol="masked_softmax")
def low_number_then_zero(scores, mask=None):
    """Forbidden scores were replaced by a finite number, and their weights by 0 afterwards.

    Where all allowed scores lie below that number the forbidden keys take everything first, and then nothing is left in
    the row. Which value is below all numbers?
    """
    if mask is None:
        return softmax(scores)
    return np.where(mask, softmax(np.where(mask, scores, scores.dtype.type(-1e9))), scores.dtype.type(0))


# ---------------------------------------------------------------- why_scale


@misconception("why_scale", symbol="score_stats")
def std_not_var(d, n, scaled, rng):
    """ "var" holds the standard deviation, which is the square root of the variance.

    At d = 64 it is about 8, while the variance of the dot products is 64. The scaled scores hide the difference, since
    1 is its own square root.
    """
    stats = correct.score_stats(d, n, scaled, rng)
    return stats | {"var": math.sqrt(stats["var"])}


@misconception("why_scale", symbol="score_stats")
def global_rng(d, n, scaled, rng):
    """The numbers were drawn from NumPy's global random state, not from `rng`.

    The result then depends on everything that was drawn before, and a seed given by the caller has no effect. Call the
    methods of rng, such as rng.standard_normal.
    """
    return correct.score_stats(d, n, scaled, np.random)


@misconception("why_scale", symbol="score_stats")
def scaled_by_d(d, n, scaled, rng):
    """The scores were divided by d, where √d is asked for.

    A factor c changes a variance by c². Divided by d, the scores of a wide model have variance 1/d: they are all nearly
    0 and the attention is the same everywhere.
    """
    scores = np.einsum("nd,nd->n", rng.standard_normal((n, d)), rng.standard_normal((n, d)))
    scores = scores / d if scaled else scores
    weights = softmax(scores.reshape(-1, 16))
    logs = np.log(np.where(weights > 0, weights, 1))
    return {
        "var": float(scores.var()),
        "entropy": float(-(weights * logs).sum(axis=-1).mean()),
        "max_prob": float(weights.max(axis=-1).mean()),
    }


@misconception("why_scale", symbol="score_stats")
def entropy_log0(d, n, scaled, rng):
    """The entropy is NaN as soon as a weight is exactly 0: the computer sees 0 · log 0 = 0 · (-inf).

    At large d without the scale the weights of the losing keys underflow. Their share of the entropy is 0; see that
    the logarithm of 0 never enters the sum.
    """
    scores = np.einsum("nd,nd->n", rng.standard_normal((n, d)), rng.standard_normal((n, d)))
    scores = scores / math.sqrt(d) if scaled else scores
    weights = softmax(scores.reshape(-1, 16))
    with np.errstate(all="ignore"):
        entropy = -(weights * np.log(weights)).sum(axis=-1).mean()
    return {"var": float(scores.var()), "entropy": float(entropy), "max_prob": float(weights.max(axis=-1).mean())}


@misconception("why_scale", symbol="score_stats")
def entropy_in_bits(d, n, scaled, rng):
    """The entropy is in bits: the logarithm to base 2 was taken. Evenly shared attention to 16 keys has ln 16."""
    stats = correct.score_stats(d, n, scaled, rng)
    return stats | {"entropy": stats["entropy"] / math.log(2)}


@misconception("why_scale", symbol="score_stats")
def divided_by_own_deviation(d, n, scaled, rng):
    """The scores were divided by their own standard deviation, so that any scores at all have variance 1.

    That √d does it at every width is what the experiment is to show. Divide by √d, and measure.
    """
    if not scaled:
        return correct.score_stats(d, n, scaled, rng)
    scores = np.einsum("nd,nd->n", rng.standard_normal((n, d)), rng.standard_normal((n, d)))
    scores = scores / scores.std()
    weights = softmax(scores.reshape(-1, 16))
    return {
        "var": float(scores.var()),
        "entropy": float(-(weights * np.log(weights)).sum(axis=-1).mean()),
        "max_prob": float(weights.max(axis=-1).mean()),
    }
