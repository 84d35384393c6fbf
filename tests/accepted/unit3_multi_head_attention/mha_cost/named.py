"""The closed formulas, and a lambda with a default for the number of heads."""

import numpy as np


def mha_cost(B, Tq, Tk, D, H, bias):
    return {
        "params": 4 * D * (D + int(bias)),
        "flops": 4 * B * D * ((Tq + Tk) * D + Tq * Tk),
        "score_bytes": 4 * B * H * Tq * Tk,
        "kv_cache_bytes": lambda dtype="float32", n_kv_heads=H: (
            2 * B * Tk * D * n_kv_heads // H * np.dtype(dtype).itemsize
        ),
    }
