"""Every step of the models as a list of what it reads and writes; the median by NumPy."""

import time

import numpy as np


def attention_cost(B, H, T, D, dtype, causal, flash, backward=False):
    wide, square, row = T * D * dtype.itemsize, T * T * dtype.itemsize, 4 * T
    steps = {
        (False, False): [wide, wide, square, square, square, square, wide, wide],
        (False, True): [*[square, wide, wide], *[wide, wide, square], *[square] * 3, *[square, wide, wide] * 2],
        (True, False): [wide] * 4 + [row],
        (True, True): [wide] * 9 + [row] * 3,
    }[flash, backward]
    products = {(False, False): 2, (True, False): 2, (False, True): 4, (True, True): 5}[flash, backward]
    alive = [row] * (2 if backward else 1) if flash else [square] * (3 if backward else 2)
    pairs = B * H
    flops = products * (2 * T * T * D) * pairs // (2 if causal else 1)
    return {
        "flops": flops,
        "hbm_bytes": pairs * sum(steps),
        "intensity": flops / (pairs * sum(steps)),
        "peak_temp_bytes": pairs * sum(alive),
    }


def benchmark(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    wait = synchronize if synchronize else (lambda: None)
    for _ in range(warmup):
        fn()
        wait()
    measured = np.zeros(repeats)
    for n in range(repeats):
        wait()
        measured[n] = -clock()
        fn()
        wait()
        measured[n] += clock()
    middle = float(np.median(measured))
    return {"median_ms": middle * 1e3, "tflops": flops / (middle * 1e12)}
