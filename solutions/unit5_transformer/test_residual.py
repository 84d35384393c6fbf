"""Public checks of the page `residual`."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear(student, weight: Tensor):
    """A linear sub-layer inside."""
    sublayer = student.given.nn.Linear(*weight.shape, bias=False)
    sublayer.load_reference({"weight": weight})
    return sublayer


@pytest.mark.exercise("residual_norm_wrappers")
def test_by_hand(student):
    """The example of the page: (1, 3) becomes (-1, 5) with pre-LN and (-1, 1) with post-LN."""
    x, double = torch.tensor([[1.0, 3.0]]), linear(student, 2 * torch.eye(2))
    norm = student.given.LayerNorm(2, eps=0.0)
    torch.testing.assert_close(student.Residual(double, norm, norm_first=True)(x), torch.tensor([[-1.0, 5.0]]))
    torch.testing.assert_close(student.Residual(double, norm, norm_first=False)(x), torch.tensor([[-1.0, 1.0]]))


@pytest.mark.exercise("residual_norm_wrappers")
def test_both_places(student):
    """With norm_first the sub-layer reads the normalised stream and adds to x; without it the sum is normalised."""
    W, weight, bias, x = draw(5, 5, seed=1), draw(5, seed=2), draw(5, seed=3), 1 + draw(2, 3, 5)
    norm = student.given.LayerNorm(5)
    norm.load_reference({"weight": weight, "bias": bias})
    pre, post = (student.Residual(linear(student, W), norm, norm_first=first) for first in (True, False))
    torch.testing.assert_close(pre(x), x + F.linear(F.layer_norm(x, (5,), weight, bias), W))
    torch.testing.assert_close(post(x), F.layer_norm(x + F.linear(x, W), (5,), weight, bias))


@pytest.mark.exercise("residual_norm_wrappers")
def test_mask_arrives(student):
    """A mask passed by keyword reaches the attention inside: with it, the last token does not matter to the others."""
    x, changed = draw(1, 3, 4).float(), draw(1, 3, 4).float()
    changed[:, 2] = draw(4, seed=5)
    mask = torch.tensor([True, True, False]).expand(3, 3)
    for first in (True, False):
        attention, norm = student.given.MultiHeadAttention(4, 2), student.given.LayerNorm(4)
        layer = student.Residual(attention, norm, norm_first=first)
        torch.testing.assert_close(layer(x, mask=mask)[:, :2], layer(changed, mask=mask)[:, :2])
        assert not torch.allclose(layer(x)[:, :2], layer(changed)[:, :2]), "without a mask the last token must matter"


@pytest.mark.exercise("residual_norm_wrappers")
def test_dropout(student):
    """In train mode some of what is written is dropped, and x itself is not; in eval mode nothing is."""
    x, norm = draw(9, 7, 5), student.given.nn.Identity()
    layer = student.Residual(linear(student, torch.eye(5, dtype=torch.float64)), norm, norm_first=True, dropout=0.5)
    layer.train(False)
    torch.testing.assert_close(layer(x), 2 * x)
    layer.train(True)
    out = layer(x)  # x alone where dropped, x + 2x where not
    dropped, kept = torch.isclose(out, x), torch.isclose(out, 3 * x)
    assert (dropped | kept).all(), "some number is neither x nor x plus what was written, divided by 1 - dropout"
    assert dropped.any() and kept.any(), "nothing, or everything, was dropped"
