"""|distance| for the future too; slopes in float64 by recursion."""

import math

import torch


def slopes(H):
    power = 2 ** math.floor(math.log2(H))
    start = 2 ** (-(2 ** -(math.log2(power) - 3)))
    found = [start * start**i for i in range(power)]
    if power == H:
        return found
    return found + slopes(2 * power)[0::2][: H - power]


def alibi_slopes(H):
    return torch.tensor(slopes(H), dtype=torch.float64)


def alibi_bias(H, Tq, Tk, device=None, dtype=torch.float32):
    query = torch.arange(Tk - Tq, Tk, device=device)
    key = torch.arange(Tk, device=device)
    distance = (query.unsqueeze(1) - key.unsqueeze(0)).abs()
    return torch.einsum("h,ij->hij", -alibi_slopes(H).to(device), distance.double()).to(dtype)
