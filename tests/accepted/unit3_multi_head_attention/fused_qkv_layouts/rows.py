"""Explicit row numbers, and torch.stack."""

import torch


def fuse_qkv(Wq, Wk, Wv):
    return torch.stack((Wq, Wk, Wv)).reshape(-1, *Wq.shape[1:])


def split_qkv(W, layout="qkv", H=1):
    D = W.shape[0] // 3
    rows = torch.arange(3 * D)
    if layout == "per_head":
        rows = rows.view(H, 3, D // H).transpose(0, 1).reshape(-1)
    return [W[rows[n * D : (n + 1) * D]] for n in range(3)]


def from_conv1d(W):
    return W.t().contiguous()
