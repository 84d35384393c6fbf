"""Counts shapes of real (empty) matrices; the size of the cache through options of mha_cost itself; floats."""

import numpy as np


def mha_cost(B, Tq, Tk, D, H, bias=True, dtype="float32", n_kv_heads=None):
    n_kv_heads = H if n_kv_heads is None else n_kv_heads
    products = [((B * T, D), (D, D)) for T in (Tq, Tk, Tk, Tq)]
    products += [((Tq, D // H), (D // H, Tk)), ((Tq, Tk), (Tk, D // H))] * (B * H)
    flops = sum(2.0 * m * n * p for (m, n), (_, p) in products)
    params = sum(np.prod(shape) for shape in [(D, D)] * 4 + [(D,)] * (4 if bias else 0))
    cache = 2.0 * B * Tk * n_kv_heads * D / H * np.dtype(dtype).itemsize
    return dict(params=params, flops=flops, score_bytes=B * H * Tq * Tk * 4, kv_cache_bytes=cache)
