"""One pair at a time."""

import numpy as np


def luong_scores(q, k, W=None, v=None, mode="dot"):
    modes = {
        "dot": lambda a, b: a.dot(b),
        "general": lambda a, b: a.dot(W).dot(b),
        "concat": lambda a, b: v.dot(np.tanh(W.dot(np.concatenate((a, b))))),
    }
    if mode not in modes or (mode == "dot" and q.shape[-1] != k.shape[-1]):
        raise ValueError(mode)
    return np.array([[[modes[mode](a, b) for b in keys] for a in queries] for queries, keys in zip(q, k, strict=True)])
