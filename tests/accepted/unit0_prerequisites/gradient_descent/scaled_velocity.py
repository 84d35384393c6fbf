"""The velocity contains the learning rate and the sign; computed in float64."""

import numpy as np


def gradient_descent(grad_fn, x0, lr, steps, momentum=0.0, nesterov=False):
    rows = [x0]
    u = np.zeros(x0.shape)
    for _ in range(steps):
        g = np.asarray(grad_fn(rows[-1].astype(x0.dtype)), dtype=np.float64)
        u = momentum * u - lr * g
        rows.append(rows[-1] + (momentum * u - lr * g if nesterov else u))
    return np.vstack(rows).astype(x0.dtype)
