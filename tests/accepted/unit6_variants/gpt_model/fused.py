"""Fused queries, keys and values, the library's attention and norms, the embeddings as bare parameters."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.network = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU("tanh"), nn.Linear(4 * d, d))

    def load(self, sd, prefix):
        names = {"first": "norm1", "second": "norm2", "out": "self_attn.out_proj"}
        for kind in ("weight", "bias"):
            for mine, theirs in names.items():
                getattr(getattr(self, mine), kind).copy_(sd[f"{prefix}{theirs}.{kind}"])
            getattr(self.qkv, kind).copy_(torch.cat([sd[f"{prefix}self_attn.{n}_proj.{kind}"] for n in "qkv"]))
            getattr(self.network[0], kind).copy_(sd[f"{prefix}ffn.fc1.{kind}"])
            getattr(self.network[2], kind).copy_(sd[f"{prefix}ffn.fc2.{kind}"])

    def forward(self, x, attend):
        B, T, D = x.shape
        q, k, v = self.qkv(self.first(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = x + self.out(attend(q, k, v).transpose(1, 2).reshape(B, T, D))
        return x + self.network(self.second(x))


class GPT(nn.Module):
    def __init__(self, vocab, block, d, n_layer, n_head):
        super().__init__()
        self.block = block
        self.table = nn.Parameter(0.02 * torch.randn(vocab, d))
        self.places = nn.Parameter(0.02 * torch.randn(block, d))
        self.blocks = nn.ModuleList([Block(d, n_head) for _ in range(n_layer)])
        self.last = nn.LayerNorm(d)

    def load_reference(self, sd):
        with torch.no_grad():
            self.table.copy_(sd["embed.weight"])
            self.places.copy_(sd["position.weight"])
            self.last.weight.copy_(sd["norm.weight"])
            self.last.bias.copy_(sd["norm.bias"])
            for i, block in enumerate(self.blocks):
                block.load(sd, f"layers.{i}.")

    def forward(self, ids, targets=None, past=None, positions=None):
        T = ids.shape[1]
        if self.block < T:
            raise ValueError("the text is too long")
        places = self.places[:T] if positions is None else self.places[positions]
        x = self.table[ids] + places
        for i, block in enumerate(self.blocks):

            def attend(q, k, v, i=i):
                if past is not None:
                    return past(i, q, k, v)
                return F.scaled_dot_product_attention(q, k, v, is_causal=True)

            x = block(x, attend)
        logits = self.last(x) @ self.table.T
        if targets is not None:
            return logits, F.cross_entropy(logits.transpose(1, 2), targets)
        return logits, past
