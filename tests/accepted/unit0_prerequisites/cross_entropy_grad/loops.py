"""Entry by entry."""

import math

import numpy as np


def cross_entropy_grad(logits, targets, ignore_index=-100):
    out = np.zeros(logits.shape, dtype=logits.dtype)
    n = sum(1 for t in targets if t != ignore_index)
    for i, t in enumerate(targets):
        if t == ignore_index:
            continue
        top = max(logits[i])
        total = sum(math.exp(v - top) for v in logits[i])
        for j in range(logits.shape[1]):
            out[i, j] = (math.exp(logits[i, j] - top) / total - (1.0 if j == t else 0.0)) / n
    return out
