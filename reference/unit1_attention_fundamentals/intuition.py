"""Reference of the page `intuition`: one sentence at a time, one pair of a query and a key at a time."""

import numpy as np


def rnn_encode(x, lengths, W_ih, W_hh, b):
    """Each sentence is read alone, and only as far as it goes."""
    B, T, _ = x.shape
    states = np.zeros((B, T, len(b)), dtype=x.dtype)
    last = np.zeros((B, len(b)), dtype=x.dtype)
    for n in range(B):
        h = np.zeros(len(b), dtype=x.dtype)
        for t in range(int(lengths[n])):
            h = np.tanh(np.einsum("hd,d->h", W_ih, x[n, t]) + np.einsum("hg,g->h", W_hh, h) + b)
            states[n, t] = h
        last[n] = h
    return states, last


def luong_scores(q, k, W=None, v=None, mode="dot"):
    """A sum per pair."""
    if mode not in ("dot", "general", "concat"):
        raise ValueError(mode)
    if mode == "dot" and q.shape[2] != k.shape[2]:
        raise ValueError("widths differ")
    scores = np.zeros((q.shape[0], q.shape[1], k.shape[1]), dtype=q.dtype)
    for n, i, j in np.ndindex(*scores.shape):
        if mode == "dot":
            scores[n, i, j] = (q[n, i] * k[n, j]).sum()
        elif mode == "general":
            scores[n, i, j] = (W * np.outer(q[n, i], k[n, j])).sum()
        else:
            both = np.concatenate([q[n, i], k[n, j]])
            scores[n, i, j] = (v * np.tanh((W * both).sum(axis=1))).sum()
    return scores


def additive_scores(q, k, Wq, Wk, b, v):
    """The little network runs once per pair."""
    scores = np.zeros((q.shape[0], q.shape[1], k.shape[1]), dtype=q.dtype)
    for n, i, j in np.ndindex(*scores.shape):
        hidden = np.tanh((Wq * q[n, i]).sum(axis=1) + (Wk * k[n, j]).sum(axis=1) + b)
        scores[n, i, j] = (v * hidden).sum()
    return scores
