"""Closed formulas in floats, and a stopwatch that sorts."""

import time

import torch


def attention_cost(B, H, T, D, dtype, causal, flash, backward=False):
    e, n = torch.empty((), dtype=dtype).element_size(), float(B * H)
    forward = 4 * n * T**2 * D
    flops = forward * ((2.5 if flash else 2.0) if backward else 1.0) * (0.5 if causal else 1.0)
    if flash:
        moved = n * T * ((9 * D * e + 12) if backward else (4 * D * e + 4))
        peak = n * T * (8 if backward else 4)
    else:
        moved = n * T * e * ((8 * D + 7 * T) if backward else (4 * D + 4 * T))
        peak = n * T * T * e * (3 if backward else 2)
    return dict(flops=flops, hbm_bytes=moved, intensity=flops / moved, peak_temp_bytes=peak)


def benchmark(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    def once():
        if synchronize is not None:
            synchronize()
        elif torch.cuda.is_available():
            torch.cuda.synchronize()

    times = []
    once()
    for _ in range(warmup + repeats):
        t0 = clock()
        fn()
        once()
        times.append(clock() - t0)
    t = sorted(times[warmup:])
    s = 0.5 * (t[len(t) // 2] + t[~(len(t) // 2)])
    return {"median_ms": s * 1000, "tflops": flops / s / 1e12, "all": t}
