"""Weights cut into (H, Dh, D) first, everything as einsum; the heads are summed through slices of Wo."""

import numpy as np


def multi_head_attention(xq, xkv, Wq, Wk, Wv, Wo, bq, bk, bv, bo, H, mask=None):
    D = xq.shape[2]
    cut = (H, D // H)
    q, k, v = (
        np.einsum("btd,hkd->bhtk", x, W.reshape(*cut, D)) + b.reshape(1, H, 1, -1)
        for x, W, b in ((xq, Wq, bq), (xkv, Wk, bk), (xkv, Wv, bv))
    )
    scores = np.einsum("bhik,bhjk->bhij", q, k) * xq.dtype.type(cut[1] ** -0.5)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    with np.errstate(invalid="ignore"):
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        weights = np.nan_to_num(scores / scores.sum(-1, keepdims=True), nan=0.0)
    out = np.einsum("bhij,bhjk,dhk->bid", weights, v, Wo.reshape(D, *cut)) + bo
    return out, weights
