import torch


def mix(*args):
    return torch.ones(5 * 2**30, dtype=torch.uint8)


peak = relay = offset = mix


{{layer}}
