"""Parameters of shape (H, Dh, D), filled by load_reference; einsum; the output is a sum over heads."""

import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, n_heads, d_kv=None, bias=True, dropout=0.0):
        super().__init__()
        if d_model % n_heads:
            raise ValueError("n_heads must divide d_model")
        self.shape = (n_heads, d_model // n_heads)
        widths = {"q": d_model, "k": d_kv or d_model, "v": d_kv or d_model}
        self.weights = nn.ParameterDict({n: torch.randn(*self.shape, w) / w**0.5 for n, w in widths.items()})
        self.biases = nn.ParameterDict({n: torch.zeros(*self.shape) for n in widths} if bias else {})
        self.mix = nn.Parameter(torch.randn(*self.shape, d_model) / d_model**0.5)
        self.shift = nn.Parameter(torch.zeros(d_model)) if bias else None
        self.drop = nn.Dropout(dropout)

    def load_reference(self, state_dict):
        self.to(state_dict["q_proj.weight"].dtype)
        with torch.no_grad():
            for n, p in self.weights.items():
                p.copy_(state_dict[f"{n}_proj.weight"].reshape(p.shape))
            for n, p in self.biases.items():
                p.copy_(state_dict[f"{n}_proj.bias"].reshape(p.shape))
            self.mix.copy_(state_dict["out_proj.weight"].T.reshape(self.mix.shape))
            if self.shift is not None:
                self.shift.copy_(state_dict["out_proj.bias"])

    def project(self, x, n):
        y = torch.einsum("btd,hkd->bhtk", x, self.weights[n])
        return y + self.biases[n][:, None] if n in self.biases else y

    def forward(self, query, key=None, value=None, mask=None, need_weights=False):
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = self.project(query, "q"), self.project(key, "k"), self.project(value, "v")
        scores = torch.einsum("bhik,bhjk->bhij", q, k) * self.shape[1] ** -0.5
        if mask is not None:
            scores = scores.where(mask, float("-inf"))
        weights = scores.softmax(-1)
        if mask is not None:
            weights = weights.where(mask.any(-1, keepdim=True), 0.0)
        out = torch.einsum("bhij,bhjk,hkd->bid", self.drop(weights), v, self.mix)
        out = out if self.shift is None else out + self.shift
        return (out, weights) if need_weights else out
