"""Public checks of the page `multi_head_mathematics`."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F


@pytest.mark.exercise("split_merge_heads")
def test_worked_example(student):
    """Head 0 has the first half of every token: rows (0, 1) and (4, 5); and merging gives the tokens back."""
    tokens = torch.arange(8).reshape(1, 2, 4)
    heads = torch.tensor([[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]])
    torch.testing.assert_close(student.split_heads(tokens, 2), heads)
    torch.testing.assert_close(student.merge_heads(heads), tokens)


@pytest.mark.exercise("split_merge_heads")
def test_shapes_and_round_trip(student):
    """Splitting (2, 7, 15) into 3 heads gives (2, 3, 7, 5); merging undoes it."""
    x = torch.randn(2, 7, 15, generator=torch.Generator().manual_seed(0))
    heads = student.split_heads(x, 3)
    assert heads.shape == (2, 3, 7, 5), f"shape {tuple(heads.shape)}, expected (2, 3, 7, 5) = (B, H, T, Dh)"
    torch.testing.assert_close(student.merge_heads(heads), x)


@pytest.mark.exercise("split_merge_heads")
def test_wrong_number_of_heads(student):
    """4 heads do not divide a width of 15: ValueError."""
    try:
        student.split_heads(torch.zeros(2, 7, 15), 4)
    except Exception as error:
        assert error.is_a(ValueError), f"raised {error}, expected ValueError"
    else:
        raise AssertionError("nothing was raised, expected ValueError")


def layer(D: int) -> list[np.ndarray]:
    """Wq, Wk, Wv, Wo, bq, bk, bv, bo."""
    rng = np.random.default_rng(1)
    return [rng.normal(size=(D, D)) * D**-0.5 for _ in range(4)] + [rng.normal(size=D) for _ in range(4)]


def expected(xq, xkv, weights, H, mask=None):
    """The output according to torch, one head at a time."""
    xq, xkv, *weights = (torch.from_numpy(a) for a in (xq, xkv, *weights))
    Wq, Wk, Wv, Wo, bq, bk, bv, bo = weights
    q, k, v = F.linear(xq, Wq, bq), F.linear(xkv, Wk, bk), F.linear(xkv, Wv, bv)
    mask = None if mask is None else torch.from_numpy(mask)
    chunks = zip(*(t.chunk(H, dim=-1) for t in (q, k, v)), strict=True)
    heads = [F.scaled_dot_product_attention(*chunk, attn_mask=mask) for chunk in chunks]
    return F.linear(torch.cat(heads, dim=-1), Wo, bo).numpy()


@pytest.mark.exercise("mha_numpy")
def test_two_heads_by_hand(student):
    """The example of the page: two heads of width 1 give (0.524, 0.786) and (0.786, 0.524)."""
    a, one, zero = math.sqrt(math.log(3.0)), np.eye(2), np.zeros(2)
    x = np.array([[[0.0, a], [a, 0.0]]])
    out, weights = student.multi_head_attention(x, x, one, one, one, one, zero, zero, zero, zero, 2)
    np.testing.assert_allclose(weights, [[[[0.5, 0.5], [0.25, 0.75]], [[0.75, 0.25], [0.5, 0.5]]]])
    np.testing.assert_allclose(out, [[[a / 2, 0.75 * a], [0.75 * a, a / 2]]])


@pytest.mark.exercise("mha_numpy")
@pytest.mark.parametrize("heads", [1, 3])
def test_agrees_with_torch(student, heads):
    """The output is that of torch's attention on the blocks of the projections, biases included, for 1 and 3 heads."""
    rng = np.random.default_rng(0)
    xq, xkv = rng.normal(size=(2, 5, 15)), rng.normal(size=(2, 7, 15))
    out, weights = student.multi_head_attention(xq, xkv, *layer(15), heads)
    assert weights.shape == (2, heads, 5, 7), f"weights have shape {weights.shape}, expected (B, H, Tq, Tk)"
    np.testing.assert_allclose(out, expected(xq, xkv, layer(15), heads), rtol=1e-9)
    np.testing.assert_allclose(weights.sum(axis=-1), np.ones((2, heads, 5)))


@pytest.mark.exercise("mha_numpy")
def test_mask(student):
    """The mask holds for every head; a query that may attend to nothing has weights 0 and output bo."""
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2, 3, 6)), layer(6)
    mask = np.array([[True, False, False], [True, True, False], [False, False, False]])
    out, share = student.multi_head_attention(x, x, *weights, 2, mask=mask)
    assert (share[:, :, ~mask] == 0).all(), "a masked pair has a weight that is not exactly 0"
    np.testing.assert_allclose(out[:, 2], np.stack([weights[-1]] * 2))
    np.testing.assert_allclose(out[:, :2], expected(x, x, weights, 2, mask)[:, :2], rtol=1e-9)
