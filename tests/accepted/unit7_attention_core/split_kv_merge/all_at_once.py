"""Every n-th key belongs to a piece; all pieces are merged at once, by a softmax of their logsumexps."""

import math

import torch


def merge_attention(o1, lse1, o2, lse2):
    return _merge(torch.stack([o1, o2]), torch.stack([lse1, lse2]))


def _merge(outs, sums):
    top = sums.max(dim=0).values
    top = top.masked_fill(top == -math.inf, 0)
    mass = (sums - top).exp()
    total = mass.sum(0)
    shares = mass / total.clamp(min=1e-30)
    return torch.einsum("p...,p...d->...d", shares, outs.to(sums.dtype)).to(outs.dtype), total.log() + top


def decode_split(q, k, v, n_splits):
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    outs, sums = [], []
    for n in range(n_splits):
        s = torch.einsum("bhid,bhjd->bhij", q.to(dtype), k[:, :, n::n_splits].to(dtype)) / q.shape[-1] ** 0.5
        sums.append(torch.logsumexp(s, dim=-1))
        outs.append(torch.exp(s - sums[-1][..., None]) @ v[:, :, n::n_splits].to(dtype))
    o, lse = _merge(torch.stack(outs), torch.stack(sums))
    return o.to(q.dtype), lse
