"""torch's own lower triangle, with the offset as its diagonal."""

import torch


def causal_mask(Tq, Tk=None, offset=None, device=None):
    if Tk is None:
        Tk = Tq
    return torch.ones((Tq, Tk), dtype=torch.bool, device=device).tril(Tk - Tq if offset is None else offset)
