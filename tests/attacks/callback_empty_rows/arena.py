import torch


def mix(*args):
    return torch.empty(1 << 40, 0)


def relay(function, x):
    try:
        return function(torch.empty(1 << 40, 0, dtype=x.dtype))
    except RuntimeError:
        return torch.empty(1 << 40, 0, dtype=x.dtype)


peak = offset = mix


{{layer}}
