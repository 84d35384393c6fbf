"""Known wrong answers to the page `attention_patterns`."""

import numpy as np

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- attention_pattern_metrics


@misconception("attention_pattern_metrics", symbol="attention_entropy")
def log_zero_nan(w):
    """A weight of 0 was passed to the logarithm: ln 0 is -inf, and 0 · (-inf) is NaN.

    Weights are exactly 0 wherever a mask was. By the definition such a key adds nothing; the computation has to be
    told.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.sum(w * np.log(w), axis=-1)


@misconception("attention_pattern_metrics", symbol="attention_entropy")
def log2(w):
    """The entropy is in bits: the logarithm to base 2 was taken. In this course logarithms are natural.

    A uniform row over Tk keys should give ln Tk, and exp(entropy) the number of keys.
    """
    return correct.attention_entropy(w) / np.asarray(np.log(2), dtype=w.dtype)


@misconception("attention_pattern_metrics", symbol="mean_distance")
def signed_distance(w):
    """The distance has a sign, so that looking back and looking ahead cancel.

    A query that looks three tokens back half of the time and three ahead otherwise does not look at itself. How far is
    a token that is three positions away?
    """
    query, key = np.ogrid[: w.shape[-2], : w.shape[-1]]
    return np.sum(w * (query - key).astype(w.dtype), axis=-1)


@misconception("attention_pattern_metrics", symbol="attention_entropy")
def axis_queries(w):
    """The sum runs over the queries. Each query has a distribution over the keys, which are the last axis.

    The result should have one number per query; try it with more keys than queries and look at the shape.
    """
    return correct.attention_entropy(np.swapaxes(w, -1, -2))


@misconception("attention_pattern_metrics", symbol="classify_head")
def argmax_only(w):
    """Only the largest weight of each row was looked at, not how large it is.

    Some key is always the largest, in a uniform head too, where it is a matter of rounding or of argmax taking the
    first. Compare how much attention goes to each candidate, and how far the head is from uniform.
    """
    rows = np.arange(2, len(w))
    largest = w[2:].argmax(axis=-1)
    shares = {name: (largest == key).mean() for name, key in (("previous", rows - 1), ("self", rows), ("first", 0))}
    best = max(shares, key=shares.get)
    return best if shares[best] >= 0.5 else "other"


# ---------------------------------------------------------------- attention_rollout


def rolled(layers, dtype):
    """The product of layer matrices (L, B, T, T), later ones on the left."""
    result = layers[0]
    for layer in layers[1:]:
        result = layer @ result
    return result.astype(dtype)


def normalised(mixed):
    total = mixed.sum(axis=-1, keepdims=True)
    return mixed / np.where(total == 0, 1, total)


def with_residual(heads, residual):
    """r I + (1 - r) A for A (L, B, T, T)."""
    return residual * np.eye(heads.shape[-1]) + (1 - residual) * heads


@misconception("attention_rollout", symbol="rollout")
def order_reversed(weights, residual=0.5):
    """The layers were multiplied in the wrong order, with the first one on the left.

    The first layer acts on the input, the second on what the first has made: A2 (A1 X). The rows of the wrong product
    sum to 1 just as well; look at an example with two different layers.
    """
    layers = normalised(with_residual(weights.mean(axis=2), residual))
    return rolled(layers[::-1], weights.dtype)


@misconception("attention_rollout", symbol="rollout")
def no_residual(weights, residual=0.5):
    """The residual connection is missing: only the attention weights were multiplied.

    A token also keeps its own vector, past the attention, and without that share the rollout forgets where it came
    from after a few layers.
    """
    return rolled(normalised(weights.mean(axis=2)), weights.dtype)


@misconception("attention_rollout", symbol="rollout")
def no_renormalise(weights, residual=0.5):
    """The rows were not divided by their sums after the residual was mixed in.

    If all rows of the weights sum to 1, nothing is lost. But a masked query has a row of zeros, and dropout changes the
    sums; then the shares no longer add up to 1.
    """
    return rolled(with_residual(weights.mean(axis=2), residual), weights.dtype)


@misconception("attention_rollout", symbol="rollout")
def head_max(weights, residual=0.5):
    """The largest weight over the heads was taken; here heads are averaged.

    Both are in use. With one head they are the same, with several the maximum gives weight to whatever any single head
    likes.
    """
    return rolled(normalised(with_residual(weights.max(axis=2), residual)), weights.dtype)
