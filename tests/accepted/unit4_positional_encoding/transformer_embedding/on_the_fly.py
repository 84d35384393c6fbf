"""Sines made anew in every call, in the dtype of the table; F.embedding with the scale folded in; own module."""

import torch
import torch.nn.functional as F
from torch import nn

from autograder.given import sinusoidal_encoding


class Table(nn.Module):
    def __init__(self, vocab, d_model, pad_id):
        super().__init__()
        self.pad_id = pad_id
        self.weight = nn.Parameter(torch.randn(vocab, d_model) * d_model**-0.5)
        if pad_id is not None:
            self.weight.data[pad_id] = 0

    def forward(self, ids):
        return F.embedding(ids, self.weight, padding_idx=self.pad_id)


class TransformerEmbedding(nn.Module):
    def __init__(self, vocab, d_model, max_len, pad_id=None, dropout=0.0):
        super().__init__()
        self.token, self.max_len, self.p = Table(vocab, d_model, pad_id), max_len, dropout

    def forward(self, ids):
        if ids.size(1) > self.max_len:
            raise ValueError(f"at most {self.max_len} tokens")
        x = self.token(ids)
        sines = sinusoidal_encoding(ids.size(1), x.size(-1)).to(x)
        return F.dropout(x * x.size(-1) ** 0.5 + sines, p=self.p, training=self.training)
