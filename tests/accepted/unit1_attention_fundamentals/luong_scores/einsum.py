"""One einsum per mode; concat builds every pair [q; k]."""

import numpy as np


def luong_scores(q, k, W=None, v=None, mode="dot"):
    if mode == "dot":
        if q.shape[2] != k.shape[2]:
            raise ValueError("dot needs equal widths")
        return np.einsum("bid,bjd->bij", q, k)
    if mode == "general":
        return np.einsum("bid,de,bje->bij", q, W, k)
    if mode == "concat":
        B, Tq, Dq = q.shape
        _, Tk, Dk = k.shape
        left = np.broadcast_to(q[:, :, None, :], (B, Tq, Tk, Dq))
        right = np.broadcast_to(k[:, None, :, :], (B, Tq, Tk, Dk))
        pairs = np.concatenate([left, right], axis=-1)
        return np.einsum("a,bija->bij", v, np.tanh(np.einsum("ac,bijc->bija", W, pairs)))
    raise ValueError(f"unknown mode {mode}")
