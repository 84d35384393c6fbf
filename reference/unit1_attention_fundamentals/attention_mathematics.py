"""Reference of the page `attention_mathematics`: one row at a time; dot products drawn from their distribution."""

import numpy as np


def masked_softmax(scores, mask=None):
    """Each row's softmax over the list of its allowed keys."""
    allowed = np.ones(scores.shape, dtype=bool) if mask is None else np.broadcast_to(mask, scores.shape)
    weights = np.zeros(scores.shape, dtype=scores.dtype)
    for index in np.ndindex(scores.shape[:-1]):
        keys = np.flatnonzero(allowed[index])
        if len(keys):
            powers = np.exp(scores[index][keys] - scores[index][keys].max())
            weights[index][keys] = powers / powers.sum()
    return weights


def score_stats(d, n, scaled, rng):
    """Given its query, q·k is normal with variance |q|², and |q|² is χ² with d degrees of freedom."""
    scores = np.sqrt(rng.chisquare(d, size=n)) * rng.standard_normal(n)
    if scaled:
        scores = scores * d**-0.5
    entropies, largest = [], []
    for row in scores.reshape(-1, 16):
        powers = np.exp(row - row.max())
        weights = powers / powers.sum()
        largest.append(weights.max())
        weights = weights[weights > 0]
        entropies.append(-(weights * np.log(weights)).sum())
    return {
        "var": float(((scores - scores.mean()) ** 2).mean()),
        "entropy": float(np.mean(entropies)),
        "max_prob": float(np.mean(largest)),
    }
