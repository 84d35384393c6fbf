"""A complex exponential, seen as pairs of numbers and turned around; outer product of positions and frequencies."""

import numpy as np


def sinusoidal_encoding(max_len, d_model, base=1e4):
    half, odd = divmod(d_model, 2)
    if odd:
        raise ValueError("d_model must be even")
    hands = np.power(float(base), -np.linspace(0.0, 1.0, half, endpoint=False))
    turned = np.exp(1j * np.outer(np.arange(max_len), hands))
    return np.ascontiguousarray(turned).view(np.float64).reshape(max_len, half, 2)[:, :, ::-1].reshape(max_len, d_model)
