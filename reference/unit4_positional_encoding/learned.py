"""Reference of the page `learned`: a product with one-hot rows."""

import torch
from torch import Tensor, nn


class LearnedPositionalEmbedding(nn.Module):
    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(max_len, d_model))

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """one_hot @ weight, with a row of ones and zeros for each token."""
        positions = [offset + t for t in range(x.shape[1])]
        max_len = self.weight.shape[0]
        if offset < 0 or offset + x.shape[1] > max_len:
            raise ValueError(f"position {offset + x.shape[1]} is not in the table")
        one_hot = torch.zeros(len(positions), max_len, dtype=x.dtype)
        for t, p in enumerate(positions):
            one_hot[t, p] = 1.0
        return x + torch.einsum("tp,pd->td", one_hot, self.weight)
