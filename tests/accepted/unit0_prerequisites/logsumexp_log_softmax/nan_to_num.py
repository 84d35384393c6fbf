"""Repairs the NaN of an empty row afterwards; computes in float64."""

import numpy as np


def logsumexp(x, axis=-1, keepdims=False):
    wide = x.astype(np.float64)
    top = np.max(wide, axis=axis, keepdims=True)
    with np.errstate(all="ignore"):
        out = top + np.log(np.sum(np.exp(wide - top), axis=axis, keepdims=True))
    out[np.isneginf(top)] = -np.inf
    out = out.astype(x.dtype)
    return out if keepdims else np.take(out, 0, axis=axis)


def log_softmax(x, axis=-1):
    wide = x.astype(np.float64)
    wide = wide - np.max(wide, axis=axis, keepdims=True)
    return (wide - np.log(np.sum(np.exp(wide), axis=axis, keepdims=True))).astype(x.dtype)
