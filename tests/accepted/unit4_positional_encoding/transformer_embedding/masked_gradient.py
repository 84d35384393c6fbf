"""The padding held at zero by multiplication; a persistent buffer made with loops; dropout as a mask."""

import math

import torch
from torch import nn


class TransformerEmbedding(nn.Module):
    def __init__(self, vocab, d_model, max_len, pad_id=None, dropout=0.0):
        super().__init__()
        self.token = nn.Embedding(vocab, d_model)
        self.pad_id, self.p = pad_id, dropout
        pe = torch.zeros(max_len, d_model, dtype=torch.float64)
        for t in range(max_len):
            for i in range(d_model // 2):
                angle = t / 10000 ** (2 * i / d_model)
                pe[t, 2 * i], pe[t, 2 * i + 1] = math.sin(angle), math.cos(angle)
        self.register_buffer("pe", pe.to(torch.get_default_dtype()))

    def forward(self, ids):
        length = ids.shape[1]
        if length > self.pe.shape[0]:
            raise ValueError("text too long")
        x = self.token(ids)
        if self.pad_id is not None:
            x = torch.where((ids == self.pad_id)[..., None], torch.zeros_like(x), x)
        x = x * math.sqrt(self.token.embedding_dim) + self.pe[None, :length]
        if self.training and self.p > 0:
            x = x * (torch.rand_like(x) >= self.p) / (1 - self.p)
        return x
