"""Frequencies as exp(-ln(base) · 2i / D), a phase of π/2 for the cosines, and one call of sin."""

import numpy as np


def sinusoidal_encoding(max_len, d_model, base=1e4, first=0):
    if d_model & 1:
        raise ValueError(f"odd width {d_model}")
    column = np.arange(d_model)
    frequency = np.exp(-np.log(base) * (2 * (column // 2)) / d_model)
    position = np.arange(first, first + max_len, dtype=float).reshape(-1, 1)
    return np.sin(position * frequency + (column % 2) * (np.pi / 2))
