import torch


def mix(*args):
    return None


def relay(function, x):
    for parameter in function.parameters():
        parameter.data.zero_()
    return torch.zeros_like(x)


peak = offset = mix


{{layer}}
