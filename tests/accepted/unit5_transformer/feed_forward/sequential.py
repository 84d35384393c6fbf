"""The parts as modules, in nn.Sequential, with the activations of torch.nn; the weights find their way by name."""

from torch import nn


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff, activation="relu", dropout=0.0):
        super().__init__()
        choices = {"relu": nn.ReLU(), "gelu": nn.GELU(), "gelu_tanh": nn.GELU(approximate="tanh")}
        if activation not in choices:
            raise ValueError(f"unknown activation {activation}")
        self.net = nn.Sequential(
            nn.Linear(d_model, d_ff), choices[activation], nn.Dropout(dropout), nn.Linear(d_ff, d_model)
        )

    def load_reference(self, state_dict):
        names = {"fc1": "net.0", "fc2": "net.3"}
        self.load_state_dict({f"{names[n.split('.')[0]]}.{n.split('.')[1]}": w for n, w in state_dict.items()})

    def forward(self, x):
        return self.net(x)
