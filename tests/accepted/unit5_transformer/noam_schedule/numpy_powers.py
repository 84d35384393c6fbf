"""NumPy, and a NumPy number as the result."""

import numpy as np


def noam_lr(step, d_model, warmup, factor=1.0):
    s = np.maximum(float(step), 1.0)
    return factor * np.power(float(d_model), -0.5) * np.minimum(np.power(s, -0.5), s * np.power(float(warmup), -1.5))
