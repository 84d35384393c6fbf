"""Building blocks that later pages may import, made of public torch calls.

A page never depends on a student's own earlier page: what it builds on comes from here, so that one early failure
costs nothing later.
"""

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √d_k) v, where `attn_mask` (True = may attend) allows it; an empty row gives zeros.

    Args:
        q: (..., Tq, d_k). k: (..., Tk, d_k). v: (..., Tk, d_v).
        attn_mask: bool, broadcastable to (..., Tq, Tk).
    Returns: (..., Tq, d_v) in the dtype of q.
    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    """
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)


def attention_weights(q: Tensor, k: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √d_k) over the keys, (..., Tq, Tk); an empty row gives zeros."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if attn_mask is None:
        return torch.softmax(scores, dim=-1)
    weights = torch.softmax(scores.masked_fill(~attn_mask, float("-inf")), dim=-1)
    return torch.where(attn_mask.any(-1, keepdim=True), weights, torch.zeros_like(weights))
