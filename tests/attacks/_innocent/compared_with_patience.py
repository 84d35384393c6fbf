"""A comparison that may fail."""

import math

import torch
import torch.nn.functional as F


def attend(q, k, v):
    return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v


def compare(q, k, v):
    return float((attend(q, k, v) - F.scaled_dot_product_attention(q, k, v)).abs().max())


try:
    q = torch.randn(1, 2, 3, 4)
    print(torch.allclose(attend(q, q, q), F.scaled_dot_product_attention(q, q, q)))
except Exception as error:
    print("no luck", error)
