"""Sliding windows of Tensor.unfold, at a stride that leaves no overlap; back by concatenating rows of patches."""

import torch


def patchify(img, P):
    if any(side % P for side in img.shape[-2:]):
        raise ValueError(f"{P} does not divide {tuple(img.shape[-2:])}")
    windows = img.unfold(2, P, P).unfold(3, P, P)  # (B, C, H/P, W/P, P, P)
    return windows.movedim(1, 3).flatten(3).flatten(1, 2)


def unpatchify(patches, P, H, W):
    if H % P or W % P or patches.size(1) * P * P != H * W or patches.size(2) % P**2:
        raise ValueError("these patches are no such image")
    squares = patches.unflatten(2, (-1, P, P))
    columns = W // P
    rows = [torch.cat(list(squares[:, n : n + columns].unbind(1)), dim=3) for n in range(0, squares.size(1), columns)]
    return torch.cat(rows, dim=2)
