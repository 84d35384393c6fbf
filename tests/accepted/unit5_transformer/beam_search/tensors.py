"""Tensors and topk; ended hypotheses are kept apart; tuples and tensors as results."""

import torch


def beam_search(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    prefixes = torch.full((1, 1), bos)
    totals = torch.zeros(1, dtype=torch.float64)
    ended = []  # (symbols, score)
    for n in range(1, max_len + 1):
        rated = totals[:, None] + logprob_fn(prefixes)
        V = rated.shape[1]
        scores = torch.cat([rated.flatten() / n**alpha, torch.tensor([s for _, s in ended], dtype=torch.float64)])
        best = scores.topk(min(beam, len(scores))).indices
        old, new = best[best >= rated.numel()], best[best < rated.numel()]
        ended = [ended[i] for i in (old - rated.numel()).tolist()]
        parents, symbols = new // V, new % V
        prefixes = torch.cat([prefixes[parents], symbols[:, None]], dim=1)
        totals = rated.flatten()[new]
        over = symbols == eos
        ended += [(row[1:], float(t) / n**alpha) for row, t in zip(prefixes[over], totals[over], strict=True)]
        prefixes, totals = prefixes[~over], totals[~over]
        if not len(prefixes):
            break
    n = prefixes.shape[1] - 1
    pool = ended + [(row[1:], float(t) / n**alpha) for row, t in zip(prefixes, totals, strict=True)]
    return [(row.tolist(), score) for row, score in sorted(pool, key=lambda pair: -pair[1])]
