"""x cos + rotate(x) sin with angles repeated, in float32; the permutation by reshaping."""

import torch


def swap_half(x):
    a, b = x.split(x.shape[-1] // 2, dim=-1)
    return torch.cat((-b, a), dim=-1)


def swap_neighbours(x):
    out = torch.empty_like(x)
    out[..., ::2], out[..., 1::2] = -x[..., 1::2], x[..., ::2]
    return out


def apply_rope(x, positions, base=1e4, layout="interleaved", scale=1.0):
    if x.shape[-1] % 2 != 0:
        raise ValueError("the width must be even")
    kind = x.dtype if x.dtype == torch.float64 else torch.float32
    inverse = 1.0 / (base ** (torch.arange(0, x.shape[-1], 2, dtype=kind, device=x.device) / x.shape[-1]))
    angles = positions.to(kind)[..., None] * inverse * scale
    if layout == "half":
        angles, swapped = torch.cat((angles, angles), dim=-1), swap_half(x)
    else:
        angles, swapped = angles.repeat_interleave(2, dim=-1), swap_neighbours(x)
    return (x * torch.cos(angles) + swapped * torch.sin(angles)).to(x.dtype)


def permute_qk_weights(W, H, to="half"):
    rows, D = W.shape
    width = rows // H
    first, second = (width // 2, 2) if to == "half" else (2, width // 2)
    return (
        W.view(H, first, second, D).permute(0, 2, 1, 3).reshape(rows, D)
        if W.is_contiguous()
        else (W.reshape(H, first, second, D).permute(0, 2, 1, 3).reshape(rows, D))
    )
