"""The projections one by one, einsum, an additive mask, NaN of empty rows replaced."""

import torch


def cross_attention(mha, x, memory, memory_mask=None):
    B, T, D = x.shape
    S, H = memory.shape[1], mha.n_heads
    q = mha.q_proj(x).reshape(B, T, H, D // H)
    k = mha.k_proj(memory).reshape(B, S, H, D // H)
    v = mha.v_proj(memory).reshape(B, S, H, D // H)
    scores = torch.einsum("bthd,bshd->bhts", q, k) / (D // H) ** 0.5
    if memory_mask is None:
        memory_mask = torch.ones(B, S, dtype=torch.bool, device=x.device)
    hidden = ~memory_mask[:, None, None, :].expand_as(scores)
    weights = scores.masked_fill(hidden, float("-inf")).softmax(-1).masked_fill(hidden, 0)
    out = torch.einsum("bhts,bshd->bthd", weights, v).reshape(B, T, D)
    return mha.out_proj(out), weights
