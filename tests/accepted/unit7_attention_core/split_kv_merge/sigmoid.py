"""The share of a piece is a sigmoid of the difference of logsumexps; pieces of equal length, the last ones shorter."""

import math

import torch


def merge_attention(o1, lse1, o2, lse2):
    lse = torch.logaddexp(lse1, lse2)
    difference = torch.where(lse1 == lse2, torch.zeros_like(lse), lse1 - lse2)
    share = torch.sigmoid(difference).unsqueeze(-1)
    wide = o1.to(lse.dtype) * share + o2.to(lse.dtype) * (1 - share)
    empty = torch.isneginf(lse).unsqueeze(-1)
    return torch.where(empty, torch.zeros_like(wide), wide).to(o1.dtype), lse


def decode_split(q, k, v, n_splits):
    wide = torch.promote_types(q.dtype, torch.float32)
    size = max(1, math.ceil(k.shape[2] / n_splits))
    pieces = []
    for start in range(0, size * n_splits, size):
        keys, values = k[:, :, start : start + size].to(wide), v[:, :, start : start + size].to(wide)
        s = (q.to(wide) * keys).sum(-1).unsqueeze(2) * q.shape[-1] ** -0.5
        if s.shape[-1] == 0:
            pieces.append(
                (torch.zeros(*q.shape[:3], v.shape[-1], dtype=wide), torch.full(q.shape[:3], -math.inf, dtype=wide))
            )
        else:
            pieces.append((torch.softmax(s, -1) @ values, torch.logsumexp(s, -1)))
    while len(pieces) > 1:  # a tree
        pieces = [merge_attention(*a, *b) for a, b in zip(pieces[::2], pieces[1::2], strict=False)] + (
            [pieces[-1]] if len(pieces) % 2 else []
        )
    return pieces[0][0].to(q.dtype), pieces[0][1]
