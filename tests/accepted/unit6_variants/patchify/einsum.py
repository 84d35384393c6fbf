"""Axes by name, with einsum as a permutation."""

import torch


def patchify(img, P):
    b, c, h, w = img.shape
    if h % P + w % P:
        raise ValueError("P must divide both sides")
    kind = img.dtype
    split = img.reshape(b, c, h // P, P, w // P, P)
    return torch.einsum("bcypxq->byxcpq", split).reshape(b, -1, c * P**2).to(kind)


def unpatchify(patches, P, H, W):
    b, n, size = patches.shape
    rows, columns = H // P, W // P
    if rows * P != H or columns * P != W or rows * columns != n or size % P**2:
        raise ValueError("wrong number of patches")
    split = patches.reshape(b, rows, columns, size // P**2, P, P)
    return torch.einsum("byxcpq->bcypxq", split).reshape(b, -1, H, W)
