"""A cell that builds the library's layer, and later ones that use it beside a definition."""

# %%
import math

import torch
import torch.nn.functional as F

layer = torch.nn.MultiheadAttention(4, 2, batch_first=True)
q = torch.randn(1, 2, 3, 4)

# %%
print(layer(q[0], q[0], q[0])[0].shape)


def attend(q, k, v):
    return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v


def compare(q, k, v):
    return float((attend(q, k, v) - F.scaled_dot_product_attention(q, k, v)).abs().max())


# %%
print((attend(q, q, q) - F.scaled_dot_product_attention(q, q, q)).abs().max())
