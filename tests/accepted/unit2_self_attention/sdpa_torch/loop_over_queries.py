"""One query at a time, products summed by hand; `where` picks zeros for the empty rows."""

import torch


def scaled_dot_product_attention(q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, generator=None):
    lead, Tq, Tk = q.shape[:-2], q.shape[-2], k.shape[-2]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    allowed = torch.ones((*lead, Tq, Tk), dtype=torch.bool, device=q.device)
    if attn_mask is not None:
        allowed = allowed & attn_mask
    rows = []
    for i in range(Tq):
        may = allowed[..., i, :]
        if is_causal:
            may = may & (torch.arange(Tk, device=q.device) <= i)
        score = (k.float() if k.dtype.itemsize < 4 else k) * q[..., i : i + 1, :]
        score = score.sum(-1) * scale  # (..., Tk)
        safe = torch.where(may, score, torch.full_like(score, -torch.inf))
        empty = ~may.any(-1, keepdim=True)
        safe = torch.where(empty, torch.zeros_like(safe), safe)
        row = torch.where(empty, torch.zeros_like(safe), torch.softmax(safe, -1))
        if dropout_p > 0:
            drawn = torch.rand(row.shape, generator=generator, dtype=torch.float64, device=q.device)
            row = torch.where(drawn < dropout_p, torch.zeros_like(row), row / (1 - dropout_p))
        rows.append((row.unsqueeze(-1) * v).sum(-2).to(q.dtype))
    if not rows:
        return q.new_zeros((*lead, 0, v.shape[-1]))
    return torch.stack(rows, dim=-2)
