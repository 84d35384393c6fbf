"""One slice per head, stacked; merging writes each head into its place."""

import torch


def split_heads(x, H):
    width, rest = divmod(x.shape[-1], H)
    if rest:
        raise ValueError("H must divide the width")
    return torch.stack(torch.split(x, width, dim=-1), dim=1)


def merge_heads(x):
    B, H, T, Dh = x.shape
    out = x.new_zeros(B, T, H * Dh)
    for h in range(H):
        out[:, :, h * Dh : (h + 1) * Dh] = x[:, h]
    return out
