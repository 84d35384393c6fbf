"""Reference of the page `attention_patterns`: one row at a time."""

import math

import numpy as np


def attention_entropy(w: np.ndarray) -> np.ndarray:
    """−Σ_j w ln w per row; a zero counts 0."""
    result = np.zeros(w.shape[:-1], dtype=w.dtype)
    for index in np.ndindex(result.shape):
        result[index] = math.fsum(-p * math.log(p) for p in w[index].tolist() if p > 0)
    return result


def mean_distance(w: np.ndarray) -> np.ndarray:
    """Σ_j w |i − j| per row, with query i at position i."""
    result = np.zeros(w.shape[:-1], dtype=w.dtype)
    for index in np.ndindex(result.shape):
        result[index] = math.fsum(p * abs(index[-1] - j) for j, p in enumerate(w[index].tolist()))
    return result


def classify_head(w: np.ndarray) -> str:
    """The first of the page's conditions that holds, over the rows from 2 on."""
    T = len(w)
    rows = [row.tolist() for row in w]
    count = T - 2
    if sum(rows[i][i - 1] for i in range(2, T)) / count >= 0.5:
        return "previous"
    if sum(rows[i][i] for i in range(2, T)) / count >= 0.5:
        return "self"
    if sum(rows[i][0] for i in range(2, T)) / count >= 0.5:
        return "first"
    full = sum(sum(abs(p - 1 / T) for p in rows[i]) / 2 for i in range(2, T)) / count
    causal = sum(sum(abs(p - (j <= i) / (i + 1)) for j, p in enumerate(rows[i])) / 2 for i in range(2, T)) / count
    return "uniform" if min(full, causal) <= 0.1 else "other"


def rollout(weights: np.ndarray, residual: float = 0.5) -> np.ndarray:
    """Follow each output token down through the layers, from the last to the first."""
    L, B, H, T, _ = weights.shape
    result = np.zeros((B, T, T), dtype=weights.dtype)
    for b in range(B):
        for start in range(T):
            share = np.eye(T)[start]
            for layer in range(L - 1, -1, -1):
                below = np.zeros(T)
                for i in range(T):
                    row = (1 - residual) * sum(weights[layer, b, h, i].astype(float) for h in range(H)) / H
                    row[i] += residual
                    if row.sum() > 0:
                        below += share[i] * row / row.sum()
                share = below
            result[b, start] = share
    return result
