"""Plain loops over the rows."""

import math

import numpy as np


def attention_entropy(w):
    rows = w.reshape(-1, w.shape[-1])
    values = []
    for row in rows:
        total = 0.0
        for p in row:
            if p > 0:
                total -= float(p) * math.log(float(p))
        values.append(total)
    return np.array(values, dtype=w.dtype).reshape(w.shape[:-1])


def mean_distance(w):
    out = np.zeros(w.shape[:-1], dtype=w.dtype)
    for i in range(w.shape[-2]):
        for j in range(w.shape[-1]):
            out[..., i] += w[..., i, j] * abs(i - j)
    return out


def classify_head(w):
    T = w.shape[0]
    previous = own = first = full = causal = 0.0
    for i in range(2, T):
        previous += w[i, i - 1] / (T - 2)
        own += w[i, i] / (T - 2)
        first += w[i, 0] / (T - 2)
        for j in range(T):
            full += abs(w[i, j] - 1 / T) / 2 / (T - 2)
            causal += abs(w[i, j] - (1 / (i + 1) if j <= i else 0.0)) / 2 / (T - 2)
    if previous >= 0.5:
        return "previous"
    if own >= 0.5:
        return "self"
    if first >= 0.5:
        return "first"
    if full <= 0.1 or causal <= 0.1:
        return "uniform"
    return "other"
