"""The rotation as the exponential of k times a skew-symmetric matrix, by its eigenvalues."""

import numpy as np


def shift_matrix(k, d_model, base=1e4):
    if d_model % 2:
        raise ValueError("d_model must be even")
    generator = np.zeros((d_model, d_model))
    for i in range(d_model // 2):
        generator[2 * i, 2 * i + 1] = base ** (-2 * i / d_model)
    values, vectors = np.linalg.eigh(1j * (generator - generator.T))
    return ((vectors * np.exp(-1j * k * values)) @ vectors.conj().T).real
