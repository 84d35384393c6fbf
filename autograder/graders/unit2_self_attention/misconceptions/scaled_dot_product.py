"""Known wrong answers to the page `scaled_dot_product`."""

import math

import torch

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- sdpa_torch


@misconception("sdpa_torch", symbol="scaled_dot_product_attention")
def detached_output(q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, generator=None):
    """The values are right, but no gradient reaches q, k or v: a model with this layer never learns to attend.

    Somewhere the computation leaves autograd. Look for detach(), .data, no_grad, .item(), NumPy, or a tensor that is
    built anew from the values of another.
    """
    return correct.scaled_dot_product_attention(
        q, k, v, attn_mask=attn_mask, is_causal=is_causal, scale=scale, dropout_p=dropout_p, generator=generator
    ).detach()


@misconception("sdpa_torch", symbol="scaled_dot_product_attention")
def fill_minus_1e9_fp16(q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, generator=None):
    """Forbidden scores were probably filled with a large negative number such as -1e9.

    float16 ends at 65504 and cannot hold it. And in a row where everything is forbidden such a fill cancels: all keys
    get the same weight, although none may be seen. Ask yourself which value gives weight 0 for certain, and what
    becomes of a row that is made of it.
    """
    scores = q @ k.mT * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    allowed = torch.ones(scores.shape[-2:], dtype=torch.bool)
    if is_causal:
        allowed = allowed.tril()
    if attn_mask is not None:
        allowed = allowed & attn_mask
    if is_causal or attn_mask is not None:
        scores = scores.masked_fill(~allowed, -1e9)
    weights = torch.softmax(scores, dim=-1)
    if dropout_p > 0:
        weights = weights * (torch.rand(weights.shape, generator=generator, dtype=q.dtype) >= dropout_p)
        weights = weights / (1 - dropout_p)
    return weights @ v


@misconception("sdpa_torch", symbol="scaled_dot_product_attention")
def causal_bottom_right(q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, generator=None):
    """With is_causal the last query was lined up with the last key.

    That is the alignment of `causal_mask` on this page, and of text generation. The flag `is_causal` means the other
    one: the first query stands at the first key. The two agree only for as many queries as keys.
    """
    if is_causal:
        lower = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril(k.shape[-2] - q.shape[-2])
        attn_mask = lower if attn_mask is None else attn_mask & lower
    return correct.scaled_dot_product_attention(
        q, k, v, attn_mask=attn_mask, scale=scale, dropout_p=dropout_p, generator=generator
    )


@misconception("sdpa_torch", symbol="scaled_dot_product_attention")
def dropout_without_rescale(q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, generator=None):
    """Weights are dropped, but those that survive keep their size, so that on average the output shrinks.

    Without dropout at test time the next layer would then see larger numbers than it was trained on. What must the
    survivors be multiplied by for the expected output to stay the same?
    """
    out = correct.scaled_dot_product_attention(
        q, k, v, attn_mask=attn_mask, is_causal=is_causal, scale=scale, dropout_p=dropout_p, generator=generator
    )
    return out * (1 - dropout_p)


@misconception("sdpa_torch", symbol="scaled_dot_product_attention")
def dropout_before_softmax(q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, generator=None):
    """Dropout was applied to the scores, before the softmax.

    A score of 0 is no missing score: after the softmax that key still has a weight, and the rows still sum to 1. It is
    the weights, after the softmax, that are dropped.
    """
    if dropout_p == 0:
        return correct.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, is_causal=is_causal, scale=scale)
    scores = q @ k.mT * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    scores = scores * (torch.rand(scores.shape, generator=generator, dtype=q.dtype) >= dropout_p) / (1 - dropout_p)
    allowed = torch.ones(scores.shape, dtype=torch.bool)
    allowed = allowed.tril() if is_causal else allowed
    allowed = allowed if attn_mask is None else allowed & attn_mask
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1).masked_fill(~allowed, 0.0)
    return weights @ v


@misconception("sdpa_torch", symbol="scaled_dot_product_attention")
def inplace_q_scale(q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, generator=None):
    """The queries were scaled in place, which writes into the caller's own tensor.

    `q *= scale` and `q.mul_(scale)` change the memory that q shares with the caller, and autograd refuses them on a
    leaf. `q = q * scale` makes a new tensor.
    """
    q *= 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    return correct.scaled_dot_product_attention(
        q, k, v, attn_mask=attn_mask, is_causal=is_causal, scale=1.0, dropout_p=dropout_p, generator=generator
    )


# ---------------------------------------------------------------- causal_mask


@misconception("causal_mask", symbol="causal_mask")
def triu_inverted(Tq, Tk=None, offset=None, device=None):
    """The mask is the wrong way round: it marks the pairs that are forbidden, so a token sees only its future.

    Here True means "may attend". In code for nn.MultiheadAttention, where True means "ignore", the upper triangle is
    the right one.
    """
    return ~correct.causal_mask(Tq, Tk, offset, device)


@misconception("causal_mask", symbol="causal_mask")
def strict_diagonal(Tq, Tk=None, offset=None, device=None):
    """The diagonal is missing: no token may see itself, and the first one may see nothing at all.

    Check the bound for query 0 without a cache: which keys are not later than it? (j ≤ i is not j < i.)
    """
    Tk = Tq if Tk is None else Tk
    return correct.causal_mask(Tq, Tk, (Tk - Tq if offset is None else offset) - 1, device)


@misconception("causal_mask", symbol="causal_mask")
def top_left(Tq, Tk=None, offset=None, device=None):
    """Without an offset the first query was lined up with the first key; here it is the last query with the last key.

    The two agree for as many queries as keys. When a model generates, one new query meets all the keys so far, and this
    mask would let it see the very first one only.
    """
    return correct.causal_mask(Tq, Tk, 0 if offset is None else offset, device)


@misconception("causal_mask", symbol="causal_mask")
def float_mask(Tq, Tk=None, offset=None, device=None):
    """The mask holds 0 and -inf, to be added to the scores; asked for are bools, True = may attend.

    Both kinds exist. A bool mask can be combined with & and inverted with ~, and does not care about the dtype of the
    scores.
    """
    mask = correct.causal_mask(Tq, Tk, offset, device)
    return torch.zeros(mask.shape, device=device).masked_fill(~mask, -math.inf)


@misconception("causal_mask", symbol="causal_mask")
def zero_is_no_offset(Tq, Tk=None, offset=None, device=None):
    """An offset of 0 was taken for none given: `offset or ...` cannot tell 0 from None. Ask whether it `is None`."""
    return correct.causal_mask(Tq, Tk, offset or None, device)


@misconception("causal_mask", symbol="causal_mask")
def offset_unused(Tq, Tk=None, offset=None, device=None):
    """The argument offset was not used: the last query always stands at the last key."""
    return correct.causal_mask(Tq, Tk, None, device)


@misconception("causal_mask", symbol="causal_mask")
def negative_slice(Tq, Tk=None, offset=None, device=None):
    """A row was filled by `mask[i, : i + 1 + offset] = True`. Where that end is negative, Python counts from the right.

    Such a row is to be empty. What is the smallest end that you may write there?
    """
    Tk = Tq if Tk is None else Tk
    mask = torch.zeros(Tq, Tk, dtype=torch.bool, device=device)
    for i in range(Tq):
        mask[i, : i + 1 + (Tk - Tq if offset is None else offset)] = True
    return mask


# ---------------------------------------------------------------- padding_and_combined_masks


@misconception("padding_and_combined_masks", symbol="combine_masks")
def or_instead_of_and(key_mask, causal=None):
    """A pair is let through as soon as one of the two masks allows it; it has to pass both.

    Take the first token and a key that is real but later: the padding mask has nothing against it. May it be seen?
    """
    mask = key_mask[:, None, None, :]
    return mask if causal is None else mask | causal


@misconception("padding_and_combined_masks", symbol="combine_masks")
def pads_queries_not_keys(key_mask, causal=None):
    """The padding mask was laid along the queries (axis -2): padded rows are empty, and padded keys stay visible.

    Nobody minds what a padded position asks. What must not happen is that a real token looks at it, so the mask belongs
    on the axis of the keys, the last one.
    """
    mask = key_mask[:, None, :, None]
    return mask if causal is None else mask & causal


@misconception("padding_and_combined_masks", symbol="lengths_to_mask")
def off_by_one(lengths, T):
    """One padding token too many counts as real: a sequence of length n has the positions 0..n-1.

    Look at length 0. Which position should be True?
    """
    return torch.arange(T, device=lengths.device) <= lengths[:, None]


@misconception("padding_and_combined_masks", symbol="lengths_to_mask")
def torch_polarity(lengths, T):
    """The mask is True at the padding. That is the convention of nn.MultiheadAttention's key_padding_mask.

    In this course, as in F.scaled_dot_product_attention, True means "may attend".
    """
    return ~correct.lengths_to_mask(lengths, T)


@misconception("padding_and_combined_masks", symbol="combine_masks")
def missing_head_axis(key_mask, causal=None):
    """The axis for the heads is missing: a mask (B, Tq, Tk) is lined up with (H, Tq, Tk) of the scores.

    With B ≠ H that is an error; with B = H example 2's mask is silently applied to head 2 of every example.
    """
    return correct.combine_masks(key_mask, causal).squeeze(1)


@misconception("padding_and_combined_masks", symbol="lengths_to_mask")
def padded_on_the_left(lengths, T):
    """The real tokens were put at the end. Sequences are right-padded here: they begin at position 0."""
    return torch.arange(T, device=lengths.device) >= T - lengths[:, None]


@misconception("padding_and_combined_masks", symbol="combine_masks")
def queries_masked_as_well(key_mask, causal=None):
    """The padding mask was laid along the queries too, so that the rows of padded queries are empty.

    Queries are not masked: a padded one still gets some output, which nobody reads.
    """
    mask = correct.combine_masks(key_mask, causal)
    return mask if causal is None or key_mask.shape[1] != causal.shape[0] else mask & key_mask[:, None, :, None]
