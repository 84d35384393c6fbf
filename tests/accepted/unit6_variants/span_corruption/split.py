"""The text is split where the mask changes; the cuts are a sorted sample of the gaps."""

import numpy as np


def apply_span_mask(tokens, noise, sentinel0, eos):
    edges = np.flatnonzero(noise[1:] != noise[:-1]) + 1
    sentinel, inputs, targets = sentinel0, [], []
    for piece, cut in zip(np.split(tokens, edges), np.split(noise, edges), strict=True):
        if cut[0]:
            inputs.append([sentinel])
            targets += [[sentinel], piece]
            sentinel -= 1
        else:
            inputs.append(piece)
    inputs.append([eos])
    targets.append([sentinel, eos])
    return np.concatenate(inputs).astype(tokens.dtype), np.concatenate(targets).astype(tokens.dtype)


def random_spans_mask(T, density, mean_len, generator):
    n = int(np.clip(round(T * density), 1, T - 1))
    k = int(np.clip(round(n / mean_len), 1, min(n, T - n)))
    gaps = [np.sort(generator.permutation(total - 1)[: k - 1]) for total in (T - n, n)]
    ends = [np.append(gap + 1, total) for gap, total in zip(gaps, (T - n, n), strict=True)]
    mask, start = np.zeros(T, dtype=bool), np.concatenate([[0], ends[1][:-1]])
    for i in range(k):
        mask[ends[0][i] + start[i] : ends[0][i] + ends[1][i]] = True
    return mask
