"""einsum, -inf filled in twice, and nan_to_num for the empty rows; computes in the input's own dtype."""

import torch


def scaled_dot_product_attention(q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, generator=None):
    if scale is None:
        scale = q.size(-1) ** -0.5
    scores = torch.einsum("...qd,...kd->...qk", q * scale, k)
    if is_causal:
        future = torch.ones_like(scores, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(future, float("-inf"))
    if attn_mask is not None:
        scores = scores.masked_fill(attn_mask.logical_not(), float("-inf"))
    weights = torch.softmax(scores, -1).nan_to_num(0.0)
    if dropout_p > 0:
        keep = torch.empty_like(weights).bernoulli_(1 - dropout_p, generator=generator)
        weights = weights * keep / (1 - dropout_p)
    return torch.einsum("...qk,...kd->...qd", weights, v)
