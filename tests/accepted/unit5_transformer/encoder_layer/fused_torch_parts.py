"""Fused queries, keys and values, the library's attention, nn.LayerNorm; dropout inside too; no given parts."""

import torch
import torch.nn.functional as F
from torch import nn


class EncoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu"):
        super().__init__()
        self.heads, self.pre, self.p = n_heads, norm_first, dropout
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.up, self.down = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.act = {"relu": nn.ReLU(), "gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh")}[activation]
        self.norms = nn.ModuleList([nn.LayerNorm(d_model), nn.LayerNorm(d_model)])

    def load_reference(self, sd):
        with torch.no_grad():
            for kind in ("weight", "bias"):
                fused = torch.cat([sd[f"self_attn.{n}_proj.{kind}"] for n in "qkv"])
                getattr(self.qkv, kind).copy_(fused)
                getattr(self.out, kind).copy_(sd[f"self_attn.out_proj.{kind}"])
                getattr(self.up, kind).copy_(sd[f"ffn.fc1.{kind}"])
                getattr(self.down, kind).copy_(sd[f"ffn.fc2.{kind}"])
                for i, norm in enumerate(self.norms):
                    getattr(norm, kind).copy_(sd[f"norm{i + 1}.{kind}"])

    def drop(self, x):
        return F.dropout(x, self.p, self.training)

    def attention(self, x, mask):
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        p = self.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p)
        return self.drop(self.out(mixed.transpose(1, 2).flatten(2)))

    def network(self, x):
        return self.drop(self.down(self.drop(self.act(self.up(x)))))

    def forward(self, x, mask=None):
        for norm, f in zip(self.norms, (lambda t: self.attention(t, mask), self.network), strict=True):
            x = x + f(norm(x)) if self.pre else norm(x + f(x))
        return x
