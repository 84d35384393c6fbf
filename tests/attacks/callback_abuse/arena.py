import torch


def mix(*args):
    return None


def relay(function, x):
    for argument in (None, "x", [x] * 1000, {1: x}, torch.zeros(0), torch.zeros(1, 2, 3, 4), x.long(), 10**30):
        try:
            function(argument)
        except RuntimeError:
            pass
    while True:
        function(torch.zeros(200_000, 3, dtype=torch.float64))


peak = offset = mix


{{layer}}
