"""Reference of the page `feed_forward`: einsum, and the activations from their formulas. Without dropout."""

import math

import torch
from torch import nn


def _linear(x, weight, bias=None):
    y = torch.einsum("...i,oi->...o", x, weight)
    return y if bias is None else y + bias


def _activate(a, name):
    if name == "relu":
        return (a + a.abs()) / 2
    if name == "gelu":
        return a * (1 - torch.special.erfc(a / math.sqrt(2)) / 2)
    inner = math.sqrt(2 / math.pi) * (a + 0.044715 * a * a * a)
    return a * (1 - 1 / (1 + torch.exp(2 * inner)))


class FeedForward(nn.Module):
    """What eval mode gives."""

    def __init__(self, d_model, d_ff, activation="relu", dropout=0.0):
        super().__init__()
        if activation not in {"relu", "gelu", "gelu_tanh"}:
            raise ValueError(activation)
        self.kind = activation
        self.fc1, self.fc2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)

    def forward(self, x):
        hidden = _activate(_linear(x, self.fc1.weight, self.fc1.bias), self.kind)
        return _linear(hidden, self.fc2.weight, self.fc2.bias)


class SwiGLU(nn.Module):
    """Computed in float64 and rounded once, at the end."""

    def __init__(self, d_model, d_ff):
        super().__init__()
        self.w1, self.w3 = (nn.Linear(d_model, d_ff, bias=False) for _ in range(2))
        self.w2 = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x):
        gate, content = (_linear(x.double(), w.weight.double()) for w in (self.w1, self.w3))
        passed = content * gate * (0.5 + 0.5 * torch.tanh(gate / 2))
        return _linear(passed, self.w2.weight.double()).to(x.dtype)
