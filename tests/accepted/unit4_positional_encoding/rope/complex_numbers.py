"""Complex multiplication in float64 or complex64; the half layout by way of the interleaved one."""

import torch


def apply_rope(x, positions, base=1e4, layout="interleaved"):
    width = x.size(-1)
    if width % 2:
        raise ValueError("odd width")
    if layout == "half":
        paired = x.reshape(*x.shape[:-1], 2, width // 2).transpose(-1, -2)
    else:
        paired = x.reshape(*x.shape[:-1], width // 2, 2)
    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    hands = torch.pow(torch.tensor(base, dtype=torch.float64), -torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = positions.to(torch.float64).unsqueeze(-1) * hands
    turn = torch.polar(torch.ones_like(angles), angles).to(
        torch.complex128 if real == torch.float64 else torch.complex64
    )
    turned = torch.view_as_real(torch.view_as_complex(paired.to(real).contiguous()) * turn)
    out = turned.transpose(-1, -2) if layout == "half" else turned
    return out.reshape(x.shape).to(x.dtype)


def permute_qk_weights(W, H, to="half"):
    width = W.shape[0] // H
    if to == "half":
        order = torch.cat([torch.arange(0, width, 2), torch.arange(1, width, 2)])
    else:
        order = torch.arange(width).reshape(2, -1).T.flatten()
    return torch.cat([block[order] for block in W.chunk(H)])
