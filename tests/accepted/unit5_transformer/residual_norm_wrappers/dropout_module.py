"""nn.Dropout as a part, one branch for each formula."""

from torch import nn


class Residual(nn.Module):
    def __init__(self, sublayer, norm, norm_first, dropout=0.0):
        super().__init__()
        self.f = sublayer
        self.n = norm
        self.drop = nn.Dropout(dropout)
        self.pre = norm_first

    def forward(self, x, **options):
        if self.pre:
            return x + self.drop(self.f(self.n(x), **options))
        return self.n(x + self.drop(self.f(x, **options)))
