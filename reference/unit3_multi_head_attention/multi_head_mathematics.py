"""Reference of the page `multi_head_mathematics`: one head, one query at a time."""

import numpy as np
import torch
from torch import Tensor


def split_heads(x: Tensor, H: int) -> Tensor:
    """Head h is the h-th slice of the last axis."""
    D = x.shape[2]
    if D % H != 0:
        raise ValueError(f"{H} heads do not divide {D}")
    width = D // H
    return torch.stack([x[:, :, h * width : (h + 1) * width] for h in range(H)], dim=1)


def merge_heads(x: Tensor) -> Tensor:
    """The heads one after the other along the last axis."""
    return torch.cat([x[:, h] for h in range(x.shape[1])], dim=-1)


def multi_head_attention(xq, xkv, Wq, Wk, Wv, Wo, bq, bk, bv, bo, H, mask=None):
    """Each head with its own slices of the weights, each query by itself; the output as a sum over heads."""
    (B, Tq, D), Tk = xq.shape, xkv.shape[1]
    width = D // H
    allowed = np.ones((B, H, Tq, Tk), dtype=bool)
    if mask is not None:
        allowed = allowed & mask
    out = np.zeros((B, Tq, D), dtype=xq.dtype) + bo
    weights = np.zeros((B, H, Tq, Tk), dtype=xq.dtype)
    for b in range(B):
        for h in range(H):
            rows = slice(h * width, (h + 1) * width)
            q = np.einsum("td,kd->tk", xq[b], Wq[rows]) + bq[rows]
            k = np.einsum("td,kd->tk", xkv[b], Wk[rows]) + bk[rows]
            v = np.einsum("td,kd->tk", xkv[b], Wv[rows]) + bv[rows]
            for i in range(Tq):
                keys = np.flatnonzero(allowed[b, h, i])
                if len(keys) == 0:
                    continue
                score = np.array([q[i] @ k[j] for j in keys]) / width**0.5
                share = np.exp(score - score.max())
                weights[b, h, i, keys] = share / share.sum()
                mixed = sum(weights[b, h, i, j] * v[j] for j in keys)
                out[b, i] += Wo[:, rows] @ mixed
    return out, weights
