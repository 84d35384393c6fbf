"""Float32 throughout, logarithm of two, one-hot product with the table; only the needed distances are looked up."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def relative_position_bucket(rel, bidirectional, num_buckets=32, max_distance=128):
    result = torch.zeros_like(rel)
    if bidirectional:
        num_buckets //= 2
        result += torch.where(rel > 0, num_buckets, 0)
        distance = torch.abs(rel)
    else:
        distance = -torch.minimum(rel, torch.zeros_like(rel))
    exact = num_buckets // 2
    large = torch.log2(distance.float() / exact) / math.log2(max_distance / exact) * (num_buckets - exact)
    large = torch.clamp(exact + large.clamp(min=0).to(torch.int64), max=num_buckets - 1)
    return result + torch.where(distance < exact, distance, large)


class RelativeBias(nn.Module):
    def __init__(self, num_buckets, max_distance, H, bidirectional):
        super().__init__()
        self.bidirectional, self.max_distance = bidirectional, max_distance
        self.weight = nn.Parameter(torch.randn(num_buckets, H))

    def forward(self, Tq, Tk, offset=0):
        lowest, highest = -(offset + Tq - 1), Tk - 1 - offset
        line = torch.arange(lowest, highest + 1)
        count = self.weight.shape[0]
        bucket = relative_position_bucket(line, self.bidirectional, count, self.max_distance)
        values = F.one_hot(bucket, count).to(self.weight.dtype) @ self.weight  # (Tq + Tk - 1, H)
        rows = [values[Tq - 1 - i : Tq - 1 - i + Tk] for i in range(Tq)]
        return torch.stack(rows).permute(2, 0, 1)[None]
