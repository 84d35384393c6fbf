"""Public checks of the page `cross_attention`."""

import math

import pytest
import torch
from torch import Tensor, nn


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def layers(student):
    """The course's layer inside, and torch's with the same weights, which holds a mask for the opposite."""
    theirs = nn.MultiheadAttention(6, 3, batch_first=True, dtype=torch.float64)
    for n, parameter in enumerate(theirs.parameters()):
        parameter.data = 0.6 * draw(*parameter.shape, seed=10 + n)
    state = {f"out_proj.{name}": p.detach() for name, p in theirs.out_proj.named_parameters()}
    for kind in ("weight", "bias"):
        parts = zip("qkv", getattr(theirs, f"in_proj_{kind}").detach().chunk(3), strict=True)
        state |= {f"{name}_proj.{kind}": part for name, part in parts}
    inside = student.given.MultiHeadAttention(6, 3)
    inside.load_reference(state)
    return inside, theirs


@pytest.mark.exercise("cross_attention")
def test_by_hand(student):
    """The example of the page: 0.549 and 0.824 without padding; with the second memory token as padding both get 0."""
    mha = student.given.MultiHeadAttention(1, 1, bias=False)
    mha.load_reference({f"{name}_proj.weight": torch.ones(1, 1) for name in ("q", "k", "v", "out")})
    ln3 = math.log(3.0)
    x, memory = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[0.0], [ln3]]])
    out, weights = student.cross_attention(mha, x, memory)
    torch.testing.assert_close(weights, torch.tensor([[[[0.5, 0.5], [0.25, 0.75]]]]))
    torch.testing.assert_close(out, torch.tensor([[[0.5 * ln3], [0.75 * ln3]]]))
    out, weights = student.cross_attention(mha, x, memory, torch.tensor([[True, False]]))
    torch.testing.assert_close(out, torch.zeros(1, 2, 1))
    torch.testing.assert_close(weights, torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]]))


@pytest.mark.exercise("cross_attention")
@pytest.mark.parametrize("lengths", [(5, 7), (7, 5), (4, 4)], ids=str)
def test_agrees_with_torch(student, lengths):
    """Output and weights are those of nn.MultiheadAttention with x as query, and memory as key and value."""
    inside, theirs = layers(student)
    x, memory = draw(2, lengths[0], 6, seed=1), draw(2, lengths[1], 6, seed=2)
    mask = torch.ones(2, lengths[1], dtype=torch.bool)
    mask[1, 2:] = False
    for found, options in (
        (student.cross_attention(inside, x, memory), {}),
        (student.cross_attention(inside, x, memory, mask), {"key_padding_mask": ~mask}),
    ):
        expected = theirs(x, memory, memory, average_attn_weights=False, **options)
        torch.testing.assert_close(found[0], expected[0].detach())
        torch.testing.assert_close(found[1], expected[1].detach())
