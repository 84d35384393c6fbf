"""Positions as a buffer of numbers and three modules of torch."""

import torch
from torch import nn


class TooLong(ValueError):
    pass


class BertEmbeddings(nn.Module):
    def __init__(self, vocab, d, max_len, n_segments=2, pad_id=0, eps=1e-12):
        super().__init__()
        self.tokens = nn.Embedding(vocab, d, padding_idx=pad_id)
        self.positions = nn.Embedding(max_len, d)
        self.segments = nn.Embedding(n_segments, d)
        self.norm = nn.LayerNorm(d, eps=eps)
        self.register_buffer("numbers", torch.arange(max_len), persistent=False)

    def forward(self, ids, segments=None):
        numbers = self.numbers[: ids.shape[1]].expand(ids.shape[0], -1)
        if numbers.shape != ids.shape:
            raise TooLong(tuple(ids.shape))
        out = self.segments(ids.new_zeros(ids.shape) if segments is None else segments)
        out = out + self.tokens(ids)
        return self.norm(out + self.positions(numbers))
