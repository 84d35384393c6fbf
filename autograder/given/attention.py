"""Attention as the pages of units 1 to 3 build it, out of public torch calls; none of the fused ones."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √d_k) v, where `attn_mask` (True = may attend) allows it; an empty row gives zeros.

    Args:
        q: (..., Tq, d_k). k: (..., Tk, d_k). v: (..., Tk, d_v).
        attn_mask: bool, broadcastable to (..., Tq, Tk).
    Returns: (..., Tq, d_v) in the dtype of q.
    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    """
    return attention_weights(q, k, attn_mask) @ v  # not the fused function: pages that ban it may use this one


def attention_weights(q: Tensor, k: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √d_k) over the keys, (..., Tq, Tk); an empty row gives zeros."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if attn_mask is None:
        return torch.softmax(scores, dim=-1)
    weights = torch.softmax(scores.masked_fill(~attn_mask, float("-inf")), dim=-1)
    return torch.where(attn_mask.any(-1, keepdim=True), weights, torch.zeros_like(weights))


def masked_softmax(scores: NDArray[Any], mask: NDArray[Any] | None = None) -> NDArray[Any]:
    """Softmax over the last axis of an array, where `mask` (True = may attend) allows it; an empty row gives zeros.

    Args:
        scores: (..., Tq, Tk), floating point.
        mask: bool, broadcastable to the shape of scores; None allows everything.
    Returns: the weights, of the shape and dtype of scores. A forbidden key has weight exactly 0.
    """
    allowed = torch.from_numpy(np.broadcast_to(True if mask is None else mask, scores.shape).copy())
    filled = torch.from_numpy(scores.copy()).masked_fill(~allowed, float("-inf"))
    weights = torch.softmax(filled, dim=-1)
    return weights.masked_fill(~allowed, 0.0).numpy()  # 0 also in place of the NaN of an empty row


def attention_with_lse(q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / √D) v and the logsumexp of the scaled scores, for 128 queries at a time.

    Args:
        q: (B, H, Tq, D). k: (B, H, Tk, D). v: (B, H, Tk, Dv). is_causal: query i sees keys 0..i only.
    Returns: (B, H, Tq, Dv) in the dtype of q, and (B, H, Tq) in float64 for float64 inputs, else in float32.
    """
    work = torch.promote_types(q.dtype, torch.float32)
    outs, sums = [q.new_empty(*q.shape[:2], 0, v.shape[-1])], [q.new_empty(*q.shape[:2], 0, dtype=work)]
    for start, rows in zip(range(0, q.shape[2], 128), torch.split(q, 128, dim=2), strict=False):
        scores = rows.to(work) @ k.to(work).mT / math.sqrt(q.shape[-1])
        if is_causal:
            later = torch.ones_like(scores, dtype=torch.bool).triu(start + 1)
            scores = scores.masked_fill(later, float("-inf"))
        outs.append((torch.softmax(scores, dim=-1) @ v.to(work)).to(q.dtype))
        sums.append(torch.logsumexp(scores, dim=-1))
    return torch.cat(outs, dim=2), torch.cat(sums, dim=2)


class MultiHeadAttention(nn.Module):
    """The layer of unit 3, without dropout: `n_heads`, `q_proj`, `k_proj`, `v_proj` and `out_proj` are its attributes.

    Args:
        d_model: width of queries and output. n_heads: number of heads, a divisor of it; head h owns the block
            h·Dh ... (h+1)·Dh - 1 of the rows of q_proj, k_proj and v_proj, and of the columns of out_proj.
        d_kv: width of the key and value inputs, d_model unless given. bias: whether the projections have biases.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
    """

    def __init__(self, d_model: int, n_heads: int, d_kv: int | None = None, bias: bool = True) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model {d_model} cannot be cut into {n_heads} heads of equal width")
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_kv or d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_kv or d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend from query (B, Tq, d_model) over key and value (B, Tk, d_kv); None means query, and key.

        `mask`: bool, True = may attend, broadcastable to (B, H, Tq, Tk). With need_weights also returns (B, H, Tq, Tk).
        """
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = (
            projected.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for projected in (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        )
        weights = attention_weights(q, k, mask)  # (B, H, Tq, Tk)
        out: Tensor = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        return (out, weights) if need_weights else out
