"""Each tile becomes (m, l, A) of its own, and the pieces are merged; blocks by torch.split, keys in the outer loop."""

import math

import torch


def tiled_attention(q, k, v, block_q=64, block_k=64, is_causal=False):
    work = torch.float64 if q.dtype == torch.float64 else torch.float32
    outs, sums = [], []
    for i, rows in zip(range(0, q.shape[2], block_q), q.split(block_q, dim=2), strict=False):
        state = None
        for j, (keys, values) in enumerate(zip(k.split(block_k, dim=2), v.split(block_k, dim=2), strict=True)):
            if is_causal and j * block_k > i + rows.shape[2] - 1:
                break
            if keys.shape[2]:
                piece = _piece(rows.to(work), keys.to(work), values.to(work), i, j * block_k, is_causal)
                state = piece if state is None else _merge(state, piece)
        if state is None:
            outs.append(torch.zeros(*rows.shape[:-1], v.shape[-1], dtype=q.dtype))
            sums.append(torch.full(rows.shape[:-1], -math.inf, dtype=work))
            continue
        m, l, mixed = state
        outs.append((mixed / l).to(q.dtype))
        sums.append((m + l.log()).squeeze(-1))
    if not outs:
        return torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype), torch.zeros(q.shape[:3], dtype=work)
    return torch.cat(outs, dim=2), torch.cat(sums, dim=2)


def _piece(rows, keys, values, i, j, is_causal):
    scores = torch.einsum("bhid,bhjd->bhij", rows, keys) * rows.shape[-1] ** -0.5
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(i - j)
        scores = torch.where(allowed, scores, -math.inf)
    m = scores.max(dim=-1, keepdim=True).values.nan_to_num(neginf=-1e30)
    p = (scores - m).exp()
    return m, p.sum(-1, keepdim=True), p @ values


def _merge(a, b):
    m = torch.maximum(a[0], b[0])
    x, y = (a[0] - m).exp(), (b[0] - m).exp()
    return m, a[1] * x + b[1] * y, a[2] * x + b[2] * y
