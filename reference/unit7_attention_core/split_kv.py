"""Reference of the page `split_kv`: weights of a softmax over two logsumexps; the whole cache at once."""

import math

import torch
from torch import Tensor


def merge_attention(o1: Tensor, lse1: Tensor, o2: Tensor, lse2: Tensor) -> tuple[Tensor, Tensor]:
    """The two logsumexps side by side are the scores of two keys whose values are the outputs."""
    both = torch.stack([lse1, lse2], dim=-1)
    lse = torch.logaddexp(lse1, lse2)
    shares = torch.softmax(both.masked_fill(both.isneginf(), torch.finfo(both.dtype).min / 4), dim=-1)
    shares = shares.masked_fill(both.isneginf(), 0.0)
    values = torch.stack([o1, o2], dim=-2).to(both.dtype)
    return torch.einsum("...p,...pd->...d", shares, values).to(o1.dtype), lse


def decode_split(q: Tensor, k: Tensor, v: Tensor, n_splits: int) -> tuple[Tensor, Tensor]:
    """No pieces: the table of scores has one row."""
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    scores = torch.einsum("bhid,bhjd->bhij", q.to(wide), k.to(wide)) * q.shape[-1] ** -0.5
    lse = torch.logsumexp(scores, dim=-1) if k.shape[2] else torch.full(q.shape[:-1], -math.inf, dtype=wide)
    weights = torch.exp(scores - lse[..., None])
    return torch.einsum("bhij,bhjd->bhid", weights, v.to(wide)).to(q.dtype), lse
