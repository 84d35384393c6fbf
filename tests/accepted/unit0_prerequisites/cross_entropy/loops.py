"""A loop over flattened positions."""

import math

import numpy as np


def cross_entropy(logits, targets, ignore_index=-100, reduction="mean"):
    if reduction not in {"mean", "sum", "none"}:
        raise ValueError(reduction)
    flat, wanted = logits.reshape(-1, logits.shape[-1]), np.reshape(targets, -1)
    losses, n = np.zeros(len(flat), dtype=logits.dtype), 0
    for i in range(len(flat)):
        if wanted[i] == ignore_index:
            continue
        top = float(flat[i].max())
        losses[i] = top + math.log(sum(math.exp(float(v) - top) for v in flat[i])) - float(flat[i][wanted[i]])
        n += 1
    if reduction == "none":
        return losses.reshape(np.shape(targets))
    total = float(losses.sum(dtype=np.float64))
    return total if reduction == "sum" else (total / n if n else 0.0)
