"""One einsum per query; one matrix for [q; k]."""

import numpy as np


def additive_scores(q, k, Wq, Wk, b, v):
    out = np.empty((q.shape[0], q.shape[1], k.shape[1]), dtype=q.dtype)
    W = np.hstack([Wq, Wk])
    for i in range(q.shape[1]):
        pairs = np.concatenate([np.repeat(q[:, i : i + 1], k.shape[1], axis=1), k], axis=-1)
        out[:, i] = np.einsum("bja,a->bj", np.tanh(np.einsum("bjc,ac->bja", pairs, W) + b), v)
    return out
