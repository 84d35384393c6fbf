"""The whole Jacobian of every row, with einsum."""

import numpy as np


def softmax_vjp(y, dy, axis=-1):
    y, dy = np.swapaxes(y, axis, -1), np.swapaxes(dy, axis, -1)
    eye = np.eye(y.shape[-1], dtype=y.dtype)
    jacobian = np.einsum("...i,ij->...ij", y, eye) - np.einsum("...i,...j->...ij", y, y)
    return np.swapaxes(np.einsum("...ij,...i->...j", jacobian, dy), axis, -1)
