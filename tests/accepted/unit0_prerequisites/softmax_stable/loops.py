"""One slice at a time, in Python floats."""

import math

import numpy as np


def softmax(x, axis=-1):
    moved = np.moveaxis(x, axis, -1)
    out = np.empty(moved.shape, dtype=x.dtype)
    for index in np.ndindex(*moved.shape[:-1]):
        row = moved[index]
        top = max(float(v) for v in row)
        exps = [math.exp(float(v) - top) for v in row]
        for i, e in enumerate(exps):
            out[(*index, i)] = e / sum(exps)
    return np.moveaxis(out, -1, axis)
