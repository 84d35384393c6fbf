"""The gated feed-forward network of unit 5."""

import torch
from torch import Tensor, nn


class SwiGLU(nn.Module):
    """w2(silu(w1(x)) · w3(x)), without biases: `w1` (the gate), `w3` (the content) and `w2` are its layers.

    Args:
        d_model: D, the width of input and output. d_ff: F, the number of gates.
    Source: Shazeer 2020, arXiv:2002.05202.
    """

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(d_model, d_ff, bias=False)
        self.w2 = nn.Linear(d_ff, d_model, bias=False)
        self.w3 = nn.Linear(d_model, d_ff, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) -> (..., d_model), every token by itself."""
        out: Tensor = self.w2(torch.nn.functional.silu(self.w1(x)) * self.w3(x))
        return out
