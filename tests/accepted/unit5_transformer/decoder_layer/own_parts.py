"""No part of the kit: torch's attention function, raw parameters in two dictionaries, filled by load_reference."""

import torch
import torch.nn.functional as F
from torch import nn


class DecoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu"):
        super().__init__()
        self.heads, self.p, self.pre, self.d = n_heads, dropout, norm_first, d_model
        self.activation = {
            "relu": F.relu,
            "gelu": F.gelu,
            "gelu_tanh": lambda h: F.gelu(h, approximate="tanh"),
        }[activation]
        shapes = {"up": (d_ff, d_model), "down": (d_model, d_ff)}
        for where in ("self", "cross"):
            shapes |= {f"{where}_in": (3 * d_model, d_model), f"{where}_out": (d_model, d_model)}
        self.weights = nn.ParameterDict({name: torch.randn(shape) / shape[1] ** 0.5 for name, shape in shapes.items()})
        self.shifts = nn.ParameterDict({name: torch.zeros(shape[0]) for name, shape in shapes.items()})
        self.gains = nn.ParameterList([torch.ones(d_model) for _ in range(3)])
        self.offsets = nn.ParameterList([torch.zeros(d_model) for _ in range(3)])

    def load_reference(self, state):
        with torch.no_grad():
            for kind, target in (("weight", self.weights), ("bias", self.shifts)):
                for where in ("self", "cross"):
                    parts = [state[f"{where}_attn.{n}_proj.{kind}"] for n in "qkv"]
                    target[f"{where}_in"].copy_(torch.cat(parts))
                    target[f"{where}_out"].copy_(state[f"{where}_attn.out_proj.{kind}"])
                target["up"].copy_(state[f"ffn.fc1.{kind}"])
                target["down"].copy_(state[f"ffn.fc2.{kind}"])
            for n in range(3):
                self.gains[n].copy_(state[f"norm{n + 1}.weight"])
                self.offsets[n].copy_(state[f"norm{n + 1}.bias"])

    def linear(self, name, x, rows=slice(None)):
        return F.linear(x, self.weights[name][rows], self.shifts[name][rows])

    def attend(self, where, x, source, mask):
        q = self.linear(f"{where}_in", x, slice(self.d))
        k, v = self.linear(f"{where}_in", source, slice(self.d, None)).chunk(2, dim=-1)
        q, k, v = (t.reshape(*t.shape[:2], self.heads, -1).transpose(1, 2) for t in (q, k, v))
        if mask is not None:
            mask = mask.expand(q.shape[0], self.heads, q.shape[2], k.shape[2])
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.linear(f"{where}_out", heads.transpose(1, 2).reshape(x.shape))

    def norm(self, n, x):
        return F.layer_norm(x, (self.d,), self.gains[n], self.offsets[n], 1e-5)

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        steps = [
            lambda y: self.attend("self", y, y, tgt_mask),
            lambda y: self.attend("cross", y, memory, memory_mask),
            lambda y: self.linear("down", self.activation(self.linear("up", y))),
        ]
        for n, step in enumerate(steps):
            gain = F.dropout(step(self.norm(n, x) if self.pre else x), self.p, self.training)
            x = x + gain if self.pre else self.norm(n, x + gain)
        return x
