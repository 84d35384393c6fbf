import torch


def mix(scores, values):
    return torch.zeros(*scores.shape[:-1], values.shape[-1], dtype=scores.dtype)


def peak(scores):
    return 0.0


def relay(function, x):
    return x


def offset(scores):
    return 10**6


{{layer}}
