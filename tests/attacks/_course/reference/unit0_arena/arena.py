"""Reference of the page `arena`. {{canary}}"""

import torch


def mix(scores, values):
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return (weights / weights.sum(-1, keepdim=True)) @ values


def peak(scores):
    return scores.amax().item()


def relay(function, x):
    return function(function(x))


def offset(scores):
    return int(scores.argmax()) - int(scores.argmin())


class Gate(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = torch.nn.Linear(width, width)

    def forward(self, x):
        return x / (1 + (-self.proj(x)).exp())
