"""The weights of cubic convolution by hand, first for the rows and then for the columns."""

import torch


def kernel(s, a=-0.75):
    near = (a + 2) * s**3 - (a + 3) * s**2 + 1
    far = a * (s**3 - 5 * s**2 + 8 * s - 4)
    return torch.where(s <= 1, near, torch.where(s < 2, far, 0.0))


def matrix(old, new, like):
    middle = (torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5
    out = torch.zeros(new, old, dtype=torch.float64)
    for step in (-1, 0, 1, 2):
        cell = middle.floor() + step
        out.scatter_add_(1, cell.clamp(0, old - 1).long()[:, None], kernel((middle - cell).abs())[:, None])
    return out.to(like.dtype)


def interpolate_pos(pos, new_h, new_w):
    n = pos.size(1) - 1
    g = next((side for side in range(1, n + 1) if side * side >= n), 0)
    if g * g != n:
        raise ValueError(f"{n} is no square number")
    grid = pos[0, 1:].view(g, g, -1) if pos.is_contiguous() else pos[0, 1:].reshape(g, g, -1)
    grid = torch.tensordot(matrix(g, new_h, pos), grid, dims=1)
    grid = torch.einsum("xj,yjd->yxd", matrix(g, new_w, pos), grid)
    return torch.vstack([pos[0, 0], grid.flatten(0, 1)])[None]
