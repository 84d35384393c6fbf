"""Everything is written into one tensor, place by place; attention by torch's function; the kit's patches."""

import torch
import torch.nn.functional as F
from torch import nn

from autograder import given


class Block(nn.Module):
    def __init__(self, d, n_heads, d_ff):
        super().__init__()
        self.norm1, self.norm2 = given.LayerNorm(d, 1e-12), given.LayerNorm(d, 1e-12)
        self.self_attn = given.MultiHeadAttention(d, n_heads)
        self.ffn = nn.ModuleDict({"fc1": nn.Linear(d, d_ff), "fc2": nn.Linear(d_ff, d)})

    def forward(self, x):
        y = self.norm1(x)
        heads = self.self_attn.n_heads
        q, k, v = (
            getattr(self.self_attn, f"{name}_proj")(y).unflatten(2, (heads, -1)).transpose(1, 2) for name in "qkv"
        )
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.self_attn.out_proj(found)
        return x + self.ffn["fc2"](F.gelu(self.ffn["fc1"](self.norm2(x))))


class ViT(nn.Module):
    def __init__(self, image, patch, C, d, n_layers, n_heads, d_ff, n_classes):
        super().__init__()
        self.image, self.patch = image, patch
        self.patch_proj = nn.Linear(C * patch**2, d)
        self.cls_token = nn.Parameter(torch.randn(1, 1, d))
        self.pos_embed = nn.Parameter(torch.randn(1, (image // patch) ** 2 + 1, d))
        self.layers = nn.ModuleList()
        for _ in range(n_layers):
            self.layers.append(Block(d, n_heads, d_ff))
        self.norm = given.LayerNorm(d, eps=1e-12)
        self.head = nn.Linear(d, n_classes)

    def forward(self, img):
        height, width = img.shape[2:]
        if height != self.image or width != self.image:
            raise ValueError(f"{height} by {width}")
        x = self.pos_embed.expand(len(img), -1, -1).clone()
        x[:, 0] += self.cls_token[0, 0]
        x[:, 1:] += self.patch_proj(given.patchify(img, self.patch))
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        return self.head(x.select(1, 0)), x
