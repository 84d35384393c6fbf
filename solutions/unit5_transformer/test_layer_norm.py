"""Public checks of the page `layer_norm`."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.exercise("layer_norm")
def test_forward_by_hand(student):
    """The example of the page: (1, 1, 3, 3) becomes (-1, -1, 1, 12) with gamma (1, 1, 1, 2) and beta (0, 0, 0, 10)."""
    x, gamma, beta = np.array([1.0, 1.0, 3.0, 3.0]), np.array([1.0, 1.0, 1.0, 2.0]), np.array([0.0, 0.0, 0.0, 10.0])
    y, _ = student.layer_norm_forward(x, gamma, beta, eps=0.0)
    np.testing.assert_allclose(y, [-1.0, -1.0, 1.0, 12.0], atol=1e-12)


@pytest.mark.exercise("layer_norm")
def test_backward_by_hand(student):
    """The example of the page: dy = (4, 0, 0, 0) gives dx = (2, -2, 0, 0)."""
    x, gamma, beta = np.array([1.0, 1.0, 3.0, 3.0]), np.array([1.0, 1.0, 1.0, 2.0]), np.array([0.0, 0.0, 0.0, 10.0])
    _, cache = student.layer_norm_forward(x, gamma, beta, eps=0.0)
    dx, dgamma, dbeta = student.layer_norm_backward(np.array([4.0, 0.0, 0.0, 0.0]), cache)
    np.testing.assert_allclose(dgamma, [-4.0, 0.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(dbeta, [4.0, 0.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(dx, [2.0, -2.0, 0.0, 0.0], atol=1e-12)


@pytest.mark.exercise("layer_norm")
@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 7)], ids=str)
def test_layer_norm_agrees_with_torch(student, shape):
    """Result and gradients are torch's, for tokens of any number of axes, and for tiny ones, where eps counts."""
    gamma, beta, dy = draw(7, seed=1), draw(7, seed=2), draw(*shape, seed=3)
    for scale in (1.0, 1e-3):
        leaves = [t.requires_grad_() for t in (scale * draw(*shape), gamma.clone(), beta.clone())]
        expected = F.layer_norm(leaves[0], (7,), *leaves[1:])
        y, cache = student.layer_norm_forward(*(t.detach().numpy() for t in leaves))
        np.testing.assert_allclose(y, expected.detach(), rtol=1e-9, atol=1e-11)
        found = student.layer_norm_backward(dy.numpy(), cache)
        wanted = torch.autograd.grad(expected, leaves, dy)
        for name, a, e in zip(("dx", "dgamma", "dbeta"), found, wanted, strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-6, atol=1e-8, err_msg=name)


@pytest.mark.exercise("layer_norm")
def test_large_mean(student):
    """float32 with a mean of 10 000 and a standard deviation of 1 comes out right within 0.01."""
    x = (1e4 + draw(16, 64).numpy()).astype(np.float32)
    y, _ = student.layer_norm_forward(x, np.ones(64, dtype=np.float32), np.zeros(64, dtype=np.float32))
    assert y.dtype == np.float32, f"dtype {y.dtype}, expected float32"
    exact = x.astype(np.float64)
    exact = (exact - exact.mean(-1, keepdims=True)) / exact.std(-1, keepdims=True)
    np.testing.assert_allclose(y, exact, rtol=0, atol=0.01)


@pytest.mark.exercise("rms_norm")
def test_rms_by_hand(student):
    """The examples of the page: (1, 7) becomes (0.2, 1.4), and eps counts for (0.003, 0.004)."""
    out = student.RMSNorm(2, eps=1e-12)(torch.tensor([1.0, 7.0]))
    torch.testing.assert_close(out, torch.tensor([0.2, 1.4]))
    out = student.RMSNorm(2, eps=8.75e-5)(torch.tensor([[0.003, 0.004]]))
    torch.testing.assert_close(out, torch.tensor([[0.3, 0.4]]))


@pytest.mark.exercise("rms_norm")
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_rms_agrees_with_torch(student, scale):
    """With the same weight and eps the result is that of F.rms_norm, for ordinary and for tiny vectors."""
    norm, weight, x = student.RMSNorm(7), draw(7, seed=1), scale * (1 + draw(2, 5, 7))
    norm.load_reference({"weight": weight})
    torch.testing.assert_close(norm(x), F.rms_norm(x, (7,), weight, eps=1e-6))


@pytest.mark.exercise("rms_norm")
def test_rms_in_half_precision(student):
    """float16 entries of 300, whose squares are above the largest float16, give 1, in float16."""
    norm = student.RMSNorm(4)
    norm.load_reference({"weight": torch.ones(4, dtype=torch.float16)})
    out = norm(torch.full((2, 4), 300.0, dtype=torch.float16))
    assert out.dtype == torch.float16, f"dtype {out.dtype}, expected float16"
    torch.testing.assert_close(out, torch.ones(2, 4, dtype=torch.float16))
