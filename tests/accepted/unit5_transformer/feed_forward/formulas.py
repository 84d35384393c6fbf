"""Plain parameters, (in, out) inside, the activations by their formulas, dropout by a mask of its own."""

import math

import torch
from torch import nn


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff, activation="relu", dropout=0.0):
        super().__init__()
        if activation not in ("relu", "gelu", "gelu_tanh"):
            raise ValueError("activation")
        self.activation, self.p = activation, dropout
        self.w1 = nn.Parameter(torch.randn(d_model, d_ff) / d_model**0.5)
        self.w2 = nn.Parameter(torch.randn(d_ff, d_model) / d_ff**0.5)
        self.b1, self.b2 = nn.Parameter(torch.zeros(d_ff)), nn.Parameter(torch.zeros(d_model))

    def load_reference(self, sd):
        with torch.no_grad():
            self.w1.copy_(sd["fc1.weight"].T)
            self.w2.copy_(sd["fc2.weight"].T)
            self.b1.copy_(sd["fc1.bias"])
            self.b2.copy_(sd["fc2.bias"])

    def act(self, a):
        if self.activation == "relu":
            return a.clamp(min=0)
        if self.activation == "gelu":
            return 0.5 * a * (1 + torch.erf(a / math.sqrt(2)))
        return 0.5 * a * (1 + torch.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3)))

    def forward(self, x):
        h = self.act(x @ self.w1 + self.b1)
        if self.training and self.p > 0:
            h = h * (torch.rand(h.shape) >= self.p) / (1 - self.p)
        return h @ self.w2 + self.b2
