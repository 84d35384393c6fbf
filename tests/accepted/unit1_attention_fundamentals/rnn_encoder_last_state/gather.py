"""All steps first, the padding cleared to begin with; then the last state is picked and the rest is erased."""

import numpy as np


def rnn_encode(x, lengths, W_ih, W_hh, b):
    B, T, _ = x.shape
    real = np.arange(T)[None, :] < lengths[:, None]
    inputs = np.einsum("btd,hd->bth", np.where(real[..., None], x, 0), W_ih) + b
    h = np.zeros((B, len(b)), dtype=x.dtype)
    steps = []
    for t in range(T):
        h = np.tanh(inputs[:, t] + np.einsum("bg,hg->bh", h, W_hh))
        steps.append(h)
    states = np.stack(steps, axis=1)
    last = states[np.arange(B), lengths - 1]
    return np.where(real[..., None], states, 0).astype(x.dtype), last
