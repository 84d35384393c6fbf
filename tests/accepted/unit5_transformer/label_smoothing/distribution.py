"""The smoothed distribution as a matrix; rows that do not count are weighted with 0."""

import torch


def label_smoothing_loss(logits, target, eps=0.1, ignore_index=-100):
    V = logits.size(1)
    counts = target.ne(ignore_index)
    q = torch.full_like(logits, eps / V)
    safe = target.clamp(0, V - 1).unsqueeze(1)
    q.scatter_add_(1, safe, torch.full_like(safe, 1, dtype=logits.dtype) * (1 - eps))
    row = -torch.einsum("nv,nv->n", q, logits.log_softmax(-1))
    total = (row * counts.to(row.dtype)).sum()
    return total / counts.sum().clamp(min=1)
