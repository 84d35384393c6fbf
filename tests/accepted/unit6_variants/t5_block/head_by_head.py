"""A class for attention with the canonical names, one head at a time; empty rows by exponentials and a sum."""

import torch
from torch import nn

from autograder.given import RMSNorm


class Attention(nn.Module):
    def __init__(self, d, d_kv, H):
        super().__init__()
        self.d_kv, self.H = d_kv, H
        self.q_proj = nn.Linear(d, H * d_kv, bias=False)
        self.k_proj = nn.Linear(d, H * d_kv, bias=False)
        self.v_proj = nn.Linear(d, H * d_kv, bias=False)
        self.out_proj = nn.Linear(H * d_kv, d, bias=False)

    def forward(self, x, source, bias=None, mask=None):
        B, T, S = len(x), x.shape[1], source.shape[1]
        mask = torch.ones(1, 1, T, S, dtype=torch.bool) if mask is None else mask
        mask = mask.expand(B, self.H, T, S)
        parts = []
        for h in range(self.H):
            mine = slice(h * self.d_kv, (h + 1) * self.d_kv)
            q, k, v = self.q_proj(x)[..., mine], self.k_proj(source)[..., mine], self.v_proj(source)[..., mine]
            scores = torch.einsum("btd,bsd->bts", q, k)
            if bias is not None:
                scores = scores + bias.expand(B, -1, -1, -1)[:, h]
            low = torch.finfo(x.dtype).min
            weights = torch.softmax(scores.masked_fill(~mask[:, h], low), dim=-1) * mask[:, h]
            parts.append(weights @ v)
        return self.out_proj(torch.cat(parts, dim=-1))


class Network(nn.Module):
    def __init__(self, d, d_ff):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, d_ff, bias=False), nn.Linear(d_ff, d, bias=False)

    def forward(self, x):
        return self.fc2(nn.functional.relu(self.fc1(x)))


class T5Block(nn.Module):
    def __init__(self, d, d_kv, H, d_ff, is_decoder):
        super().__init__()
        self.is_decoder = is_decoder
        self.norm1, self.self_attn, self.norm2 = RMSNorm(d), Attention(d, d_kv, H), RMSNorm(d)
        if is_decoder:
            self.cross_attn, self.norm3 = Attention(d, d_kv, H), RMSNorm(d)
        self.ffn = Network(d, d_ff)

    def forward(self, x, bias, memory=None, mask=None, memory_mask=None):
        if self.is_decoder:
            causal = torch.arange(x.shape[1])[:, None] >= torch.arange(x.shape[1])
            mask = causal[None, None] if mask is None else causal & mask
        inner = self.norm1(x)
        x = x + self.self_attn(inner, inner, bias, mask)
        if not self.is_decoder:
            return x + self.ffn(self.norm2(x))
        x = x + self.cross_attn(self.norm2(x), memory, mask=memory_mask)
        return x + self.ffn(self.norm3(x))
