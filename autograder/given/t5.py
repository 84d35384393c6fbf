"""The positions of unit 4 and the norm of unit 5 that T5 is built with."""

import math

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """The norm of unit 5, over the last axis; `weight` (d,) is its only parameter.

    Written with mean and square root, so that a page may forbid torch's own; float16 and bfloat16 are squared in
    float32. Source: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4.
    """

    def __init__(self, d: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d): weight · x / √(mean(x²) + eps)."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        normed = wide / torch.sqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        return normed.to(x.dtype) * self.weight


def relative_position_bucket(
    rel: Tensor, bidirectional: bool, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    """The bucket (int64, 0 ... num_buckets - 1) of each relative position, key minus query, as in unit 4.

    With `bidirectional` the upper half of the buckets is for the future; without, the future is in bucket 0.
    Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1, and its code for the formula.
    """
    per_direction = num_buckets // 2 if bidirectional else num_buckets
    distance = rel.abs() if bidirectional else (-rel).clamp(min=0)
    exact = per_direction // 2
    share = torch.log(distance.clamp(min=exact) / exact) / math.log(max_distance / exact)
    far = (exact + (share * (per_direction - exact)).long()).clamp(max=per_direction - 1)
    bucket = torch.where(distance < exact, distance, far)
    return bucket + per_direction * (rel > 0) if bidirectional else bucket


class RelativeBias(nn.Module):
    """The learned bias of unit 4: `weight` (num_buckets, H) is its only parameter.

    Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1.
    """

    def __init__(self, num_buckets: int, max_distance: int, H: int, bidirectional: bool) -> None:
        super().__init__()
        self.num_buckets, self.max_distance, self.bidirectional = num_buckets, max_distance, bidirectional
        self.weight = nn.Parameter(torch.zeros(num_buckets, H))

    def forward(self, Tq: int, Tk: int, offset: int = 0) -> Tensor:
        """(1, H, Tq, Tk), to be added to scores; query i stands at position offset + i, key j at position j."""
        query = offset + torch.arange(Tq, device=self.weight.device)
        rel = torch.arange(Tk, device=self.weight.device) - query[:, None]
        bucket = relative_position_bucket(rel, self.bidirectional, self.num_buckets, self.max_distance)
        return self.weight[bucket].permute(2, 0, 1)[None]
