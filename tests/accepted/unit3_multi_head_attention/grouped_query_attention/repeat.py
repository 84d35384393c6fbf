"""Keys and values repeated with repeat_interleave, then the library's attention with one combined mask."""

import torch
import torch.nn.functional as F


def gqa(q, k, v, mask=None, is_causal=False):
    group, rest = divmod(q.size(1), k.size(1))
    if rest or group == 0:
        raise ValueError("Hkv must divide Hq")
    if is_causal:
        causal = torch.ones(q.size(2), k.size(2), dtype=torch.bool, device=q.device).tril()
        mask = causal if mask is None else mask & causal
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
