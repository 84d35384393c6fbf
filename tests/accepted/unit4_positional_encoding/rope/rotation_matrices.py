"""A 2 by 2 matrix for every pair and position, applied by einsum; sine and cosine rounded to the dtype of x."""

import numpy as np
import torch


def places(width, layout):
    if width % 2:
        raise ValueError(width)
    numbers = torch.arange(width)
    return numbers.reshape(-1, 2) if layout == "interleaved" else numbers.reshape(2, -1).T


def apply_rope(x, positions, base=1e4, layout="interleaved"):
    pairs = places(x.shape[-1], layout)
    angle = np.multiply.outer(positions.numpy(), base ** -(2 * np.arange(len(pairs)) / x.shape[-1]))
    c, s = torch.from_numpy(np.cos(angle)).to(x.dtype), torch.from_numpy(np.sin(angle)).to(x.dtype)
    rotation = torch.stack([torch.stack([c, -s], dim=-1), torch.stack([s, c], dim=-1)], dim=-2)
    turned = torch.einsum("...iab,...ib->...ia", rotation, x[..., pairs])
    return turned.flatten(-2)[..., pairs.flatten().argsort()]


def permute_qk_weights(W, H, to="half"):
    width = len(W) // H
    source, target = ("interleaved", "half") if to == "half" else ("half", "interleaved")
    order = torch.empty(width, dtype=torch.int64)
    order[places(width, target).flatten()] = places(width, source).flatten()
    rows = (torch.arange(H)[:, None] * width + order).flatten()
    return W.index_select(0, rows)
