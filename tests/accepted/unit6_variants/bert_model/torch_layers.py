"""Attention and network written with torch's functions; padding gets a large negative score, in float64 large enough.

A row of padding attends to everything, which is finite as well.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Part(nn.Module):
    """Only a place for parameters."""


class Layer(nn.Module):
    def __init__(self, d, heads, d_ff):
        super().__init__()
        self.heads = heads
        self.self_attn, self.ffn = Part(), Part()
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self.self_attn, name, nn.Linear(d, d))
        self.ffn.fc1, self.ffn.fc2 = nn.Linear(d, d_ff), nn.Linear(d_ff, d)
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-12), nn.LayerNorm(d, eps=1e-12)

    def forward(self, x, bias):
        parts = self.self_attn
        B, T, D = x.shape
        q, k, v = (
            f(x).view(B, T, self.heads, D // self.heads).transpose(1, 2)
            for f in (parts.q_proj, parts.k_proj, parts.v_proj)
        )
        scores = torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(D // self.heads) + bias
        out = torch.einsum("bhij,bhjd->bihd", scores.softmax(-1), v).reshape(B, T, D)
        x = self.norm1(x + parts.out_proj(out))
        return self.norm2(x + self.ffn.fc2(F.gelu(self.ffn.fc1(x))))


class Embed(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.tokens = nn.Embedding(cfg["vocab"], cfg["d"], cfg["pad_id"])
        self.positions = nn.Embedding(cfg["max_len"], cfg["d"])
        self.segments = nn.Embedding(cfg["n_segments"], cfg["d"])
        self.norm = nn.LayerNorm(cfg["d"], eps=1e-12)


class Bert(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.embeddings = Embed(cfg)
        self.layers = nn.Sequential(*[Layer(cfg["d"], cfg["n_heads"], cfg["d_ff"]) for _ in range(cfg["n_layers"])])
        self.pooler, self.transform = nn.Linear(cfg["d"], cfg["d"]), nn.Linear(cfg["d"], cfg["d"])
        self.transform_norm = nn.LayerNorm(cfg["d"], eps=1e-12)
        self.decoder = nn.Linear(cfg["d"], cfg["vocab"])
        self.embeddings.tokens.weight = self.decoder.weight
        self.nsp = nn.Linear(cfg["d"], 2)

    def forward(self, ids, segments=None, mask=None):
        e, T = self.embeddings, ids.shape[1]
        if e.positions.num_embeddings < T:
            raise ValueError("too long")
        segments = torch.zeros_like(ids) if segments is None else segments
        x = e.norm(e.tokens(ids) + e.positions(torch.arange(T)) + e.segments(segments))
        bias = 0.0 if mask is None else (~mask)[:, None, None].to(x.dtype) * torch.finfo(x.dtype).min
        for layer in self.layers:
            x = layer(x, bias)
        pooled = torch.tanh(self.pooler(x[:, 0]))
        return x, pooled, self.decoder(self.transform_norm(F.gelu(self.transform(x)))), self.nsp(pooled)
