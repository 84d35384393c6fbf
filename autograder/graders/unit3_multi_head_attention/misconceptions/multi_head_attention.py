"""Known wrong answers to the page `multi_head_attention`."""

import math

import numpy as np
import torch
from torch import nn

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- mha_torch


@misconception("mha_torch", symbol="MultiHeadAttention")
class value_from_query(correct.MultiHeadAttention):
    """The values were made from `query`. They come from `value`: what is found must be read where it was found.

    In self-attention nobody can tell. In cross-attention the layer then hands each token a mix of its own sequence.
    """

    def forward(self, query, key=None, value=None, mask=None, need_weights=False):
        return super().forward(query, key, query, mask, need_weights)


@misconception("mha_torch", symbol="MultiHeadAttention")
class key_value_same(correct.MultiHeadAttention):
    """The argument `value` was not used: the values were made from `key`.

    The two are mostly one tensor, and then the mistake is invisible. Which tensor does v_proj read?
    """

    def forward(self, query, key=None, value=None, mask=None, need_weights=False):
        return super().forward(query, key, None, mask, need_weights)


@misconception("mha_torch", symbol="MultiHeadAttention")
class functional_dropout_always_on(correct.MultiHeadAttention):
    """Dropout was applied in eval mode too.

    The functional form drops unless it is told the mode, and so does a dropout_p that is always passed on. What knows
    the mode is the module.
    """

    def forward(self, query, key=None, value=None, mask=None, need_weights=False):
        was_training, self.training = self.training, True
        try:
            return super().forward(query, key, value, mask, need_weights)
        finally:
            self.training = was_training


@misconception("mha_torch", symbol="MultiHeadAttention")
class plain_tensors(correct.MultiHeadAttention):
    """The weights are plain tensors, which a module does not register.

    They are in neither parameters() nor the state dict: an optimiser never trains them, and they cannot be loaded. What
    a module is to know must be an nn.Parameter or a module such as nn.Linear.
    """

    def __init__(self, d_model, n_heads, d_kv=None, bias=True, dropout=0.0):
        super().__init__(d_model, n_heads, d_kv, bias, dropout)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            weight = getattr(self, name).weight.detach().clone()
            delattr(self, name)
            setattr(self, name, weight)


@misconception("mha_torch", symbol="MultiHeadAttention")
class modulelist_not_registered(correct.MultiHeadAttention):
    """The heads stand in a Python list, where the module does not find them.

    parameters(), the state dict and .to() see attributes that are modules or nn.ModuleList, and do not look into lists.
    One nn.Linear for all heads avoids the question.
    """

    def __init__(self, d_model, n_heads, d_kv=None, bias=True, dropout=0.0):
        super().__init__(d_model, n_heads, d_kv, bias, dropout)
        del self.q_proj, self.k_proj, self.v_proj
        width, d_kv = d_model // n_heads, d_kv or d_model
        self.heads = [[nn.Linear(d, width, bias=bias) for d in (d_model, d_kv, d_kv)] for _ in range(n_heads)]


@misconception("mha_torch", symbol="MultiHeadAttention")
class mask_polarity_torch(correct.MultiHeadAttention):
    """The mask was read as True = ignore, the convention of nn.MultiheadAttention.

    In this course, as in F.scaled_dot_product_attention, True means "may attend".
    """

    def forward(self, query, key=None, value=None, mask=None, need_weights=False):
        return super().forward(query, key, value, None if mask is None else ~mask, need_weights)


@misconception("mha_torch", symbol="MultiHeadAttention")
class value_defaults_to_query(correct.MultiHeadAttention):
    """Without a value the query was taken as the value. None means key: what is found is read where it was found."""

    def forward(self, query, key=None, value=None, mask=None, need_weights=False):
        return super().forward(query, key, query if value is None else value, mask, need_weights)


@misconception("mha_torch", symbol="MultiHeadAttention")
class scale_of_d_model(correct.MultiHeadAttention):
    """The scores were divided by √D, the width of the model. Each is a sum of Dh = D / H products only."""

    def forward(self, query, key=None, value=None, mask=None, need_weights=False):
        weight = self.q_proj.weight
        bias = self.q_proj.bias
        shrunk = nn.Linear(*reversed(weight.shape), bias=bias is not None).to(weight.dtype)
        del shrunk.weight
        shrunk.weight = weight / math.sqrt(self.n_heads)
        if bias is not None:
            del shrunk.bias
            shrunk.bias = bias / math.sqrt(self.n_heads)
        own, self._modules["q_proj"] = self.q_proj, shrunk
        try:
            return super().forward(query, key, value, mask, need_weights)
        finally:
            self._modules["q_proj"] = own


# ---------------------------------------------------------------- fused_qkv_layouts


@misconception("fused_qkv_layouts", symbol="fuse_qkv")
def kv_swapped(Wq, Wk, Wv):
    """Wv was stacked before Wk. The order is query, key, value.

    Nothing complains, since both have the same shape; attention then compares by values and mixes keys.
    """
    return torch.cat([Wq, Wv, Wk])


@misconception("fused_qkv_layouts", symbol="from_conv1d")
def conv1d_not_transposed(W):
    """A Conv1D weight came back as it was. It is (in, out), and nn.Linear's is (out, in).

    With c_proj, which is square, the shape does not give it away: the model loads, and talks nonsense.
    """
    return W


@misconception("fused_qkv_layouts", symbol="split_qkv")
def per_head_ignored(W, layout="qkv", H=1):
    """The layout "per_head" was cut like "qkv", into top, middle and bottom.

    There the rows go head by head: Dh rows of Wq, Dh of Wk, Dh of Wv, and then the next head. Cut into heads first.
    """
    return correct.split_qkv(W, layout="qkv", H=H)


@misconception("fused_qkv_layouts", symbol="split_qkv")
def bias_not_split(W, layout="qkv", H=1):
    """Biases were not taken apart like the rows of the weight.

    A fused bias (3D,) holds three biases in the same layout as the rows: entry i belongs to row i.
    """
    return (W, W, W) if W.ndim == 1 else correct.split_qkv(W, layout=layout, H=H)


# ---------------------------------------------------------------- grouped_query_attention


def attend(q, k, v, mask, is_causal):
    """Plain attention with as many key heads as query heads."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    allowed = torch.ones(scores.shape, dtype=torch.bool)
    allowed = allowed.tril() if is_causal else allowed
    allowed = allowed if mask is None else allowed & mask
    return torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1).masked_fill(~allowed, 0.0) @ v


def group_size(q, k):
    if q.shape[1] % k.shape[1]:
        raise ValueError("Hkv does not divide Hq")
    return q.shape[1] // k.shape[1]


@misconception("grouped_query_attention", symbol="gqa")
def tile_not_interleave(q, k, v, mask=None, is_causal=False):
    """The key-value heads were repeated as a whole (0, 1, 2, 0, 1, 2), so query head h got head h mod Hkv.

    A group is a block of neighbours: 0, 0, 1, 1, 2, 2. Tensors have one method for each of the two.
    """
    g = group_size(q, k)
    return attend(q, k.repeat(1, g, 1, 1), v.repeat(1, g, 1, 1), mask, is_causal)


@misconception("grouped_query_attention", symbol="gqa")
def group_mean(q, k, v, mask=None, is_causal=False):
    """The query heads of a group were averaged. They share keys and values only; each keeps its own question.

    All heads of a group gave you the same result, so you might as well have had fewer of them.
    """
    g = group_size(q, k)
    mean = q.unflatten(1, (-1, g)).mean(dim=2).repeat_interleave(g, dim=1)
    return attend(mean, k.repeat_interleave(g, dim=1), v.repeat_interleave(g, dim=1), mask, is_causal)


@misconception("grouped_query_attention", symbol="gqa")
def kv_heads_transposed(q, k, v, mask=None, is_causal=False):
    """Keys and values were read as (B, Tk, Hkv, Dh). They are (B, Hkv, Tk, Dh), heads before tokens, like q.

    Regrouping the numbers gives the right shape with tokens and heads mixed up.
    """
    B, Hkv, Tk, Dh = k.shape
    k, v = (t.reshape(B, Tk, Hkv, Dh).transpose(1, 2) for t in (k, v))
    return correct.gqa(q, k, v, mask, is_causal)


@misconception("grouped_query_attention", symbol="gqa")
def silent_wrong_ratio(q, k, v, mask=None, is_causal=False):
    """A number of key-value heads that does not divide the number of query heads gave a result instead of an error.

    Some group then is smaller than the others, or a head is never used. That is never what somebody meant: raise
    ValueError.
    """
    Hq, Hkv = q.shape[1], k.shape[1]
    g = -(-Hq // Hkv)
    k, v = (t.repeat_interleave(g, dim=1)[:, :Hq] for t in (k, v))
    return attend(q, k, v, mask, is_causal)


@misconception("grouped_query_attention", symbol="gqa")
def causal_at_the_end(q, k, v, mask=None, is_causal=False):
    """With is_causal the last query was lined up with the last key. The flag means the other alignment, top-left."""
    if is_causal:
        lower = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
        mask = lower if mask is None else mask & lower
    return correct.gqa(q, k, v, mask)


@misconception("grouped_query_attention", symbol="gqa")
def values_tiled(q, k, v, mask=None, is_causal=False):
    """The keys were repeated head by head, but the values as a whole: query head h reads another group's values."""
    g = group_size(q, k)
    return attend(q, k.repeat_interleave(g, dim=1), v.repeat(1, g, 1, 1), mask, is_causal)


# ---------------------------------------------------------------- mha_cost


def changed(B, Tq, Tk, D, H, bias, **entries):
    """The right dictionary with some entries replaced."""
    return correct.mha_cost(B, Tq, Tk, D, H, bias) | entries


@misconception("mha_cost", symbol="mha_cost")
def flops_times_heads(B, Tq, Tk, D, H, bias):
    """The FLOPs of attention were multiplied by H at full width. Each head works at width D / H only.

    H heads of width D / H take together what one head of width D takes: H cancels.
    """
    return changed(B, Tq, Tk, D, H, bias, flops=4 * B * (Tq + Tk) * D * D + 4 * B * Tq * Tk * D * H)


@misconception("mha_cost", symbol="mha_cost")
def mac_not_flop(B, Tq, Tk, D, H, bias):
    """A multiplication with the addition that follows was counted as one. Here they are two FLOPs.

    Your number is exactly half of the right one. (Both counts are in use: "MACs" are the other one.)
    """
    return changed(B, Tq, Tk, D, H, bias, flops=2 * B * (Tq + Tk) * D * D + 2 * B * Tq * Tk * D)


@misconception("mha_cost", symbol="mha_cost")
def quadratic_term_missing(B, Tq, Tk, D, H, bias):
    """Only the four projections were counted. The two products of attention itself, (Tq, Tk) in each head, are missing.

    They grow with Tq·Tk and dominate long texts.
    """
    return changed(B, Tq, Tk, D, H, bias, flops=4 * B * (Tq + Tk) * D * D)


@misconception("mha_cost", symbol="mha_cost")
def cache_counts_k_only(B, Tq, Tk, D, H, bias):
    """The cache is half of what it must be: it holds keys *and* values."""

    def kv_cache_bytes(dtype, n_kv_heads):
        return B * Tk * n_kv_heads * (D // H) * np.dtype(dtype).itemsize

    return changed(B, Tq, Tk, D, H, bias, kv_cache_bytes=kv_cache_bytes)


@misconception("mha_cost", symbol="mha_cost")
def cache_without_batch(B, Tq, Tk, D, H, bias):
    """The cache is that of one example. There are B of them, with Tk tokens each."""

    def kv_cache_bytes(dtype, n_kv_heads):
        return 2 * Tk * n_kv_heads * (D // H) * np.dtype(dtype).itemsize

    return changed(B, Tq, Tk, D, H, bias, kv_cache_bytes=kv_cache_bytes)


@misconception("mha_cost", symbol="mha_cost")
def cache_of_all_heads(B, Tq, Tk, D, H, bias):
    """n_kv_heads was not used: the cache always has the full width D. Fewer key-value heads make it smaller."""

    def kv_cache_bytes(dtype, n_kv_heads):
        return 2 * B * Tk * D * np.dtype(dtype).itemsize

    return changed(B, Tq, Tk, D, H, bias, kv_cache_bytes=kv_cache_bytes)


@misconception("mha_cost", symbol="mha_cost")
def scores_of_one_head(B, Tq, Tk, D, H, bias):
    """The scores of one head were counted. Each of the H heads has (Tq, Tk) of its own."""
    return changed(B, Tq, Tk, D, H, bias, score_bytes=4 * B * Tq * Tk)


@misconception("mha_cost", symbol="mha_cost")
def all_rows_are_queries(B, Tq, Tk, D, H, bias):
    """All four projections were counted with Tq rows. Keys and values are made of Tk tokens each."""
    return changed(B, Tq, Tk, D, H, bias, flops=8 * B * Tq * D * D + 4 * B * Tq * Tk * D)


@misconception("mha_cost", symbol="mha_cost")
def flops_of_one_example(B, Tq, Tk, D, H, bias):
    """The FLOPs are those of one example. There are B of them."""
    return changed(B, Tq, Tk, D, H, bias, flops=4 * (Tq + Tk) * D * D + 4 * Tq * Tk * D)
