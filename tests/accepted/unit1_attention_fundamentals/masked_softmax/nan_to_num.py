"""-inf, and the NaN of an empty row turned into zeros at the end."""

import numpy as np


def masked_softmax(scores, mask=None):
    s = scores.copy()
    if mask is not None:
        s[~np.broadcast_to(mask, s.shape)] = -np.inf
    with np.errstate(invalid="ignore"):
        s -= s.max(axis=-1, keepdims=True)
        w = np.exp(s)
        w /= w.sum(axis=-1, keepdims=True)
    return np.nan_to_num(w, nan=0.0)
