"""Building blocks that later pages may import, made of public torch calls.

A page never depends on a student's own earlier page: what it builds on comes from here, so that one early failure
costs nothing later.
"""

import math

import numpy as np
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


def masked_softmax(scores: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Softmax over the last axis of a NumPy array, where `mask` (True = may attend) allows it; an empty row gives zeros.

    Args:
        scores: (..., Tq, Tk), floating point.
        mask: bool, broadcastable to the shape of scores; None allows everything.
    Returns: the weights, of the shape and dtype of scores. A forbidden key has weight exactly 0.
    """
    allowed = torch.from_numpy(np.broadcast_to(True if mask is None else mask, scores.shape).copy())
    filled = torch.from_numpy(scores.copy()).masked_fill(~allowed, float("-inf"))
    weights = torch.softmax(filled, dim=-1)
    return weights.masked_fill(~allowed, 0.0).numpy()  # 0 also in place of the NaN of an empty row
