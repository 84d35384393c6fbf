"""Fused queries, keys and values as bare matrices, the library's attention with one additive mask, its RMSNorm."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class T5Block(nn.Module):
    def __init__(self, d, d_kv, H, d_ff, is_decoder):
        super().__init__()
        self.H, self.d_kv, self.is_decoder = H, d_kv, is_decoder
        self.norms = nn.ModuleList(nn.RMSNorm(d, eps=1e-6) for _ in range(2 + is_decoder))
        self.qkv = nn.Parameter(torch.zeros(3 * H * d_kv, d))
        self.out = nn.Parameter(torch.zeros(d, H * d_kv))
        if is_decoder:
            self.cross_q = nn.Parameter(torch.zeros(H * d_kv, d))
            self.cross_kv = nn.Parameter(torch.zeros(2 * H * d_kv, d))
            self.cross_out = nn.Parameter(torch.zeros(d, H * d_kv))
        self.up, self.down = nn.Linear(d, d_ff, bias=False), nn.Linear(d_ff, d, bias=False)

    def load_reference(self, sd):
        with torch.no_grad():
            for i, norm in enumerate(self.norms):
                norm.weight.copy_(sd[f"norm{i + 1}.weight"])
            self.qkv.copy_(torch.cat([sd[f"self_attn.{n}_proj.weight"] for n in "qkv"]))
            self.out.copy_(sd["self_attn.out_proj.weight"])
            if self.is_decoder:
                self.cross_q.copy_(sd["cross_attn.q_proj.weight"])
                self.cross_kv.copy_(torch.cat([sd[f"cross_attn.{n}_proj.weight"] for n in "kv"]))
                self.cross_out.copy_(sd["cross_attn.out_proj.weight"])
            self.up.weight.copy_(sd["ffn.fc1.weight"])
            self.down.weight.copy_(sd["ffn.fc2.weight"])

    def heads(self, x):
        return x.view(*x.shape[:2], self.H, self.d_kv).transpose(1, 2)

    def mix(self, q, k, v, added, allowed, out):
        q = q * math.sqrt(self.d_kv)  # the library divides
        B, H, T, S = len(q), self.H, q.shape[2], k.shape[2]
        empty = None
        if allowed is not None:
            added = added.expand(B, H, T, S).masked_fill(~allowed, float("-inf"))
            empty = ~allowed.any(-1, keepdim=True)
            added = added.masked_fill(empty, 0.0)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=added)
        if empty is not None:
            found = found.masked_fill(empty, 0.0)
        return found.transpose(1, 2).flatten(2) @ out.T

    def forward(self, x, bias, memory=None, mask=None, memory_mask=None):
        T = x.shape[1]
        if self.is_decoder:
            late = torch.ones(T, T).triu(1).bool()
            mask = ~late if mask is None else mask & ~late
        q, k, v = (self.heads(t) for t in (self.norms[0](x) @ self.qkv.T).chunk(3, dim=-1))
        x = x + self.mix(q, k, v, bias, mask, self.out)
        if self.is_decoder:
            q = self.heads(self.norms[1](x) @ self.cross_q.T)
            k, v = (self.heads(t) for t in (memory @ self.cross_kv.T).chunk(2, dim=-1))
            x = x + self.mix(q, k, v, torch.zeros(1, 1, dtype=x.dtype), memory_mask, self.cross_out)
        return x + self.down(self.up(self.norms[-1](x)).clamp(min=0))
