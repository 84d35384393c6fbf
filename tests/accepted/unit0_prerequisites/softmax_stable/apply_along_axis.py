"""Through logarithms, with functools and np.apply_along_axis; always in float64."""

import numpy as np


def _one(row):
    row = np.asarray(row, dtype=np.float64)
    return np.exp(row - np.logaddexp.reduce(row))


def softmax(x, axis=-1):
    if x.size == 0:
        return x.copy()
    return np.apply_along_axis(_one, axis, x).astype(x.dtype)
