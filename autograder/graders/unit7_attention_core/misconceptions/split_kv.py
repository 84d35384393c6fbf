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


@misconception("split_kv_merge", symbol="merge_attention")
def masses_not_divided(o1, lse1, o2, lse2):
    """The outputs were weighted by their masses, and the sum was not divided by the mass of both together."""
    o, lse = correct.merge_attention(o1, lse1, o2, lse2)
    total = torch.exp(lse - torch.maximum(lse1, lse2)).nan_to_num(1.0)
    return (o.to(lse.dtype) * total[..., None]).to(o.dtype), lse


@misconception("split_kv_merge", symbol="merge_attention")
def weights_exchanged(o1, lse1, o2, lse2):
    """Each output got the weight of the other piece."""
    _, lse = correct.merge_attention(o1, lse1, o2, lse2)
    return correct.merge_attention(o2, lse1, o1, lse2)[0], lse


@misconception("split_kv_merge", symbol="merge_attention")
def lse_added(o1, lse1, o2, lse2):
    """The two logsumexps were added: that is the logarithm of the *product* of the masses. The masses add up."""
    return correct.merge_attention(o1, lse1, o2, lse2)[0], lse1 + lse2


@misconception("split_kv_merge", symbol="merge_attention")
def lse_of_the_shifted(o1, lse1, o2, lse2):
    """Returned as lse is the logarithm of the shifted masses; what was subtracted from both has to be added again."""
    o, lse = correct.merge_attention(o1, lse1, o2, lse2)
    top = torch.maximum(lse1, lse2)
    return o, torch.where(torch.isneginf(lse), lse, lse - top)


def _merged(o1, lse1, o2, lse2, top):
    """Both pieces together, with `top` subtracted before the exponential."""
    mass1, mass2 = torch.exp(lse1 - top), torch.exp(lse2 - top)
    total, lse = mass1 + mass2, top + torch.log(mass1 + mass2)
    total = torch.where(total == 0, torch.ones_like(total), total)
    o = (mass1 / total)[..., None] * o1.to(top.dtype) + (mass2 / total)[..., None] * o2.to(top.dtype)
    return o.to(o1.dtype), lse


@misconception("split_kv_merge", symbol="merge_attention")
def one_empty_row_decides(o1, lse1, o2, lse2):
    """As soon as both pieces of *one* row are empty, nothing is subtracted in any row, and large logsumexps overflow.

    Which shift is right has to be decided for each row.
    """
    top = torch.maximum(lse1, lse2)
    if torch.isneginf(top).any():
        top = torch.zeros_like(top)
    return _merged(o1, lse1, o2, lse2, top)


@misconception("split_kv_merge", symbol="merge_attention")
def one_shift_for_all_rows(o1, lse1, o2, lse2):
    """The same number was subtracted in all rows, the largest logsumexp of them all: rows far below it vanish.

    Each row has its own larger logsumexp.
    """
    top = torch.maximum(lse1, lse2)
    top = torch.where(torch.isneginf(top), torch.zeros_like(top), top).max().expand(top.shape)
    return _merged(o1, lse1, o2, lse2, top)


@misconception("split_kv_merge", symbol="merge_attention")
def lse_averaged(o1, lse1, o2, lse2):
    """The logsumexp of both is the mean of the two. The masses add up, e to the logsumexp, and so it is larger than
    either.
    """
    return correct.merge_attention(o1, lse1, o2, lse2)[0], (lse1 + lse2) / 2


@misconception("split_kv_merge", symbol="merge_attention")
def weights_in_half(o1, lse1, o2, lse2):
    """The weights were rounded to the dtype of the outputs, and applied in it.

    Make the weights in float32, apply them in float32, and round the result once, at the end.
    """
    _, lse = correct.merge_attention(o1, lse1, o2, lse2)
    a, b = (torch.exp(x - lse).nan_to_num(0.0).to(o1.dtype)[..., None] for x in (lse1, lse2))
    return a * o1 + b * o2, lse


@misconception("split_kv_merge", symbol="decode_split")
def scaled_by_the_values(q, k, v, n_splits):
    """The scores were divided by √Dv, the width of the values. D is the width of queries and keys."""
    return correct.decode_split(q * math.sqrt(q.shape[-1] / v.shape[-1]), k, v, n_splits)


@misconception("split_kv_merge", symbol="decode_split")
def decoded_in_half(q, k, v, n_splits):
    """float16 and bfloat16 were computed as they came, or the pieces' outputs were rounded before they were merged.

    Inside, all is to be float32, and rounded once, at the end.
    """
    pieces = [
        (torch.softmax(q @ a.mT / math.sqrt(q.shape[-1]), -1) @ b, (q @ a.mT / math.sqrt(q.shape[-1])).logsumexp(-1))
        for a, b in zip(k.tensor_split(n_splits, 2), v.tensor_split(n_splits, 2), strict=True) if a.shape[2]
    ]  # fmt: skip
    if not pieces or q.dtype not in (torch.float16, torch.bfloat16):
        return correct.decode_split(q, k, v, n_splits)
    o, lse = pieces[0][0], pieces[0][1].float()
    for piece, its_lse in pieces[1:]:
        o, lse = correct.merge_attention(o, lse, piece, its_lse.float())
    return o, lse


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
