"""One example at a time: a list of layers, multiplied by functools.reduce."""

from functools import reduce

import numpy as np


def rollout(weights, residual=0.5):
    L, B, H, T, _ = weights.shape
    result = np.empty((B, T, T), dtype=weights.dtype)
    for b in range(B):
        layers = []
        for layer in range(L):
            a = np.zeros((T, T))
            for h in range(H):
                a += weights[layer, b, h] / H
            a = (1 - residual) * a
            a[np.arange(T), np.arange(T)] += residual
            for i in range(T):
                if a[i].sum() > 0:
                    a[i] /= a[i].sum()
            layers.append(a)
        result[b] = reduce(np.dot, reversed(layers))
    return result
