import torch


def mix(scores, values):
    return torch.softmax(scores, -1) @ values


def peak(scores):
    return float(scores.max())


def relay(function, x):
    return function(function(x))


def offset(scores):
    return scores.argmax().item() - scores.argmin().item()


class Gate(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = torch.nn.Linear(width, width)

    def forward(self, x):
        return x * torch.sigmoid(self.proj(x))
