"""Matrices and vectors with names of their own, in a dictionary; whatever is loaded replaces what was there."""

import torch
import torch.nn.functional as F
from torch import nn


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff, activation="relu", dropout=0.0):
        super().__init__()
        if activation not in ("relu", "gelu", "gelu_tanh"):
            raise ValueError(activation)
        self.kind, self.p = activation, dropout
        self.parts = nn.ParameterDict(
            {
                "up": torch.randn(d_ff, d_model) / d_model**0.5,
                "up_shift": torch.zeros(d_ff),
                "down": torch.randn(d_model, d_ff) / d_ff**0.5,
                "down_shift": torch.zeros(d_model),
            }
        )

    def load_reference(self, state_dict):
        names = {"up": "fc1.weight", "up_shift": "fc1.bias", "down": "fc2.weight", "down_shift": "fc2.bias"}
        with torch.no_grad():
            for mine, theirs in names.items():
                self.parts[mine].copy_(state_dict[theirs])

    def forward(self, x):
        a = F.linear(x, self.parts["up"], self.parts["up_shift"])
        h = F.relu(a) if self.kind == "relu" else F.gelu(a, approximate="tanh" if "tanh" in self.kind else "none")
        if self.training and self.p:
            h = torch.where(torch.rand_like(h) < self.p, 0.0, h / (1 - self.p))
        return F.linear(h, self.parts["down"], self.parts["down_shift"])
