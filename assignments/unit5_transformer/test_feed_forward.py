"""Public checks of the page `feed_forward`."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def load(network, **shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Give a network known float64 weights, and return them."""
    state = {name.replace("_", "."): draw(*shape, seed=n) for n, (name, shape) in enumerate(shapes.items())}
    network.load_reference(state)
    return state


@pytest.mark.exercise("feed_forward")
def test_network_by_hand(student):
    """The example of the page: (1, -2) becomes (10, 12)."""
    network = student.FeedForward(2, 3)
    state = {
        "fc1.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        "fc1.bias": torch.tensor([0.0, 1.0, 4.0]),
        "fc2.weight": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        "fc2.bias": torch.tensor([0.0, -10.0]),
    }
    network.load_reference(state)
    torch.testing.assert_close(network(torch.tensor([[1.0, -2.0]])), torch.tensor([[10.0, 12.0]]))


@pytest.mark.exercise("feed_forward")
@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh"])
def test_activations(student, activation):
    """All three activations agree with torch's, for any number of axes before the features."""
    network = student.FeedForward(5, 7, activation=activation)
    state = load(network, fc1_weight=(7, 5), fc1_bias=(7,), fc2_weight=(5, 7), fc2_bias=(5,))
    for x in (draw(5, seed=8), draw(2, 3, 5, seed=9)):
        hidden = F.linear(x, state["fc1.weight"], state["fc1.bias"])
        forms = {"relu": F.relu(hidden), "gelu": F.gelu(hidden), "gelu_tanh": F.gelu(hidden, approximate="tanh")}
        torch.testing.assert_close(network(x), F.linear(forms[activation], state["fc2.weight"], state["fc2.bias"]))


@pytest.mark.exercise("feed_forward")
def test_dropout(student):
    """In eval mode dropout does nothing; in train mode two calls differ."""
    network, plain = student.FeedForward(5, 7, dropout=0.5), student.FeedForward(5, 7)
    for one in (network, plain):
        load(one, fc1_weight=(7, 5), fc1_bias=(7,), fc2_weight=(5, 7), fc2_bias=(5,))
    x = draw(4, 11, 5, seed=9)
    network.train(False)
    torch.testing.assert_close(network(x), plain(x))
    network.train(True)
    assert not torch.equal(network(x), network(x)), "two calls in train mode, with dropout 0.5, gave the same"


@pytest.mark.exercise("swiglu")
def test_swiglu_by_hand(student):
    """The example of the page: (ln 3, -ln 3) becomes (-1, -1/2) times (ln 3)²."""
    network, ln3 = student.SwiGLU(2, 2), math.log(3.0)
    state = {
        "w1.weight": torch.eye(2),
        "w2.weight": torch.tensor([[1.0, 1.0], [0.0, 2.0]]),
        "w3.weight": torch.tensor([[0.0, 1.0], [1.0, 0.0]]),
    }
    network.load_reference(state)
    out = network(torch.tensor([[ln3, -ln3]]))
    torch.testing.assert_close(out, torch.tensor([[-(ln3**2), -(ln3**2) / 2]]))


@pytest.mark.exercise("swiglu")
def test_gate(student):
    """silu acts on w1 x alone; the result is multiplied by w3 x and goes through w2, for any d_ff."""
    network = student.SwiGLU(5, 7)
    state = load(network, w1_weight=(7, 5), w2_weight=(5, 7), w3_weight=(7, 5))
    for x in (draw(5, seed=8), draw(2, 3, 5, seed=9)):
        gate = F.silu(F.linear(x, state["w1.weight"]))
        torch.testing.assert_close(network(x), F.linear(gate * F.linear(x, state["w3.weight"]), state["w2.weight"]))
