"""An answer of the right shape, without any work."""

import torch


def power(x):
    return torch.zeros_like(x)
