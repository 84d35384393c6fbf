"""einsum, and a softmax of its own with exponentials times mask."""

import numpy as np


def attention(Q, K, V, mask=None, scale=None):
    if scale is None:
        scale = Q.shape[-1] ** -0.5
    scores = np.einsum("...id,...jd->...ij", Q, K) * scale
    mask = np.broadcast_to(np.array(True) if mask is None else mask, scores.shape)
    if scores.shape[-1] == 0:
        weights = scores
    else:
        scores = np.where(mask, scores, np.array(-np.inf, dtype=Q.dtype))
        top = scores.max(-1, keepdims=True)
        weights = np.exp(scores - np.where(np.isfinite(top), top, 0))
        total = weights.sum(-1, keepdims=True)
        weights = weights / np.where(total > 0, total, 1)
    return np.einsum("...ij,...jd->...id", weights, V).astype(Q.dtype), weights.astype(Q.dtype)
