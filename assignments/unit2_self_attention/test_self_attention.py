"""Public checks of the page `self_attention`."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def load(layer, bias: bool = False) -> dict[str, Tensor]:
    """Give a SelfAttention(5, 3, 7) known float64 weights, and return them."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"q_proj.weight": (3, 5), "k_proj.weight": (3, 5), "v_proj.weight": (7, 5)}
    if bias:
        shapes |= {"q_proj.bias": (3,), "k_proj.bias": (3,), "v_proj.bias": (7,)}
    weights = {name: torch.randn(shape, dtype=torch.float64, generator=generator) for name, shape in shapes.items()}
    layer.load_reference(weights)
    return weights


def tokens() -> Tensor:
    return 0.7 * torch.randn(2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.exercise("self_attention_layer")
def test_worked_example(student):
    """The example of the page: with all weights 1, the tokens 0 and ln 3 become 0.5493 and 0.8457."""
    layer = student.SelfAttention(1, 1, 1)
    layer.load_reference({f"{name}_proj.weight": torch.ones(1, 1, dtype=torch.float64) for name in "qkv"})
    x = torch.tensor([[[0.0], [math.log(3.0)]]], dtype=torch.float64)
    out, weights = layer(x, need_weights=True)
    torch.testing.assert_close(out[0, :, 0], torch.tensor([0.5493, 0.8457], dtype=torch.float64), atol=1e-4, rtol=0)
    expected = torch.tensor([[0.5, 0.5], [0.2302, 0.7698]], dtype=torch.float64)
    torch.testing.assert_close(weights[0], expected, atol=1e-4, rtol=0)


@pytest.mark.exercise("self_attention_layer")
@pytest.mark.parametrize("bias", [False, True])
def test_agrees_with_torch(student, bias):
    """The output is that of torch's attention on the three projections; d_model, d_k and d_v are three widths."""
    layer = student.SelfAttention(5, 3, 7, bias=bias)
    sd, x = load(layer, bias), tokens()
    q, k, v = (F.linear(x, sd[f"{name}_proj.weight"], sd.get(f"{name}_proj.bias")) for name in "qkv")
    out = layer(x)
    assert out.shape == (2, 4, 7), f"shape {tuple(out.shape)}, expected (2, 4, 7) = (B, T, d_v)"
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v))


@pytest.mark.exercise("self_attention_layer")
def test_weights(student):
    """need_weights adds the weights (B, T, T): rows sum to 1, masked pairs are 0, a fully masked row is all 0."""
    layer = student.SelfAttention(5, 3, 7)
    load(layer)
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    out, weights = layer(tokens(), mask=mask, need_weights=True)
    assert weights.shape == (2, 4, 4), f"shape {tuple(weights.shape)}, expected (2, 4, 4) = (B, T, T)"
    assert (weights[:, ~mask] == 0).all(), "a masked pair has a weight that is not exactly 0"
    torch.testing.assert_close(weights.sum(-1), torch.tensor([[1.0, 0.0, 1.0, 1.0]] * 2, dtype=torch.float64))
    torch.testing.assert_close(out[:, 1], torch.zeros(2, 7, dtype=torch.float64))


@pytest.mark.exercise("self_attention_layer")
def test_sentences_do_not_mix(student):
    """A sentence gives the same output alone as in a batch."""
    layer = student.SelfAttention(5, 3, 7)
    load(layer)
    x = tokens()
    torch.testing.assert_close(layer(x[1:]), layer(x)[1:])


class PlusMean(nn.Module):
    """Each token plus the mean of all: equivariant, not causal. `leak` adds position 1 to position 0 only."""

    def __init__(self, leak: float = 0.0):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.leak = leak

    def forward(self, x: Tensor) -> Tensor:
        out = self.linear(x) + x.mean(dim=0)
        return torch.cat([out[:1] + self.leak * x[1:2], out[1:]])


class RunningMean(nn.Module):
    """The mean of the tokens so far: causal. `leak` lets position 2 look at position 3."""

    def __init__(self, leak: float = 0.0):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.leak = leak

    def forward(self, x: Tensor) -> Tensor:
        mean = x.cumsum(dim=0) / torch.arange(1, len(x) + 1, dtype=x.dtype)[:, None]
        out = self.linear(x) + mean
        return torch.cat([out[:2], out[2:3] + self.leak * x[3:4], out[3:]])


class PerExample(nn.Module):
    """Attention within each example. `leak` lets the last example see the first."""

    def __init__(self, leak: float = 0.0):
        super().__init__()
        self.leak = leak

    def forward(self, x: Tensor) -> Tensor:
        out = F.scaled_dot_product_attention(x, x, x)
        return torch.cat([out[:-1], out[-1:] + self.leak * x[:1]])


SAMPLE = torch.zeros(5, 3)
BATCH = torch.zeros(3, 4, 5)


@pytest.mark.exercise("write_equivariance_tests")
def test_good_layers_are_accepted(student):
    """Layers that have the property are accepted, although the sample is all zeros and sums are rounded."""
    assert student.is_permutation_equivariant(PlusMean(), SAMPLE, np.random.default_rng(0)) is True
    assert student.is_causal(RunningMean(), SAMPLE) is True
    assert student.is_batch_independent(PerExample(), BATCH) is True


@pytest.mark.exercise("write_equivariance_tests")
def test_wrong_layers_are_rejected(student):
    """Layers that lack the property altogether are rejected."""
    assert student.is_permutation_equivariant(RunningMean(), SAMPLE, np.random.default_rng(0)) is False
    assert student.is_causal(PlusMean(), SAMPLE) is False
    assert student.is_batch_independent(nn.Softmax(dim=0), BATCH) is False


@pytest.mark.exercise("write_equivariance_tests")
def test_small_leaks_are_found(student):
    """A leak of 1e-4 at a single position is found."""
    assert student.is_permutation_equivariant(PlusMean(leak=1e-4), SAMPLE, np.random.default_rng(0)) is False
    assert student.is_causal(RunningMean(leak=1e-4), SAMPLE) is False
    assert student.is_batch_independent(PerExample(leak=1e-4), BATCH) is False


@pytest.mark.exercise("write_equivariance_tests")
def test_dropout_is_no_leak(student):
    """A good layer with dropout that arrives in train mode is accepted, and is still in train mode afterwards."""
    layer = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    assert student.is_permutation_equivariant(layer, SAMPLE, np.random.default_rng(0)) is True
    assert student.is_causal(layer, SAMPLE) is True
    assert student.is_batch_independent(layer, torch.zeros(2, 4, 3)) is True
    assert layer.training, "the layer came in train mode and was handed back in eval mode"
