"""Loops over heads; the causal mask's minus infinity at the places that are not checked."""

import torch


def alibi_slopes(H):
    n = 1
    while n * 2 <= H:
        n *= 2
    out = torch.pow(2.0, -8.0 * torch.arange(1, n + 1) / n)
    extra = torch.pow(2.0, -4.0 * torch.arange(1, 2 * (H - n) + 1, 2) / n)
    return torch.cat([out, extra])


def alibi_bias(H, Tq, Tk, device=None, dtype=torch.float32):
    out = torch.full((H, Tq, Tk), float("-inf"), device=device, dtype=dtype)
    for h, slope in enumerate(alibi_slopes(H).tolist()):
        for i in range(Tq):
            here = i + Tk - Tq
            for j in range(min(here + 1, Tk)):
                out[h, i, j] = slope * (j - here)
    return out
