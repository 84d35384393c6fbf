"""Row by row, with logsumexp; the mean of the logits instead of a sum over symbols."""

import torch


def label_smoothing_loss(logits, target, eps=0.1, ignore_index=-100):
    total, n = logits.sum() * 0.0, 0
    for row, right in zip(logits, target.tolist(), strict=True):
        if right != ignore_index:
            wanted = (1 - eps) * row[right] + eps * row.mean()
            total = total + torch.logsumexp(row, dim=0) - wanted
            n += 1
    return total / n if n else total
