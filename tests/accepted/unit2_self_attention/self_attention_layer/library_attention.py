"""The library's attention for the output; the weights are computed only when asked for."""

import torch
import torch.nn.functional as F
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, d_model, d_k, d_v, bias=False):
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_k, bias=bias)
        self.k_proj = nn.Linear(d_model, d_k, bias=bias)
        self.v_proj = nn.Linear(d_model, d_v, bias=bias)

    def forward(self, x, mask=None, need_weights=False):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if mask is not None:
            mask = torch.broadcast_to(mask, (x.size(0), x.size(1), x.size(1)))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        if not need_weights:
            return out
        scores = torch.baddbmm(q.new_zeros(1), q, k.transpose(1, 2), alpha=q.size(-1) ** -0.5)
        if mask is not None:
            scores = scores.masked_fill(mask.logical_not(), float("-inf"))
        return out, torch.nan_to_num(F.softmax(scores, dim=2), nan=0.0)
