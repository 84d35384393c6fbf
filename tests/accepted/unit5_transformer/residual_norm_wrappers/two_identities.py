"""The norm before or behind is an identity; dropout by a mask of its own."""

import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, sublayer, norm, norm_first, dropout=0.0):
        super().__init__()
        self.parts = nn.ModuleList([sublayer, norm])
        self.before, self.behind = (1, None) if norm_first else (None, 1)
        self.keep = 1.0 - dropout

    def apply_part(self, which, x):
        return x if which is None else self.parts[which](x)

    def forward(self, x, **kwargs):
        written = self.parts[0](self.apply_part(self.before, x), **kwargs)
        if self.training and self.keep < 1:
            written = torch.where(torch.rand_like(written) < self.keep, written / self.keep, 0.0)
        return self.apply_part(self.behind, x.add(written))
