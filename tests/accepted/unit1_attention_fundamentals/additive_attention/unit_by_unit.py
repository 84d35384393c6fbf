"""The sum over the hidden units as a loop of outer sums."""

import numpy as np


def additive_scores(q, k, Wq, Wk, b, v):
    scores = np.zeros((len(q), q.shape[1], k.shape[1]), dtype=q.dtype)
    for wq, wk, bias, weight in zip(Wq, Wk, b, v, strict=True):
        for n in range(len(q)):
            scores[n] += weight * np.tanh(np.add.outer(q[n] @ wq + bias, k[n] @ wk))
    return scores
