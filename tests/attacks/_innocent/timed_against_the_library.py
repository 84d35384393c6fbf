"""A benchmark in a class whose decorator runs it."""

import math

import torch
import torch.nn.functional as F


def attend(q, k, v):
    return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v


def compare(q, k, v):
    return float((attend(q, k, v) - F.scaled_dot_product_attention(q, k, v)).abs().max())


def at_once(function):
    function()
    return function


@at_once
def race():
    q = torch.randn(1, 2, 3, 4)
    for run in (attend, F.scaled_dot_product_attention):
        run(q, q, q)


def after():
    return attend
