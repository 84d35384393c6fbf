"""One number at a time with the math module; the bias by nn.Embedding, filled by load_reference."""

import math

import torch
from torch import nn


def one(rel, bidirectional, num_buckets, max_distance):
    start, count, n = 0, num_buckets, -rel
    if bidirectional:
        count //= 2
        if rel > 0:
            start, n = count, rel
    n = max(n, 0)
    exact = count // 2
    if n < exact:
        return start + n
    step = int(exact + math.log(n / exact) / math.log(max_distance / exact) * (count - exact))
    return start + min(step, count - 1)


def relative_position_bucket(rel, bidirectional, num_buckets=32, max_distance=128):
    found = [one(r, bidirectional, num_buckets, max_distance) for r in rel.reshape(-1).tolist()]
    return torch.tensor(found, dtype=torch.long).reshape(rel.shape)


class RelativeBias(nn.Module):
    def __init__(self, num_buckets, max_distance, H, bidirectional):
        super().__init__()
        self.options = dict(bidirectional=bidirectional, num_buckets=num_buckets, max_distance=max_distance)
        self.table = nn.Embedding(num_buckets, H)

    def load_reference(self, state_dict):
        self.table.load_state_dict(state_dict)

    def forward(self, Tq, Tk, offset=0):
        query = torch.arange(offset, offset + Tq).view(-1, 1)
        key = torch.arange(Tk).view(1, -1)
        bucket = relative_position_bucket(key - query, **self.options)
        return self.table(bucket).permute(2, 0, 1).unsqueeze(0)
