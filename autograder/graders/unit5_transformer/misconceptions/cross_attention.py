"""Known wrong answers to the page `cross_attention`."""

import torch

from autograder.grading.misconceptions import misconception


def keys_mask(memory_mask):
    return None if memory_mask is None else memory_mask[:, None, None, :]


@misconception("cross_attention", symbol="cross_attention")
def q_from_memory(mha, x, memory, memory_mask=None):
    """The parts are exchanged: the memory asks, and x is looked at.

    The result then has the length of the memory. The one who asks is the sequence that is being written.
    """
    return mha(memory, x, x, mask=keys_mask(memory_mask), need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def v_from_decoder(mha, x, memory, memory_mask=None):
    """The values were made from x. What was found in the memory must be read in the memory.

    Only where both happen to have the same length does this run at all; each token then gets a mix of its own sequence,
    with weights that belong to another one.
    """
    return mha(x, memory, x, mask=keys_mask(memory_mask), need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def causal_on_memory(mha, x, memory, memory_mask=None):
    """A causal mask was laid on the memory: token t reads its first t + 1 tokens only.

    The source is complete before the first word is written, and may be read to its end by everyone. Causal is the
    decoder's self-attention.
    """
    T, S = x.shape[1], memory.shape[1]
    causal = torch.ones(T, S, dtype=torch.bool).tril()
    mask = keys_mask(memory_mask)
    return mha(x, memory, memory, mask=causal if mask is None else causal & mask, need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def mask_on_target(mha, x, memory, memory_mask=None):
    """The mask was laid on the axis of the queries. It says which tokens of the *memory* may be read.

    Weights are (B, H, T, S), and (B, S) belongs to the last axis. Where T = S nothing complains.
    """
    mask = None if memory_mask is None else memory_mask[:, None, :, None]
    return mha(x, memory, memory, mask=mask, need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def empty_mask_as_none(mha, x, memory, memory_mask=None):
    """A mask without a single True was taken for no mask at all. It hides everything; None shows everything.

    `memory_mask.any()` says whether something is visible, not whether there is a mask. Compare with None.
    """
    mask = keys_mask(memory_mask if memory_mask is not None and memory_mask.any() else None)
    return mha(x, memory, memory, mask=mask, need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def mask_inverted(mha, x, memory, memory_mask=None):
    """The mask was turned round: the padding was read, and what is real was not. True means *may be read*."""
    mask = keys_mask(memory_mask)
    return mha(x, memory, memory, mask=None if mask is None else ~mask, need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def mask_ignored(mha, x, memory, memory_mask=None):
    """The mask was not used: the padding of the memory is read like words."""
    return mha(x, memory, memory, need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def padding_zeroed(mha, x, memory, memory_mask=None):
    """The padding of the memory was set to 0, and then attended to. A key of zeros has a score of its own, not −∞.

    Padding takes no part if its *weight* is 0; what it contains does not matter then.
    """
    if memory_mask is not None:
        memory = memory.masked_fill(~memory_mask[..., None], 0.0)
    return mha(x, memory, memory, need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def heads_averaged(mha, x, memory, memory_mask=None):
    """The weights were averaged over the heads. Asked for are those of each head, (B, H, T, S)."""
    out, weights = mha(x, memory, memory, mask=keys_mask(memory_mask), need_weights=True)
    return out, weights.mean(dim=1)


def by_hand(mha, x, memory, weights_of):
    """The layer written out; `weights_of` makes weights of the scores (B, H, T, S)."""
    q, k, v = (
        proj(t).unflatten(-1, (mha.n_heads, -1)).transpose(1, 2)
        for proj, t in ((mha.q_proj, x), (mha.k_proj, memory), (mha.v_proj, memory))
    )
    weights = weights_of(q @ k.mT / q.shape[-1] ** 0.5)
    return mha.out_proj((weights @ v).transpose(1, 2).flatten(2)), weights


@misconception("cross_attention", symbol="cross_attention")
def masked_after_softmax(mha, x, memory, memory_mask=None):
    """The weights were masked after the softmax, so those of the real tokens do not add up to 1 any more."""
    mask = keys_mask(memory_mask)
    return by_hand(mha, x, memory, lambda s: s.softmax(-1) if mask is None else s.softmax(-1) * mask)


@misconception("cross_attention", symbol="cross_attention")
def fill_is_finite(mha, x, memory, memory_mask=None):
    """Padding got a large negative score. Where all is padding a softmax of equal scores gives equal weights, not 0."""
    mask = keys_mask(memory_mask)
    return by_hand(mha, x, memory, lambda s: (s if mask is None else s.masked_fill(~mask, -1e9)).softmax(-1))


@misconception("cross_attention", symbol="cross_attention")
def fill_is_infinite(mha, x, memory, memory_mask=None):
    """Where all of an example's memory is padding, its scores are all −∞, and a softmax of these is NaN, not 0."""
    mask = keys_mask(memory_mask)
    return by_hand(mha, x, memory, lambda s: (s if mask is None else s.masked_fill(~mask, -torch.inf)).softmax(-1))


@misconception("cross_attention", symbol="cross_attention")
def scale_missing(mha, x, memory, memory_mask=None):
    """The scores were not divided by √Dh, the root of a head's width."""
    mask = keys_mask(memory_mask)

    def weights_of(scores):
        scores = scores * (x.shape[-1] // mha.n_heads) ** 0.5
        kept = scores if mask is None else scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return kept.softmax(-1) if mask is None else kept.softmax(-1) * mask

    return by_hand(mha, x, memory, weights_of)


@misconception("cross_attention", symbol="cross_attention")
def mask_without_axes(mha, x, memory, memory_mask=None):
    """The mask (B, S) was handed on as it is, and broadcasts as one row of keys for each *query*.

    Weights are (B, H, T, S): two axes have to come in between, (B, 1, 1, S).
    """
    return mha(x, memory, memory, mask=memory_mask, need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def mask_with_one_axis(mha, x, memory, memory_mask=None):
    """The mask became (B, 1, S), which broadcasts as a row of keys for each *head*. It needs two axes in between."""
    mask = None if memory_mask is None else memory_mask[:, None]
    return mha(x, memory, memory, mask=mask, need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def k_from_decoder(mha, x, memory, memory_mask=None):
    """The keys were made from x. The memory says what there is: keys and values are both made from it."""
    return mha(x, x, memory, mask=keys_mask(memory_mask), need_weights=True)


@misconception("cross_attention", symbol="cross_attention")
def adds_x(mha, x, memory, memory_mask=None):
    """x was added to the output. The residual connection belongs to the decoder layer, on the next page."""
    out, weights = mha(x, memory, memory, mask=keys_mask(memory_mask), need_weights=True)
    return x + out, weights
