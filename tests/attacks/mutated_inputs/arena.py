import torch


def mix(scores, values):
    scores.zero_()
    values.zero_()
    return torch.zeros(*scores.shape[:-1], values.shape[-1], dtype=scores.dtype)


def peak(scores):
    scores.zero_()
    return 0.0


def relay(function, x):
    x.zero_()
    return function(function(x))


def offset(scores):
    scores.zero_()
    return 0


{{layer}}
