"""A state in plain Python floats, row by row; the merge by cases."""

import math

import numpy as np


def online_softmax(blocks):
    state = None
    for block in blocks:
        rows = block.reshape(-1, block.shape[-1]) if block.size else np.empty((block[..., :1].size, 0))
        if state is None:
            shape, dtype = block.shape[:-1], block.dtype
            count = int(np.prod(shape))
            state = [(-math.inf, 0.0)] * count
        for r in range(rows.shape[0]):
            if rows.shape[1] > 64:  # a long block at once, or Python would take all day
                m = float(rows[r].max())
                piece = (m, float(np.exp(rows[r] - (m if m > -math.inf else 0.0)).sum()))
                state[r] = _join(state[r], piece)
                continue
            for x in rows[r].tolist():
                if x > -math.inf:
                    state[r] = _join(state[r], (x, 1.0))
    m = np.array([s[0] for s in state], dtype).reshape(shape)
    return m, np.array([s[1] for s in state], dtype).reshape(shape)


def _join(a, b):
    (m, l), (n, k) = sorted([a, b], reverse=True)
    return (m, l) if k == 0 else (m, l + k * math.exp(n - m))


def merge(a, b):
    m, l = np.empty_like(a[0]), np.empty_like(a[1])
    for i in np.ndindex(m.shape):
        m[i], l[i] = _join((float(a[0][i]), float(a[1][i])), (float(b[0][i]), float(b[1][i])))
    return m, l
