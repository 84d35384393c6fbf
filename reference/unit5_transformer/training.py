"""Reference of the page `training`: row by row; Adam's equations, the clipping and the rates written out."""

import math

import torch
from torch import Tensor


def label_smoothing_loss(logits: Tensor, target: Tensor, eps: float = 0.1, ignore_index: int = -100) -> Tensor:
    """The distribution q of each row, written down."""
    V = logits.shape[1]
    losses = []
    for row, right in zip(logits, target.tolist(), strict=True):
        if right == ignore_index:
            continue
        q = torch.tensor([eps / V + (1 - eps) * (k == right) for k in range(V)], dtype=logits.dtype)
        highest = row.max().detach()
        logsumexp = highest + (row - highest).exp().sum().log()
        losses.append((q * (logsumexp - row)).sum())
    return sum(losses) / len(losses) if losses else 0 * logits.sum()


def noam_lr(step: int, d_model: int, warmup: int, factor: float = 1.0) -> float:
    """A straight line up to the peak, an inverse root behind it."""
    peak = factor / math.sqrt(d_model * warmup)
    if step <= warmup:
        return peak * max(step, 1) / warmup
    return peak * math.sqrt(warmup / step)


def train_copy(model, data_gen, steps, lr, warmup, generator):
    """Everything by hand but the gradient."""
    parameters = list(model.parameters())
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    losses = []
    for s in range(1, steps + 1):
        src, tgt = data_gen(generator)
        inp = torch.tensor([[1, *row[:-1]] for row in tgt.tolist()])
        T = tgt.shape[1]
        mask = torch.tensor([[j <= i for j in range(T)] for i in range(T)])
        logits = model(src, inp, tgt_mask=mask, positions=torch.tensor(range(max(T, src.shape[1]))))
        logp = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
        real = [(b, t) for b, row in enumerate(tgt.tolist()) for t, symbol in enumerate(row) if symbol != 0]
        loss = -sum(logp[b, t, tgt[b, t]] for b, t in real) / len(real)
        losses.append(float(loss.detach()))
        gradients = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
        rate = lr * s / warmup if s <= warmup else lr * math.sqrt(warmup / s)
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                g = g * min(1.0, 1.0 / (norm + 1e-6))
                m += 0.1 * (g - m)
                v += 0.02 * (g * g - v)
                p -= rate * (m / (1 - 0.9**s)) / ((v / (1 - 0.98**s)).sqrt() + 1e-9)
    return losses
