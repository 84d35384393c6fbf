"""Reference of the page `encoder`: one head at a time, the two formulas written out. Without dropout."""

import math

import torch
from torch import nn


class _Norm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias


class _Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d, d) for _ in range(4))

    def forward(self, x, mask):
        B, S, D = x.shape
        allowed = torch.ones(B, self.heads, S, S, dtype=torch.bool)
        if mask is not None:
            allowed = allowed & mask
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        found = []
        for h in range(self.heads):
            cut = slice(h * D // self.heads, (h + 1) * D // self.heads)
            scores = torch.einsum("bid,bjd->bij", q[..., cut], k[..., cut]) / math.sqrt(D / self.heads)
            share = torch.exp(scores - scores.detach().amax(-1, keepdim=True)) * allowed[:, h]
            total = share.sum(-1, keepdim=True)
            found.append(torch.einsum("bij,bjd->bid", share / (total + (total == 0)), v[..., cut]))
        return self.out_proj(torch.cat(found, dim=-1))


class _Network(nn.Module):
    def __init__(self, d, d_ff, activation):
        super().__init__()
        self.kind = activation
        self.fc1, self.fc2 = nn.Linear(d, d_ff), nn.Linear(d_ff, d)

    def forward(self, x):
        a = self.fc1(x)
        if self.kind == "relu":
            return self.fc2(a * (a > 0))
        if self.kind == "gelu":
            return self.fc2(a * (1 + torch.erf(a / math.sqrt(2))) / 2)
        return self.fc2(a * (1 + torch.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))) / 2)


class EncoderLayer(nn.Module):
    """What eval mode gives."""

    def __init__(self, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu"):
        super().__init__()
        self.pre = norm_first
        self.self_attn, self.ffn = _Attention(d_model, n_heads), _Network(d_model, d_ff, activation)
        self.norm1, self.norm2 = _Norm(d_model), _Norm(d_model)

    def forward(self, x, mask=None):
        if self.pre:
            y = x + self.self_attn(self.norm1(x), mask)
            return y + self.ffn(self.norm2(y))
        y = self.norm1(x + self.self_attn(x, mask))
        return self.norm2(y + self.ffn(y))


class Encoder(nn.Module):
    """What eval mode gives."""

    def __init__(
        self, n_layers, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu", final_norm=False
    ):
        super().__init__()
        made = {str(i): EncoderLayer(d_model, n_heads, d_ff, dropout, norm_first, activation) for i in range(n_layers)}
        self.layers = nn.ModuleDict(made)
        if final_norm:
            self.norm = _Norm(d_model)
        self.ends_with_norm = final_norm

    def forward(self, x, mask=None):
        for layer in self.layers.values():
            x = layer(x, mask)
        return self.norm(x) if self.ends_with_norm else x
