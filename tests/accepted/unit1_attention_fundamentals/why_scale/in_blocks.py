"""A few pairs at a time, keys drawn before queries; the entropy as log of the sum minus the mean score."""

import numpy as np


def score_stats(d, n, scaled, rng):
    block = max(1, 1_000_000 // d)
    scores = []
    for start in range(0, n, block):
        shape = (min(block, n - start), d)
        k, q = rng.normal(size=shape), rng.normal(size=shape)
        scores.append((q * k).sum(axis=1))
    s = np.concatenate(scores) * (d**-0.5 if scaled else 1.0)
    rows = s.reshape(n // 16, 16)
    rows = rows - rows.max(axis=1, keepdims=True)
    total = np.exp(rows).sum(axis=1, keepdims=True)
    p = np.exp(rows) / total
    entropy = np.log(total[:, 0]) - (p * rows).sum(axis=1)
    return {"var": np.var(s, ddof=1), "entropy": entropy.mean(), "max_prob": p.max(axis=1).mean()}
