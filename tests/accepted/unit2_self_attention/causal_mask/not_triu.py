"""The complement of the future: an upper triangle, inverted."""

import torch


def causal_mask(Tq, Tk=None, offset=None, device=None):
    columns = Tq if Tk is None else Tk
    shift = (columns - Tq) if offset is None else offset
    future = torch.triu(torch.ones(Tq, columns, device=device), diagonal=shift + 1)
    return future == 0
