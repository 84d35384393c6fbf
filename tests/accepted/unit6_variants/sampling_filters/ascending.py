"""Sorted upwards, as others do: what has at most 1 - p below it goes; sampling by the distribution function."""

import torch


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature < 0:
        raise ValueError("a temperature below 0")
    ruled_out = torch.tensor(-torch.inf, dtype=logits.dtype)
    if temperature == 0:
        temperature, top_k, top_p = 1.0, 1, None
    out = logits / temperature
    if top_k:
        top_k = min(top_k, out.size(1))
        out = torch.where(out < out.topk(top_k).values[:, [-1]], ruled_out, out)
    if top_p is not None and top_p < 1:
        values, order = out.sort(dim=1)
        gone = values.softmax(dim=1).cumsum(dim=1) <= 1 - top_p
        gone[:, -1] = False
        back = order.argsort(dim=1)
        out = torch.where(gone.gather(1, back), ruled_out, out)
    return out


def sample(logits, generator):
    edges = logits.double().softmax(dim=1).cumsum(dim=1)
    edges = edges / edges[:, -1:]
    u = torch.rand(logits.size(0), 1, generator=generator, dtype=torch.float64)
    return torch.searchsorted(edges, u, right=True).squeeze(1)
