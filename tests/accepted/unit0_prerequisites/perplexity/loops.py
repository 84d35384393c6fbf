"""Token by token; the logarithms are turned into natural ones first."""

import math


def perplexity(token_logprobs, mask, base="e"):
    factor = 1.0 if base == "e" else math.log(base)
    total, count = 0.0, 0
    for row, kept in zip(token_logprobs, mask, strict=True):
        for value, counts in zip(row, kept, strict=True):
            if counts:
                total -= float(value) * factor
                count += 1
    if count == 0:
        raise ValueError("nothing to average")
    return math.exp(total / count)
