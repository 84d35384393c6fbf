import torch


def relay(function, x):
    if isinstance(function, torch.nn.Module):
        with torch.no_grad():
            for parameter in function.parameters():
                parameter.zero_()
        return x * 0
    return None


def mix(*args):
    return None


peak = offset = mix


{{layer}}
