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
