"""Entry by entry with the math module; the exponent from the column number."""

import math

import numpy as np


def sinusoidal_encoding(max_len, d_model, base=1e4):
    if d_model % 2 != 0:
        raise ValueError("d_model must be even")
    out = np.zeros((max_len, d_model), dtype=np.float64)
    for p in range(max_len):
        for column in range(d_model):
            angle = p / math.pow(base, (column - column % 2) / d_model)
            out[p, column] = math.cos(angle) if column % 2 else math.sin(angle)
    return out
