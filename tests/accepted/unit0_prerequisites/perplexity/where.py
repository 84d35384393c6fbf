"""np.where instead of a selection; returns a NumPy number."""

import numpy as np


def perplexity(token_logprobs, mask, base="e"):
    n = np.count_nonzero(mask)
    if not n:
        raise ValueError(f"{mask.size} entries, and none of them counts")
    mean = np.where(mask, token_logprobs, 0.0).sum() / n
    return np.exp(-mean) if base == "e" else np.power(float(base), -mean)
