"""Reference of the page `embedding`: a product with one-hot rows, positions from the reference of page 1."""

import math

import torch
from torch import Tensor, nn


class _Table(nn.Module):
    def __init__(self, vocab: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocab, d_model))


class TransformerEmbedding(nn.Module):
    """Without dropout: what eval mode gives."""

    def __init__(self, vocab, d_model, max_len, pad_id=None, dropout=0.0):
        super().__init__()
        self.token = _Table(vocab, d_model)
        self.max_len, self.pad_id = max_len, pad_id

    def forward(self, ids: Tensor) -> Tensor:
        if ids.shape[1] > self.max_len:
            raise ValueError(f"{ids.shape[1]} tokens do not fit into {self.max_len} positions")
        weight = self.token.weight
        vocab, d_model = weight.shape
        one_hot = (ids[..., None] == torch.arange(vocab)).to(weight.dtype)
        if self.pad_id is not None:
            one_hot[..., self.pad_id] = 0  # nothing of the row comes out, so nothing comes back
        angles = [[t / 10_000 ** ((c - c % 2) / d_model) for c in range(d_model)] for t in range(ids.shape[1])]
        sines = [[(math.cos if c % 2 else math.sin)(a) for c, a in enumerate(row)] for row in angles]
        position = torch.tensor(sines, dtype=torch.float64).reshape(ids.shape[1], d_model)
        return d_model**0.5 * torch.einsum("btv,vd->btd", one_hot, weight) + position.to(weight.dtype)
