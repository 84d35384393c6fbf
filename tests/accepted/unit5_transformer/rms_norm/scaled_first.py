"""Everything in float64 with einsum; the parameter has another name and shape, filled by load_reference."""

import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, d, eps=1e-6):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, d))
        self.eps = eps

    def load_reference(self, state_dict):
        with torch.no_grad():
            self.scale.copy_(state_dict["weight"].unsqueeze(0))

    def forward(self, x):
        wide = x.to(torch.float64)
        power = torch.einsum("...d,...d->...", wide, wide).div(x.shape[-1]).add(self.eps)
        return (wide * self.scale[0].double() / power.sqrt().unsqueeze(-1)).to(x.dtype)
