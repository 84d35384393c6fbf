"""unflatten and flatten; the result is a copy in memory order, and more options than asked for."""

import torch


def split_heads(x, H, contiguous=True):
    if x.size(2) % H != 0:
        raise ValueError(f"{x.size(2)} is not a multiple of {H}")
    out = torch.unflatten(x, -1, (H, -1)).permute(0, 2, 1, 3)
    return out.contiguous() if contiguous else out


def merge_heads(x):
    return x.permute(0, 2, 1, 3).contiguous().view(x.size(0), x.size(2), -1)
