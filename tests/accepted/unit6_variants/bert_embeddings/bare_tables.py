"""Plain parameters, indexed; the pad row is detached by hand; torch's layer norm."""

import torch
import torch.nn.functional as F
from torch import nn


class BertEmbeddings(nn.Module):
    def __init__(self, vocab, d, max_len, n_segments=2, pad_id=0, eps=1e-12):
        super().__init__()
        self.pad, self.eps = pad_id, eps
        self.E = nn.Parameter(torch.randn(vocab, d) / 50)
        self.P = nn.Parameter(torch.randn(max_len, d) / 50)
        self.S = nn.Parameter(torch.randn(n_segments, d) / 50)
        self.gain, self.shift = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def load_reference(self, state_dict):
        names = {"tokens.weight": "E", "positions.weight": "P", "segments.weight": "S"}
        names |= {"norm.weight": "gain", "norm.bias": "shift"}
        self.load_state_dict({names[name]: value for name, value in state_dict.items()})

    def forward(self, ids, segments=None):
        length = ids.size(1)
        if length > len(self.P):
            raise ValueError("more tokens than positions")
        words = torch.where((ids == self.pad)[..., None], self.E[ids].detach(), self.E[ids])
        parts = self.S[0] if segments is None else self.S[segments]
        return F.layer_norm(words + self.P[None, :length] + parts, self.gain.shape, self.gain, self.shift, self.eps)
