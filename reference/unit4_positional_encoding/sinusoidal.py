"""Reference of the page `sinusoidal`: complex numbers, one entry at a time."""

import cmath

import numpy as np


def _hands(d_model: int, base: float) -> list[float]:
    """Angles for each step, one for each pair of columns."""
    if d_model % 2 != 0:
        raise ValueError(f"d_model {d_model} is odd")
    return [1.0 / base ** (2 * i / d_model) for i in range(d_model // 2)]


def sinusoidal_encoding(max_len: int, d_model: int, base: float = 1e4) -> np.ndarray:
    """The imaginary and the real part of exp(i p ω), for each hand."""
    hands = _hands(d_model, base)
    out = np.zeros((max_len, d_model))
    for p in range(max_len):
        for i, hand in enumerate(hands):
            turned = cmath.exp(1j * (p * hand))
            out[p, 2 * i], out[p, 2 * i + 1] = turned.imag, turned.real
    return out


def shift_matrix(k: int, d_model: int, base: float = 1e4) -> np.ndarray:
    """(y + i x) goes to (y + i x) exp(-i k ω), for a hand with sine y and cosine x: that is how it is moved by k.

    (sin a + i cos a = i exp(-i a), so the factor exp(-i k ω) adds k ω to a.)
    """
    out = np.zeros((d_model, d_model))
    for i, hand in enumerate(_hands(d_model, base)):
        factor = cmath.exp(-1j * (k * hand))
        for column, unit in enumerate((1, 1j)):  # where the two unit vectors of the pair go
            image = unit * factor
            out[2 * i, 2 * i + column], out[2 * i + 1, 2 * i + column] = image.real, image.imag
    return out
