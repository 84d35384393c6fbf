"""nn.Embedding inside, filled by load_reference; positions as indices."""

import torch
from torch import nn


class LearnedPositionalEmbedding(nn.Module):
    def __init__(self, max_len, d_model):
        super().__init__()
        self.table = nn.Embedding(max_len, d_model)
        nn.init.normal_(self.table.weight, std=0.02)

    def load_reference(self, state_dict):
        self.table.load_state_dict(state_dict)

    def forward(self, x, offset=0):
        if offset < 0 or offset + x.size(1) > self.table.num_embeddings:
            raise ValueError("the text is longer than the table")
        positions = torch.arange(offset, offset + x.size(1), device=x.device)
        return x + self.table(positions).unsqueeze(0)
