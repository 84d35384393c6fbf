"""A parameter for each row, in an nn.ParameterList."""

import torch
from torch import nn


class LearnedPositionalEmbedding(nn.Module):
    def __init__(self, max_len, d_model):
        super().__init__()
        self.rows = nn.ParameterList(nn.Parameter(0.02 * torch.randn(d_model)) for _ in range(max_len))

    def load_reference(self, state_dict):
        with torch.no_grad():
            for row, values in zip(self.rows, state_dict["weight"], strict=True):
                row.copy_(values)

    def forward(self, x, offset=0):
        end = offset + x.shape[1]
        if offset < 0 or end > len(self.rows):
            raise ValueError("no such position")
        if end == offset:
            return x.clone()
        return x + torch.stack([self.rows[p] for p in range(offset, end)])
