"""Forbidden scores are replaced by the row's lowest allowed one, and the exponentials multiplied by the mask."""

import numpy as np


def masked_softmax(scores, mask=None):
    if mask is None:
        mask = np.ones_like(scores, dtype=bool)
    mask = np.broadcast_to(mask, scores.shape)
    anything = mask.any(-1, keepdims=True)
    top = np.max(scores, axis=-1, keepdims=True, where=mask, initial=-np.inf)
    top = np.where(anything, top, scores.dtype.type(0)).astype(scores.dtype)
    e = np.exp(np.where(mask, scores, top) - top) * mask
    return e / np.where(anything, e.sum(-1, keepdims=True), 1).astype(scores.dtype)
