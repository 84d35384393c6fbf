"""The library's attention for the output, its dropout only in train mode; the weights only when asked for."""

import torch
import torch.nn.functional as F
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, n_heads, d_kv=None, bias=True, dropout=0.0):
        super().__init__()
        if d_model % n_heads:
            raise ValueError("n_heads must divide d_model")
        d_kv = d_kv or d_model
        self.n_heads, self.d_head, self.p = n_heads, d_model // n_heads, dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_kv, d_model, bias=bias)
        self.v_proj = nn.Linear(d_kv, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def split(self, x):
        return x.view(x.size(0), x.size(1), self.n_heads, self.d_head).permute(0, 2, 1, 3)

    def forward(self, query, key=None, value=None, mask=None, need_weights=False):
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = self.split(self.q_proj(query)), self.split(self.k_proj(key)), self.split(self.v_proj(value))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.p if self.training else 0.0)
        out = self.out_proj(out.permute(0, 2, 1, 3).reshape(query.shape))
        if not need_weights:
            return out
        identity = torch.eye(k.size(2), dtype=k.dtype, device=k.device).expand(k.size(0), self.n_heads, -1, -1)
        return out, F.scaled_dot_product_attention(q, k, identity, attn_mask=mask)
