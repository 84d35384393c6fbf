"""One head at a time, from chunks."""

import torch


def fuse_qkv(Wq, Wk, Wv):
    D = Wq.shape[0]
    fused = Wq.new_empty(3 * D, *Wq.shape[1:])
    fused[:D], fused[D : 2 * D], fused[2 * D :] = Wq, Wk, Wv
    return fused


def split_qkv(W, layout="qkv", H=1):
    if layout == "qkv":
        return torch.tensor_split(W, 3)
    per_head = [head.chunk(3) for head in W.chunk(H)]
    return tuple(torch.cat(parts) for parts in zip(*per_head, strict=True))


def from_conv1d(W):
    return W.clone() if W.dim() == 1 else torch.einsum("io->oi", W)
