"""Gate and content from one matrix, cut in two."""

import torch
import torch.nn.functional as F
from torch import nn


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.both = nn.Linear(d_model, 2 * d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def load_reference(self, state_dict):
        with torch.no_grad():
            self.both.weight.copy_(torch.cat([state_dict["w1.weight"], state_dict["w3.weight"]]))
            self.down.weight.copy_(state_dict["w2.weight"])

    def forward(self, x):
        gate, content = self.both(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * content)
