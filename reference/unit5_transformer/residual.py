"""Reference of the page `residual`: the two formulas as they stand. Without dropout."""

from torch import nn


class Residual(nn.Module):
    """What eval mode gives."""

    def __init__(self, sublayer, norm, norm_first, dropout=0.0):
        super().__init__()
        self.sublayer, self.norm, self.norm_first = sublayer, norm, norm_first

    def forward(self, x, **kwargs):
        if self.norm_first:
            return self.sublayer(self.norm(x), **kwargs) + x
        return self.norm(self.sublayer(x, **kwargs) + x)
