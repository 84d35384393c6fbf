"""The reference of unit 0 agrees with scipy, torch and torch.optim, the degenerate cases included."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[2]


def load(page: str):
    path = ROOT / "reference" / "unit0_prerequisites" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


numerics = load("numerics")
SEEDS = [0, 1, 2]
DTYPES = [np.float64, np.float32]


def normal(seed: int, *shape: int, scale: float = 1.0, dtype=np.float64) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def assert_same(ours: np.ndarray, theirs: np.ndarray, rtol: float | None = None) -> None:
    """Shape, dtype and values, the tolerance by dtype."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    rtol = rtol or (1e-12 if ours.dtype == np.float64 else 1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-14 if ours.dtype == np.float64 else 1e-6)


# numerics


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (5, 1), (0, 5)])
def test_softmax_family_matches_scipy(shape, scale, dtype):
    """softmax, logsumexp and log_softmax equal scipy's along every axis, with entries of −inf and ±1e4."""
    x = normal(0, *shape, scale=scale, dtype=dtype)
    if shape == (3, 5):
        x[1, 2:] = -np.inf
        x[2, 0] = -np.inf
    for axis in range(-x.ndim, x.ndim):
        if x.shape[axis] == 0:
            continue
        assert_same(numerics.softmax(x, axis), scipy.special.softmax(x, axis))
        assert_same(numerics.log_softmax(x, axis), scipy.special.log_softmax(x, axis), 1e-5 if scale > 1 else None)
        for keepdims in (False, True):
            expected = scipy.special.logsumexp(x, axis=axis, keepdims=keepdims)
            assert_same(numerics.logsumexp(x, axis, keepdims), np.asarray(expected, dtype=dtype))


def test_logsumexp_of_nothing():
    """A row of −inf gives −inf, as in scipy."""
    x = np.array([[-np.inf, -np.inf], [-np.inf, 3.0]])
    assert numerics.logsumexp(x).tolist() == [-np.inf, 3.0] == scipy.special.logsumexp(x, axis=1).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("ignore_index", [-100, -1, 3])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_cross_entropy_matches_torch(dtype, reduction, ignore_index, scale):
    """Losses and gradients equal torch's, with ignored targets, for any leading axes."""
    logits = normal(1, 7, 5, scale=scale, dtype=dtype)
    targets = np.array([0, 4, ignore_index, 2, 1, ignore_index, 2])
    inner = torch.from_numpy(logits).requires_grad_()
    expected = F.cross_entropy(inner, torch.from_numpy(targets), ignore_index=ignore_index, reduction=reduction)
    ours = numerics.cross_entropy(logits, targets, ignore_index, reduction)
    rtol = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(ours, expected.detach().numpy(), rtol=rtol, atol=rtol)
    folded = numerics.cross_entropy(logits[None, :, None], targets[None, :, None], ignore_index, reduction)
    np.testing.assert_allclose(np.ravel(folded), np.ravel(ours))
    if reduction == "mean":
        expected.backward()
        assert_same(numerics.cross_entropy_grad(logits, targets, ignore_index), inner.grad.numpy())


def test_cross_entropy_of_nothing():
    """Nothing that counts: 0, where torch's mean is NaN. One class: 0. No leading axis: torch's value."""
    logits, ignored = normal(2, 3, 5), np.full(3, -100)
    assert math.isnan(F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(ignored)))
    assert numerics.cross_entropy(logits, ignored) == 0.0
    assert numerics.cross_entropy(logits[:0], ignored[:0]) == 0.0
    assert not numerics.cross_entropy_grad(logits, ignored).any()
    assert numerics.cross_entropy(logits[:, :1], np.zeros(3, dtype=np.int64)) == 0.0
    expected = F.cross_entropy(torch.from_numpy(logits[0]), torch.tensor(2)).item()
    assert numerics.cross_entropy(logits[0], np.array(2)) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="average"):
        numerics.cross_entropy(logits, ignored, reduction="average")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_softmax_vjp_matches_autograd(shape, seed):
    """dx equals autograd's through torch.softmax, along every axis."""
    for axis in range(-len(shape), len(shape)):
        x, dy = torch.from_numpy(normal(seed, *shape)).requires_grad_(), normal(seed + 10, *shape)
        y = torch.softmax(x, axis)
        (expected,) = torch.autograd.grad(y, x, torch.from_numpy(dy))
        assert_same(numerics.softmax_vjp(y.detach().numpy(), dy, axis), expected.numpy())


def test_softmax_vjp_matches_scipys_differences():
    """dx equals central differences of scipy's softmax; a one-hot row passes nothing."""
    x, dy, eps = normal(3, 4, 5), normal(4, 4, 5), 1e-6
    expected = np.empty_like(x)
    for index in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[index] = eps
        change = scipy.special.softmax(x + nudge, -1) - scipy.special.softmax(x - nudge, -1)
        expected[index] = (change * dy).sum() / (2 * eps)
    np.testing.assert_allclose(numerics.softmax_vjp(scipy.special.softmax(x, -1), dy), expected, rtol=1e-6, atol=1e-9)
    assert not numerics.softmax_vjp(np.eye(5)[:4], dy).any()
