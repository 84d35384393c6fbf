"""A list of copies of one array that is changed in place."""

import numpy as np


def gradient_descent(grad_fn, x0, lr, steps, momentum=0.0, nesterov=False):
    x = x0.copy()
    velocity = None
    path = [x.copy()]
    while len(path) <= steps:
        g = grad_fn(x)
        velocity = g.copy() if velocity is None else momentum * velocity + g
        if nesterov:
            x -= lr * (g + momentum * velocity)
        else:
            x -= lr * velocity
        path.append(x.copy())
    return np.array(path)
