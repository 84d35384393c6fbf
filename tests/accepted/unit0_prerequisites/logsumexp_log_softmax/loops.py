"""A running maximum and sum, one entry after the other, as in the online softmax."""

import numpy as np


def logsumexp(x, axis=-1, keepdims=False):
    moved = np.moveaxis(x, axis, 0)
    top = np.full(moved.shape[1:], -np.inf, dtype=x.dtype)
    total = np.zeros(moved.shape[1:], dtype=x.dtype)
    for part in moved:
        higher = np.maximum(top, part)
        safe = np.where(higher == -np.inf, x.dtype.type(0), higher)
        total = total * np.exp(top - safe) + np.exp(part - safe)
        top = higher
    with np.errstate(divide="ignore"):
        out = np.log(total) + np.where(top == -np.inf, x.dtype.type(0), top)
    return np.expand_dims(out, axis) if keepdims else out


def log_softmax(x, axis=-1):
    return x - logsumexp(x, axis, True)
