"""One row after the other; weights of 0 are left out of the entropy."""

import math


def score_stats(d, n, scaled, rng):
    scores, entropies, largest = [], [], []
    for _ in range(n // 16):
        row = [float(rng.standard_normal(d) @ rng.standard_normal(d)) for _ in range(16)]
        row = [s / math.sqrt(d) for s in row] if scaled else row
        powers = [math.exp(s - max(row)) for s in row]
        w = [p / math.fsum(powers) for p in powers]
        scores += row
        entropies.append(sum(-p * math.log(p) for p in w if p > 0))
        largest.append(max(w))
    mean = math.fsum(scores) / n
    var = math.fsum((s - mean) ** 2 for s in scores) / n
    return {"var": var, "entropy": sum(entropies) / len(entropies), "max_prob": sum(largest) / len(largest)}
