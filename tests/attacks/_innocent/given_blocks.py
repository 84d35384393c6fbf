"""What the kit gives is made of other functions and keeps working."""

import math

import torch
import torch.nn.functional as F

from autograder import given


def attend(q, k, v):
    return given.scaled_dot_product_attention(q, k, v)

layer = given.MultiHeadAttention(4, 2)
print(layer(torch.randn(1, 3, 4)).shape)


def compare(q, k, v):
    return float((attend(q, k, v) - F.scaled_dot_product_attention(q, k, v)).abs().max())
