"""Plain Python lists, row by row."""

import torch


def causal_mask(Tq, Tk=None, offset=None, device=None):
    Tk = Tq if Tk is None else Tk
    offset = Tk - Tq if offset is None else offset
    rows = [[j <= i + offset for j in range(Tk)] for i in range(Tq)]
    return torch.tensor(rows, dtype=torch.bool, device=device).reshape(Tq, Tk)
