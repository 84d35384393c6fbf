"""Keeps the output normalised after every tile, by torch.logaddexp2; pads to whole blocks."""

import math

import torch
import torch.nn.functional as F

LOG2E = 1 / math.log(2)


def tiled_attention(q, k, v, block_q=64, block_k=64, is_causal=False):
    work = q.dtype if q.dtype == torch.float64 else torch.float32
    Tq, Tk = q.shape[2], k.shape[2]
    block_q, block_k = min(block_q, max(Tq, 1)), min(block_k, max(Tk, 1))
    keys, values = (F.pad(x.to(work), (0, 0, 0, -Tk % block_k)) for x in (k, v))
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype)
    lse = torch.full(q.shape[:3], -math.inf, dtype=work)
    for start in range(0, Tq, block_q):
        stop = min(start + block_q, Tq)
        rows = q[:, :, start:stop].to(work) * (LOG2E / q.shape[-1] ** 0.5)
        so_far = torch.full((*rows.shape[:-1], 1), -math.inf, dtype=work)
        mean = torch.zeros(*rows.shape[:-1], v.shape[-1], dtype=work)
        for first in range(0, Tk, block_k):
            if is_causal and first >= stop:
                continue
            at = torch.arange(first, first + block_k)
            allowed = (at < Tk)[None, :] & ((at[None, :] <= torch.arange(start, stop)[:, None]) | (not is_causal))
            scores = (rows @ keys[:, :, first : first + block_k].mT).masked_fill_(~allowed, -math.inf)
            top = scores.amax(-1, keepdim=True).clamp(min=-1e30)
            powers = torch.exp2(scores - top)
            both = torch.logaddexp2(so_far, top + torch.log2(powers.sum(-1, keepdim=True)))
            mean = mean * torch.exp2(so_far - both)
            mean = mean + (powers @ values[:, :, first : first + block_k]) * torch.exp2(top - both)
            so_far = both
        out[:, :, start:stop] = mean.to(q.dtype)
        lse[:, :, start:stop] = so_far[..., 0] / LOG2E
    return out, lse
