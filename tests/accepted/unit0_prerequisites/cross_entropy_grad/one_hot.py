"""A weight per row, 1/n or 0, and a one-hot matrix from a comparison."""

import numpy as np


def cross_entropy_grad(logits, targets, ignore_index=-100):
    keep = (targets != ignore_index).astype(logits.dtype)
    weight = keep / np.maximum(keep.sum(), 1)
    hot = (targets[:, None] == np.arange(logits.shape[1])[None]).astype(logits.dtype)
    e = np.exp(logits - logits.max(1)[:, None])
    return np.einsum("n,nc->nc", weight, e / e.sum(1)[:, None] - hot)
