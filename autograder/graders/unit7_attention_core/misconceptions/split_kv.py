"""Known wrong answers to the page `split_kv`."""

import math

import torch

from autograder.grading.misconceptions import correct, misconception


@misconception("split_kv_merge", symbol="merge_attention")
def average_outputs(o1, lse1, o2, lse2):
    """The two outputs are averaged, as if both pieces deserved the same attention.

    Each output was normalised within its piece. How much of the whole a piece is worth stands in its logsumexp. Take
    the example of the page: the average is (2, 3).
    """
    _, lse = correct.merge_attention(o1, lse1, o2, lse2)
    return ((o1.to(lse1.dtype) + o2.to(lse1.dtype)) / 2).to(o1.dtype), lse


@misconception("split_kv_merge", symbol="merge_attention")
def weights_l_not_lse(o1, lse1, o2, lse2):
    """The outputs are weighted by the logsumexps themselves.

    A logsumexp is the *logarithm* of a mass. It may be negative or zero, and one that is larger by 1 means e times the
    mass. What has to be done to it before it is a weight?
    """
    _, lse = correct.merge_attention(o1, lse1, o2, lse2)
    a, b = lse1.nan_to_num(neginf=0.0), lse2.nan_to_num(neginf=0.0)
    total = torch.where(a + b == 0, torch.ones_like(a), a + b)
    o = (a / total)[..., None] * o1.to(a.dtype) + (b / total)[..., None] * o2.to(a.dtype)
    return o.to(o1.dtype), lse


@misconception("split_kv_merge", symbol="merge_attention")
def nan_empty_split(o1, lse1, o2, lse2):
    """Two empty pieces make NaN: the shift is -inf, and -inf - (-inf) is no number.

    An empty piece has mass 0, whatever the shift. Which shift would do where both are empty? And what is 0 divided by
    0 to be?
    """
    top = torch.maximum(lse1, lse2)
    mass1, mass2 = torch.exp(lse1 - top), torch.exp(lse2 - top)
    total = mass1 + mass2
    o = (mass1 / total)[..., None] * o1.to(top.dtype) + (mass2 / total)[..., None] * o2.to(top.dtype)
    return o.to(o1.dtype), top + torch.log(total)


@misconception("split_kv_merge", symbol="merge_attention")
def lse_not_returned(o1, lse1, o2, lse2):
    """The merged output is right, and the logsumexp beside it is the larger of the two, not that of both together.

    Without it the result cannot be merged again: a third piece would be weighed against half of what there is.
    """
    o, _ = correct.merge_attention(o1, lse1, o2, lse2)
    return o, torch.maximum(lse1, lse2)


@misconception("split_kv_merge", symbol="merge_attention", id="exp_overflows")
def exp_overflows(o1, lse1, o2, lse2):
    """The masses are computed as exp(lse), without a shift. From about 89 on that is infinite in float32, and far below
    zero both are 0.

    Only the ratio of the two matters. Subtract the larger logsumexp from both first.
    """
    mass1, mass2 = torch.exp(lse1), torch.exp(lse2)
    total = mass1 + mass2
    safe = torch.where(total == 0, torch.ones_like(total), total)
    o = (mass1 / safe)[..., None] * o1.to(safe.dtype) + (mass2 / safe)[..., None] * o2.to(safe.dtype)
    return o.to(o1.dtype), torch.log(total)


@misconception("split_kv_merge", symbol="merge_attention", id="merged_in_half")
def merged_in_half(o1, lse1, o2, lse2):
    """The logsumexps were rounded to the dtype of the outputs before the weights were made.

    bfloat16 has 8 bits of mantissa: 40.4 becomes 40.5, and an error in a logsumexp is a relative error of a weight. Do
    the merge in float32 and round the result.
    """
    a, b = lse1.to(o1.dtype).to(lse1.dtype), lse2.to(o1.dtype).to(lse1.dtype)
    o, _ = correct.merge_attention(o1, a, o2, b)
    return o, correct.merge_attention(o1, lse1, o2, lse2)[1]


@misconception("split_kv_merge", symbol="decode_split", id="remainder_lost")
def remainder_lost(q, k, v, n_splits):
    """Where the number of pieces does not divide the cache, the last keys are lost.

    Tk // n_splits rounds down. Somebody has to take what is left over.
    """
    each = max(1, k.shape[2] // n_splits)
    end = min(k.shape[2], each * n_splits)
    return correct.decode_split(q, k[:, :, :end], v[:, :, :end], n_splits)


@misconception("split_kv_merge", symbol="decode_split", id="equal_shares")
def equal_shares(q, k, v, n_splits):
    """The outputs of the pieces are averaged, weighted by their numbers of keys at most.

    A piece with high scores deserves more than one with low scores, however many keys each has.
    """
    _, lse = correct.decode_split(q, k, v, n_splits)
    parts = [
        (a.shape[2], correct.decode_split(q, a, b, 1)[0].to(lse.dtype))
        for a, b in zip(k.tensor_split(n_splits, 2), v.tensor_split(n_splits, 2), strict=True)
    ]
    total = sum(n * o for n, o in parts) / max(1, k.shape[2])
    return total.to(q.dtype), lse


@misconception("split_kv_merge", symbol="decode_split", id="scale_missing")
def scale_missing(q, k, v, n_splits):
    """The scores were not divided by √D."""
    return correct.decode_split(q * math.sqrt(q.shape[-1]), k, v, n_splits)
