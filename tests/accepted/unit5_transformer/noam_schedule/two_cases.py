"""Rise and fall as two cases, from the peak."""

import math


def noam_lr(step, d_model, warmup, factor=1.0):
    if step == 0:
        return noam_lr(1, d_model, warmup, factor)
    peak = factor / math.sqrt(d_model * warmup)
    return peak * step / warmup if step < warmup else peak * math.sqrt(warmup) / math.sqrt(step)
