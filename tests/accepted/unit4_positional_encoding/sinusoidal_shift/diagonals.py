"""Three diagonals: cosines on the main one, sines above and below it in every second place."""

import numpy as np


def shift_matrix(k, d_model, base=1e4):
    if d_model % 2:
        raise ValueError("d_model must be even")
    angle = k / np.power(base, np.arange(0, d_model, 2) / d_model)
    beside = np.stack([np.sin(angle), np.zeros_like(angle)], axis=1).ravel()[: d_model - 1]
    return np.diag(np.repeat(np.cos(angle), 2)) + np.diag(beside, 1) - np.diag(beside, -1)
