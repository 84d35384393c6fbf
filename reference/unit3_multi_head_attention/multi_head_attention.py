"""Reference of the page `multi_head_attention`: one example and one head at a time, layouts by explicit row numbers."""

import numpy as np
import torch
from torch import Tensor, nn


def _attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """One head of one example: (Tq, Dh) and the weights (Tq, Tk), exponentials divided by their sum."""
    scores = torch.einsum("id,jd->ij", q, k) / q.shape[-1] ** 0.5
    lowest = torch.finfo(scores.dtype).min
    highest = scores.detach().masked_fill(~allowed, lowest).amax(dim=1, keepdim=True)
    share = torch.exp((scores - highest).masked_fill(~allowed, 0.0)) * allowed
    total = share.sum(dim=1, keepdim=True)
    weights = share / (total + (total == 0))
    return torch.einsum("ij,jd->id", weights, v), weights


class MultiHeadAttention(nn.Module):
    """Without dropout: what eval mode gives."""

    def __init__(self, d_model, n_heads, d_kv=None, bias=True, dropout=0.0):
        super().__init__()
        d_kv = d_model if d_kv is None else d_kv
        self.heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_kv, d_model, bias=bias)
        self.v_proj = nn.Linear(d_kv, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, query, key=None, value=None, mask=None, need_weights=False):
        if key is None:
            key = query
        if value is None:
            value = key
        B, Tq, D = query.shape
        Tk, width = key.shape[1], D // self.heads
        allowed = torch.ones(B, self.heads, Tq, Tk, dtype=torch.bool)
        if mask is not None:
            allowed = allowed & mask
        q, k, v = _project(self.q_proj, query), _project(self.k_proj, key), _project(self.v_proj, value)
        outs, all_weights = [], []
        for b in range(B):
            out, per_head = 0 * q[b], []
            for h in range(self.heads):
                cut = slice(h * width, (h + 1) * width)
                head, weights = _attend(q[b, :, cut], k[b, :, cut], v[b, :, cut], allowed[b, h])
                out = out + torch.einsum("td,od->to", head, self.out_proj.weight[:, cut])
                per_head.append(weights)
            outs.append(out if self.out_proj.bias is None else out + self.out_proj.bias)
            all_weights.append(torch.stack(per_head))
        return (torch.stack(outs), torch.stack(all_weights)) if need_weights else torch.stack(outs)


def _project(linear: nn.Linear, x: Tensor) -> Tensor:
    y = torch.einsum("bti,oi->bto", x, linear.weight)
    return y if linear.bias is None else y + linear.bias


def fuse_qkv(Wq: Tensor, Wk: Tensor, Wv: Tensor) -> Tensor:
    """Row by row."""
    return torch.stack([W[i] for W in (Wq, Wk, Wv) for i in range(len(W))])


def split_qkv(W: Tensor, layout: str = "qkv", H: int = 1) -> tuple[Tensor, ...]:
    """Where row i of matrix m lies: m·D + i, or in head h = i // Dh at h·3·Dh + m·Dh + i % Dh."""
    D = len(W) // 3
    width = D // H
    parts = []
    for m in range(3):
        if layout == "qkv":
            rows = [m * D + i for i in range(D)]
        else:
            rows = [(i // width) * 3 * width + m * width + i % width for i in range(D)]
        parts.append(W[rows])
    return tuple(parts)


def from_conv1d(W: Tensor) -> Tensor:
    """Columns become rows."""
    return W if W.dim() == 1 else torch.stack([W[:, j] for j in range(W.shape[1])])


def gqa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
    """Each query head looks up its key-value head."""
    (B, Hq, Tq, _), (Hkv, Tk) = q.shape, k.shape[1:3]
    if Hq % Hkv != 0:
        raise ValueError(f"{Hq} query heads cannot share {Hkv} key-value heads")
    allowed = torch.ones(B, Hq, Tq, Tk, dtype=torch.bool)
    if mask is not None:
        allowed = allowed & mask
    if is_causal:
        allowed = allowed & (torch.arange(Tk) <= torch.arange(Tq)[:, None])
    serves = [kv for kv in range(Hkv) for _ in range(Hq // Hkv)]
    examples = [
        torch.stack([_attend(q[b, h], k[b, serves[h]], v[b, serves[h]], allowed[b, h])[0] for h in range(Hq)])
        for b in range(B)
    ]
    return torch.stack(examples)


def mha_cost(B, Tq, Tk, D, H, bias):
    """Product by product: (m, n) by (n, p) takes 2mnp."""
    width = D // H
    products = [(B * Tq, D, D), (B * Tk, D, D), (B * Tk, D, D), (B * Tq, D, D)]
    products += B * H * [(Tq, width, Tk), (Tq, Tk, width)]
    return {
        "params": sum(D * D + (D if bias else 0) for _ in ("q", "k", "v", "out")),
        "flops": sum(2 * m * n * p for m, n, p in products),
        "score_bytes": np.zeros((B, H, Tq, Tk), dtype=np.float32).nbytes,
        "kv_cache_bytes": lambda dtype, n: 2 * np.zeros((B, n, Tk, width), dtype=dtype).nbytes,
    }
