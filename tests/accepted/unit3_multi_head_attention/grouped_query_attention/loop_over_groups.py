"""One key-value head after the other; the query heads of its group are rows of one long query."""

import torch


def gqa(q, k, v, mask=None, is_causal=False):
    B, Hq, Tq, Dh = q.shape
    Hkv, Tk = k.shape[1], k.shape[2]
    if Hq % Hkv != 0:
        raise ValueError(f"{Hq} % {Hkv} != 0")
    g = Hq // Hkv
    allowed = torch.ones(B, Hq, Tq, Tk, dtype=torch.bool)
    if mask is not None:
        allowed = torch.logical_and(allowed, mask)
    if is_causal:
        allowed = allowed & (torch.arange(Tk)[None] <= torch.arange(Tq)[:, None])
    outs = []
    for n in range(Hkv):
        query = q[:, n * g : (n + 1) * g].reshape(B, g * Tq, Dh)
        may = allowed[:, n * g : (n + 1) * g].reshape(B, g * Tq, Tk)
        scores = torch.bmm(query, k[:, n].transpose(1, 2)) / Dh**0.5
        scores = scores.masked_fill(~may, torch.finfo(q.dtype).min)
        weights = torch.softmax(scores, dim=2) * may
        outs.append(torch.bmm(weights, v[:, n]).reshape(B, g, Tq, Dh))
    return torch.cat(outs, dim=1)
