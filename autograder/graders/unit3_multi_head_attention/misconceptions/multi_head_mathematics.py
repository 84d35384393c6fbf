"""Known wrong answers to the page `multi_head_mathematics`."""

import math

import numpy as np

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- split_merge_heads


def check(x, H):
    if x.shape[-1] % H:
        raise ValueError("H does not divide D")


@misconception("split_merge_heads", symbol="split_heads")
def view_without_transpose(x, H):
    """The numbers were only regrouped, straight from (B, T, D) to (B, H, T, Dh), without swapping two axes.

    The shape is right, but the first head then holds the first tokens whole instead of the first part of every token.
    Follow the eight numbers of the worked example. (With a single token the mistake cannot be seen.)
    """
    check(x, H)
    B, T, D = x.shape
    return x.reshape(B, H, T, D // H)


@misconception("split_merge_heads", symbol="split_heads")
def interleaved_heads(x, H):
    """Head h got every H-th number (h, h + H, h + 2H, ...) instead of a block of neighbours.

    The width was cut as (Dh, H). The heads are its outer axis: numbers h·Dh to (h+1)·Dh - 1 belong together, as do
    those rows of the weight matrices.
    """
    check(x, H)
    B, T, D = x.shape
    return x.reshape(B, T, D // H, H).permute(0, 3, 1, 2)


@misconception("split_merge_heads", symbol="merge_heads")
def merge_no_transpose(x):
    """The heads were merged by regrouping (B, H, T, Dh) into (B, T, H·Dh) without swapping T and H first.

    The numbers of one head then run on over several tokens. Before the last two axes can be joined, which two axes must
    be the last two?
    """
    B, H, T, Dh = x.shape
    return x.reshape(B, T, H * Dh)


@misconception("split_merge_heads", symbol="merge_heads")
def contiguous_crash(x):
    """`view` was called on a tensor whose numbers do not lie in that order, such as one with two axes swapped.

    It worked where split_heads had just made the tensor, since that is a view in the old order; after attention it is
    not any more. A view never copies; what does, if it must?
    """
    B, H, T, Dh = x.shape
    return x.transpose(1, 2).view(B, T, H * Dh)


# ---------------------------------------------------------------- mha_numpy


def attend(xq, xkv, Wq, Wk, Wv, bq, bk, bv, H, mask, width=None):
    """The heads (B, H, Tq, Dh) and the weights, with a choice of the width under the root."""
    B, D = xq.shape[0], xq.shape[2]
    q, k, v = (
        (x @ W.T + b).reshape(B, -1, H, D // H).swapaxes(1, 2)
        for x, W, b in ((xq, Wq, bq), (xkv, Wk, bk), (xkv, Wv, bv))
    )
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(width or D // H)
    allowed = np.broadcast_to(True if mask is None else mask, scores.shape)
    scores = np.where(allowed, scores, -np.inf)
    highest = scores.max(axis=-1, keepdims=True)
    share = np.exp(scores - np.where(np.isfinite(highest), highest, 0.0))
    total = share.sum(axis=-1, keepdims=True)
    share = share / np.where(total == 0, 1, total)
    return share @ v, share


def side_by_side(heads):
    B, H, T, Dh = heads.shape
    return heads.swapaxes(1, 2).reshape(B, T, H * Dh)


def cast(xq, out, weights):
    return out.astype(xq.dtype), weights.astype(xq.dtype)


@misconception("mha_numpy", symbol="multi_head_attention")
def scale_sqrt_d_model(xq, xkv, Wq, Wk, Wv, Wo, bq, bk, bv, bo, H, mask=None):
    """The scores were divided by √D, the width of the model. Each is a sum of only Dh = D / H products.

    So √Dh is the scale that brings their variance to 1, and yours makes all heads look around too evenly. With one
    head the two are the same, so a test with one head sees nothing.
    """
    heads, weights = attend(xq, xkv, Wq, Wk, Wv, bq, bk, bv, H, mask, width=xq.shape[-1])
    return cast(xq, side_by_side(heads) @ Wo.T + bo, weights)


@misconception("mha_numpy", symbol="multi_head_attention")
def heads_averaged(xq, xkv, Wq, Wk, Wv, Wo, bq, bk, bv, bo, H, mask=None):
    """The results of the heads were averaged. They are to stand side by side, so that Wo can tell them apart.

    An average throws away which head said what, and that was the reason to have several.
    """
    heads, weights = attend(xq, xkv, Wq, Wk, Wv, bq, bk, bv, H, mask)
    mean = np.tile(heads.mean(axis=1), (1, 1, H))
    return cast(xq, mean @ Wo.T + bo, weights)


@misconception("mha_numpy", symbol="multi_head_attention")
def wo_omitted(xq, xkv, Wq, Wk, Wv, Wo, bq, bk, bv, bo, H, mask=None):
    """The heads were put side by side and returned. The output projection, Wo with its bias bo, is missing.

    Without it the heads would never meet: what head h found would stay in block h.
    """
    heads, weights = attend(xq, xkv, Wq, Wk, Wv, bq, bk, bv, H, mask)
    return cast(xq, side_by_side(heads), weights)


@misconception("mha_numpy", symbol="multi_head_attention")
def mask_not_broadcast_heads(xq, xkv, Wq, Wk, Wv, Wo, bq, bk, bv, bo, H, mask=None):
    """The mask reached head 0 only; the other heads looked at everything.

    The scores have four axes, (B, H, Tq, Tk). A mask of (Tq, Tk) or (B, 1, Tq, Tk) holds for every head: let it
    broadcast against all four.
    """
    if mask is not None:
        full = np.ones((xq.shape[0], H, xq.shape[1], xkv.shape[1]), dtype=bool)
        full[:, 0] = np.broadcast_to(mask, full.shape)[:, 0]
        mask = full
    heads, weights = attend(xq, xkv, Wq, Wk, Wv, bq, bk, bv, H, mask)
    return cast(xq, side_by_side(heads) @ Wo.T + bo, weights)


@misconception("mha_numpy", symbol="multi_head_attention")
def bias_forgotten(xq, xkv, Wq, Wk, Wv, Wo, bq, bk, bv, bo, H, mask=None):
    """The biases were left out: all four projections are x Wᵀ + b.

    Your answer is that of biases of 0, as in the worked example.
    """
    return correct.multi_head_attention(xq, xkv, Wq, Wk, Wv, Wo, 0 * bq, 0 * bk, 0 * bv, 0 * bo, H, mask)
