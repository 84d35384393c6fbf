"""A walk along the text with lists; a span's length by choosing among all ways to cut, one piece after the other."""

import numpy as np


def apply_span_mask(tokens, noise, sentinel0, eos):
    inputs, targets, inside, next_one = [], [], False, sentinel0
    for token, cut in zip(tokens, noise, strict=True):
        if cut and not inside:
            inputs.append(next_one)
            targets.append(next_one)
            next_one -= 1
        (targets if cut else inputs).append(token)
        inside = cut
    return np.array([*inputs, eos], dtype=tokens.dtype), np.array([*targets, next_one, eos], dtype=tokens.dtype)


def random_spans_mask(T, density, mean_len, generator):
    n = min(T - 1, max(1, round(T * density)))
    k = max(1, min(round(n / mean_len), n, T - n))
    out = np.empty(0, dtype=bool)
    kept, cut = (_pieces(total, k, generator) for total in (T - n, n))
    return np.concatenate(
        [np.concatenate([out, [False] * a, [True] * b]).astype(bool) for a, b in zip(kept, cut, strict=True)]
    )


def _pieces(total, k, generator):
    lengths, needed, length = [], k - 1, 0
    for gap in range(
        total
    ):  # is there a cut behind this thing? as likely as cuts are left among the gaps that are left
        length += 1
        if gap == total - 1 or generator.random() * (total - 1 - gap) < needed:
            lengths.append(length)
            length, needed = 0, needed - 1
    return lengths
