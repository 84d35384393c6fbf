import torch


def mix(scores, values):
    return torch.full((*scores.shape[:-1], values.shape[-1]), float("nan"), dtype=scores.dtype, requires_grad=True)


def peak(scores):
    return float("nan")


def relay(function, x):
    return x * float("inf")


def offset(scores):
    return float("nan")


{{layer}}
