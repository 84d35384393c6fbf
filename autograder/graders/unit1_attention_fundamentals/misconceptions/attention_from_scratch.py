"""Known wrong answers to the page `attention_from_scratch`."""

import math

import numpy as np

from autograder.grading.misconceptions import correct, misconception


def softmax(scores, axis=-1):
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


# ---------------------------------------------------------------- qkv_attention


@misconception("qkv_attention", symbol="attention")
def no_scale(Q, K, V, mask=None, scale=None):
    """The scale is missing: without one given, the products are to be multiplied by 1/√Dk.

    The output looks quite reasonable without it, which is why only a comparison of numbers finds this. The weights are
    too far apart, and more so the wider the keys are.
    """
    return correct.attention(Q, K, V, mask=mask, scale=1.0 if scale is None else scale)


@misconception("qkv_attention", symbol="attention")
def scale_dk_not_sqrt(Q, K, V, mask=None, scale=None):
    """The products are divided by Dk, where its square root is asked for.

    The typical size of a product of two random vectors of width Dk is √Dk. Divided by Dk, the scores of a wide model
    are all near 0 and every key gets about the same.
    """
    return correct.attention(Q, K, V, mask=mask, scale=1 / Q.shape[-1] if scale is None else scale)


@misconception("qkv_attention", symbol="attention")
def scale_sqrt_dv(Q, K, V, mask=None, scale=None):
    """The scale was made of the width of the values, Dv.

    Scores are sums over Dk products; Dv takes no part in them. Where the two widths agree, nobody sees the difference.
    """
    return correct.attention(Q, K, V, mask=mask, scale=1 / math.sqrt(V.shape[-1]) if scale is None else scale)


@misconception("qkv_attention", symbol="attention")
def softmax_over_queries(Q, K, V, mask=None, scale=None):
    """The softmax was taken over the queries (axis -2), not over the keys.

    Each query has one unit of attention to share among the keys, so each row of (Tq, Tk) sums to 1, along the last
    axis. Here the columns do.
    """
    scores = (Q @ np.swapaxes(K, -1, -2)) * (1 / math.sqrt(Q.shape[-1]) if scale is None else scale)
    weights = np.swapaxes(
        correct.masked_softmax(
            np.swapaxes(scores, -1, -2),
            None if mask is None else np.swapaxes(np.broadcast_to(mask, scores.shape), -1, -2),
        ),
        -1,
        -2,
    )
    return weights @ V, weights


@misconception("qkv_attention", symbol="attention")
def scale_after_softmax(Q, K, V, mask=None, scale=None):
    """The scale was applied to the weights, after the softmax.

    The rows then no longer sum to 1, and the softmax has seen the unscaled scores. The scale belongs to the scores.
    """
    _, weights = correct.attention(Q, K, V, mask=mask, scale=1.0)
    weights = weights * (1 / math.sqrt(Q.shape[-1]) if scale is None else scale)
    return weights @ V, weights


@misconception("qkv_attention", symbol="attention")
def dot_T_all_axes(Q, K, V, mask=None, scale=None):
    """K.T was used to transpose the keys: with leading axes it reverses all axes, the batch included.

    For a matrix this is right, which is why the first tests pass. In a batch only the last two axes are to be swapped.
    """
    scores = (Q @ K.T) * (1 / math.sqrt(Q.shape[-1]) if scale is None else scale)
    weights = correct.masked_softmax(scores, mask)
    return weights @ V, weights


@misconception("qkv_attention", symbol="attention")
def zero_is_no_scale(Q, K, V, mask=None, scale=None):
    """A scale of 0 was taken for none given: `scale or ...` and `if not scale` cannot tell 0 from None.

    With scale 0 all scores are 0, and every query shares its attention evenly. Ask whether scale `is None`.
    """
    return correct.attention(Q, K, V, mask=mask, scale=scale or None)


@misconception("qkv_attention", symbol="attention")
def scale_unused(Q, K, V, mask=None, scale=None):
    """The argument scale was not used: the products are always divided by √Dk."""
    return correct.attention(Q, K, V, mask=mask)


@misconception("qkv_attention", symbol="attention")
def both_scales(Q, K, V, mask=None, scale=None):
    """A given scale was multiplied on top of 1/√Dk. It is to stand in its place."""
    return correct.attention(Q, K, V, mask=mask, scale=None if scale is None else scale / math.sqrt(Q.shape[-1]))


@misconception("qkv_attention", symbol="attention")
def mask_inverted(Q, K, V, mask=None, scale=None):
    """The mask is read the wrong way round: keys marked True were dropped. In this course True means "may attend"."""
    return correct.attention(Q, K, V, mask=None if mask is None else ~mask, scale=scale)


# ---------------------------------------------------------------- attention_vjp


def backward(dO, Q, K, V, mask, scale_q=1, wrong_jacobian=False, scores_for_weights=False, nan_rows=False):
    scale = 1 / math.sqrt(Q.shape[-1])
    scores = (Q @ np.swapaxes(K, -1, -2)) * scale
    weights = correct.masked_softmax(scores, mask)
    if nan_rows and mask is not None:
        with np.errstate(invalid="ignore"):
            weights = softmax(np.where(mask, scores, scores.dtype.type(-math.inf)))
    d_weights = dO @ np.swapaxes(V, -1, -2)
    average = weights * d_weights if wrong_jacobian else (weights * d_weights).sum(axis=-1, keepdims=True)
    d_scores = weights * (d_weights - average) * scale**scale_q
    source = scores if scores_for_weights else weights
    if scores_for_weights and mask is not None:
        source = np.where(mask, scores, 0)
    dV = np.swapaxes(source, -1, -2) @ dO
    return d_scores @ K, np.swapaxes(d_scores, -1, -2) @ Q, dV


@misconception("attention_vjp", symbol="attention_vjp")
def diag_softmax_jac(dO, Q, K, V, mask=None):
    """The softmax was differentiated as if each weight depended on its own score only: p (1 - p) dp.

    Raising one score lowers all the other weights of the row, since they share one unit. That is the sum in the formula
    for ds, the same for all keys of a row.
    """
    return backward(dO, Q, K, V, mask, wrong_jacobian=True)


@misconception("attention_vjp", symbol="attention_vjp")
def scale_missing_dq_dk(dO, Q, K, V, mask=None):
    """The scale 1/√Dk is missing in dQ and dK; dV is right.

    The scores are S = c Q Kᵀ, and the factor c stays when S is differentiated by Q or by K.
    """
    return backward(dO, Q, K, V, mask, scale_q=0)


@misconception("attention_vjp", symbol="attention_vjp")
def scale_twice(dO, Q, K, V, mask=None):
    """The scale 1/√Dk is in dQ and dK twice; dV is right.

    It enters where S = c Q Kᵀ is differentiated, once. Perhaps it was put into the gradient of the scores and then
    again into the two products.
    """
    return backward(dO, Q, K, V, mask, scale_q=2)


@misconception("attention_vjp", symbol="attention_vjp")
def dv_from_scores(dO, Q, K, V, mask=None):
    """dV was formed with the scores, where the weights are needed; dQ and dK are right.

    The output is the product of the weights and V, so the rule for a product gives dV with the weights: the values get
    their share of dO in proportion to the attention that they got.
    """
    return backward(dO, Q, K, V, mask, scores_for_weights=True)


@misconception("attention_vjp", symbol="attention_vjp")
def nan_masked_grad(dO, Q, K, V, mask=None):
    """A query that may attend to nothing turns the gradients into NaN, those of all keys and values included.

    Its row of weights is NaN (minus infinity minus itself, or 0/0), and NaN times 0 is NaN: multiplying by the mask
    afterwards does not help. The row of weights has to be zeros before anything is computed from it.
    """
    return backward(dO, Q, K, V, mask, nan_rows=True)


@misconception("attention_vjp", symbol="attention_vjp")
def mask_unused(dO, Q, K, V, mask=None):
    """The mask plays no part in the gradient. The weights that dO comes back through are those of the allowed keys."""
    return correct.attention_vjp(dO, Q, K, V)


@misconception("attention_vjp", symbol="attention_vjp")
def weights_without_scale(dO, Q, K, V, mask=None):
    """The weights were computed without the scale, and the scale was put into the gradients only.

    It is part of the forward pass first: the weights are the softmax of c Q Kᵀ.
    """
    c = 1 / math.sqrt(Q.shape[-1])
    dQ, dK, dV = correct.attention_vjp(dO, Q / Q.dtype.type(c), K, V, mask)
    return dQ, dK * Q.dtype.type(c), dV
