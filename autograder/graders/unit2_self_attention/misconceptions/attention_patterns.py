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


@misconception("attention_pattern_metrics", symbol="classify_head")
def all_rows(w):
    """All rows were counted. The means are over the rows from 2 on: in the first two the characters look alike."""
    T = len(w)
    means = {"previous": np.diag(w, -1).mean(), "self": np.diag(w).mean(), "first": w[:, 0].mean()}
    for name, mean in means.items():
        if mean >= 0.5:
            return name
    far = [0.5 * np.abs(w - u).sum(axis=-1).mean() for u in (1 / T, np.tri(T) / np.arange(1, T + 1)[:, None])]
    return "uniform" if min(far) <= 0.1 else "other"


@misconception("attention_pattern_metrics", symbol="classify_head")
def every_row_uniform(w):
    """A head is called uniform only if every single row is close to uniform. What counts is the mean over the rows."""
    name = correct.classify_head(w)
    T = len(w)
    far = [0.5 * np.abs(w - u)[2:].sum(axis=-1).max() for u in (1 / T, np.tri(T) / np.arange(1, T + 1)[:, None])]
    return "other" if name == "uniform" and min(far) > 0.1 else name


@misconception("attention_pattern_metrics", symbol="classify_head")
def causal_uniform_forgotten(w):
    """Only the full uniform head is recognised. Under a causal mask "everything equally" is 1/(i + 1) up to key i."""
    name = correct.classify_head(w)
    return "other" if name == "uniform" and 0.5 * np.abs(w - 1 / len(w))[2:].sum(axis=-1).mean() > 0.1 else name


@misconception("attention_pattern_metrics", symbol="mean_distance")
def distance_from_the_end(w):
    """Queries and keys were lined up at their ends. Query i stands at position i and key j at j, also where Tq ≠ Tk."""
    query, key = np.ogrid[: w.shape[-2], : w.shape[-1]]
    return np.sum(w * np.abs(query + w.shape[-1] - w.shape[-2] - key).astype(w.dtype), axis=-1)


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


@misconception("attention_rollout", symbol="rollout")
def residual_always_half(weights, residual=0.5):
    """The argument residual was not used: the token's own vector and the attention always get one half each."""
    return correct.rollout(weights, 0.5)


@misconception("attention_rollout", symbol="rollout")
def shares_exchanged(weights, residual=0.5):
    """The shares are exchanged: r belongs to the identity and 1 - r to the attention. (At r = ½ nobody sees it.)"""
    return correct.rollout(weights, 1 - residual)


@misconception("attention_rollout", symbol="rollout")
def normalised_too_early(weights, residual=0.5):
    """The rows were divided by their sums before the residual was mixed in.

    A masked query then has a row of zeros still, and of its row only r is left: the sum is to be 1 after the mixing.
    """
    return rolled(with_residual(normalised(weights.mean(axis=2)), residual), weights.dtype)


@misconception("attention_rollout", symbol="rollout")
def divided_by_zero(weights, residual=0.5):
    """A row of zeros was divided by its sum, 0: NaN, and after one product NaN everywhere.

    With residual = 0 nothing is put into such a row. It stays as it is.
    """
    mixed = with_residual(weights.mean(axis=2), residual)
    with np.errstate(all="ignore"):
        return rolled(mixed / mixed.sum(axis=-1, keepdims=True), weights.dtype)
