"""Two loops over the axis, the sum written out."""

import numpy as np


def softmax_vjp(y, dy, axis=-1):
    y, dy = np.moveaxis(y, axis, 0), np.moveaxis(dy, axis, 0)
    dx = np.zeros_like(y)
    for j in range(len(y)):
        for i in range(len(y)):
            dx[j] += dy[i] * y[i] * ((i == j) - y[j])
    return np.moveaxis(dx, 0, axis)
