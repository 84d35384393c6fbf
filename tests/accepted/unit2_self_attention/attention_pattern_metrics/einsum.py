"""einsum and diagonals; 0 ln 0 is avoided by taking the logarithm of 1 where the weight is 0."""

import numpy as np


def attention_entropy(w):
    safe = np.where(w == 0, np.ones_like(w), w)
    return -np.einsum("...k,...k->...", w, np.log(safe))


def mean_distance(w):
    distance = abs(np.arange(w.shape[-2])[:, np.newaxis] - np.arange(w.shape[-1])[np.newaxis, :])
    return np.einsum("...qk,qk->...q", w, distance.astype(w.dtype))


def classify_head(w):
    length = len(w)
    share = {
        "previous": np.diagonal(w, offset=-1)[1:].mean(),
        "self": np.diagonal(w)[2:].mean(),
        "first": w[2:, 0].mean(),
    }
    best = max(share, key=share.get)  # the first of equal ones
    if share[best] >= 0.5:
        return best
    full = np.ones((length, length)) / length
    causal = np.tril(np.ones((length, length)))
    causal = causal / causal.sum(axis=1, keepdims=True)
    # The total variation distance is also the sum of what exceeds the other distribution, for rows of equal sum.
    distances = [np.clip(w - u, 0, None).sum(axis=1)[2:].mean() for u in (full, causal)]
    return "uniform" if min(distances) <= 0.1 else "other"
