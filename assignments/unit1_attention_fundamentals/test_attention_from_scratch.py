"""Public checks of the page `attention_from_scratch`."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def query_key_value(*lead: int) -> list[np.ndarray]:
    """Three queries, five keys of width 7, values of width 11."""
    return [draw(*lead, 3, 7, seed=1), draw(*lead, 5, 7, seed=2), draw(*lead, 5, 11, seed=3)]


def torch_attention(*arrays: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    allowed = None if mask is None else torch.from_numpy(mask)
    return F.scaled_dot_product_attention(*map(torch.from_numpy, arrays), attn_mask=allowed).numpy()


@pytest.mark.exercise("qkv_attention")
def test_worked_example(student):
    """The example of the page: weights 1/4, 1/4, 1/2 and output (3, 3)."""
    Q = np.array([[2.0, 0.0, 0.0, 0.0]])
    K = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [math.log(2), 0.0, 0.0, 0.0]])
    out, weights = student.attention(Q, K, np.array([[8.0, 0.0], [0.0, 8.0], [2.0, 2.0]]))
    np.testing.assert_allclose(weights, [[0.25, 0.25, 0.5]], atol=1e-12)
    np.testing.assert_allclose(out, [[3.0, 3.0]], atol=1e-12)


@pytest.mark.exercise("qkv_attention")
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)], ids=str)
def test_agrees_with_torch(student, lead):
    """The output is torch's, for queries and keys of different number and width, and any leading axes."""
    Q, K, V = query_key_value(*lead)
    out, weights = student.attention(Q, K, V)
    assert out.shape == (*lead, 3, 11), f"out has shape {out.shape}, expected {(*lead, 3, 11)} = (..., Tq, Dv)"
    assert weights.shape == (*lead, 3, 5), f"weights have shape {weights.shape}, expected {(*lead, 3, 5)}"
    np.testing.assert_allclose(out, torch_attention(Q, K, V), atol=1e-10)
    np.testing.assert_allclose(weights.sum(axis=-1), np.ones((*lead, 3)), atol=1e-12)


@pytest.mark.exercise("qkv_attention")
def test_mask(student):
    """Forbidden keys get weight 0; a query that may see nothing gets output 0."""
    Q, K, V = query_key_value(2)
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]], dtype=bool)
    out, weights = student.attention(Q, K, V, mask=mask)
    assert (weights[:, ~mask] == 0).all(), "a forbidden key has a weight that is not exactly 0"
    np.testing.assert_allclose(out, torch_attention(Q, K, V, mask=mask), atol=1e-10)
    assert (out[:, 1] == 0).all(), "the query that may see nothing has an output that is not 0"


@pytest.mark.exercise("attention_vjp")
def test_vjp_worked_example(student):
    """The example of the page."""
    K, V = np.array([[0.0], [math.log(3)]]), np.array([[0.0], [4.0]])
    dQ, dK, dV = student.attention_vjp(np.array([[1.0]]), np.array([[1.0]]), K, V)
    np.testing.assert_allclose(dV, [[0.25], [0.75]], atol=1e-12)
    np.testing.assert_allclose(dK, [[-0.75], [0.75]], atol=1e-12)
    np.testing.assert_allclose(dQ, [[0.75 * math.log(3)]], atol=1e-12)


@pytest.mark.exercise("attention_vjp")
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
def test_vjp_agrees_with_autograd(student, masked):
    """The gradients are torch's, with a mask that leaves one query nothing as well as without."""
    arrays = query_key_value(2)
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 0, 1, 0]], dtype=bool) if masked else None
    inputs = [torch.from_numpy(a).requires_grad_() for a in arrays]
    allowed = None if mask is None else torch.from_numpy(mask)
    dO = draw(2, 3, 11, seed=9)
    F.scaled_dot_product_attention(*inputs, attn_mask=allowed).backward(torch.from_numpy(dO))
    gradients = student.attention_vjp(dO, *arrays, mask=mask)
    for name, gradient, leaf in zip(("dQ", "dK", "dV"), gradients, inputs, strict=True):
        np.testing.assert_allclose(gradient, leaf.grad.numpy(), atol=1e-10, err_msg=name)
    if masked:
        assert (gradients[1][:, 4] == 0).all(), "a key that nobody may see has a gradient"
