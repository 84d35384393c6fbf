"""Counts shapes of real (empty) matrices; the cache as a function that is made of another one; floats."""

from functools import partial

import numpy as np


def cache_bytes(tokens, width, dtype, n_kv_heads):
    return 2.0 * tokens * n_kv_heads * width * np.dtype(dtype).itemsize


def mha_cost(B, Tq, Tk, D, H, bias=True):
    products = [((B * T, D), (D, D)) for T in (Tq, Tk, Tk, Tq)]
    products += [((Tq, D // H), (D // H, Tk)), ((Tq, Tk), (Tk, D // H))] * (B * H)
    flops = sum(2.0 * m * n * p for (m, n), (_, p) in products)
    params = sum(np.prod(shape) for shape in [(D, D)] * 4 + [(D,)] * (4 if bias else 0))
    cache = partial(cache_bytes, B * Tk, D / H)
    return dict(params=params, flops=flops, score_bytes=B * H * Tq * Tk * 4, kv_cache_bytes=cache)
