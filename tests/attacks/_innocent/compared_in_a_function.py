"""A test of one's own, called at the end."""

import math

import torch
import torch.nn.functional as F


def attend(q, k, v):
    return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v


def compare(q, k, v):
    return float((attend(q, k, v) - F.scaled_dot_product_attention(q, k, v)).abs().max())


def check_mine():
    q = torch.randn(1, 2, 3, 4)
    torch.testing.assert_close(attend(q, q, q), F.scaled_dot_product_attention(q, q, q))


check_mine()
