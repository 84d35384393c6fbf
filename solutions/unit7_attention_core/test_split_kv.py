"""Public checks of the page `split_kv`."""

import math

import pytest
import torch
import torch.nn.functional as F


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.exercise("split_kv_merge")
def test_worked_example(student):
    """Pieces of mass 3 and 2, with outputs (4, 0) and (0, 6), make (2.4, 2.4) and a logsumexp of ln 5."""
    first = torch.tensor([4.0, 0.0]), torch.tensor(math.log(3))
    second = torch.tensor([0.0, 6.0]), torch.tensor(math.log(2))
    for a, b in ((first, second), (second, first)):
        o, lse = student.merge_attention(*a, *b)
        torch.testing.assert_close(o, torch.tensor([2.4, 2.4]))
        torch.testing.assert_close(lse, torch.tensor(math.log(5)))


@pytest.mark.exercise("split_kv_merge")
def test_empty_piece(student):
    """A piece without keys (lse -inf) changes nothing; two of them give 0 and -inf, not NaN."""
    o, lse = draw(3, 5), draw(3, seed=1)
    nothing = torch.full((3,), -math.inf, dtype=torch.float64)
    merged = student.merge_attention(o, lse, draw(3, 5, seed=2), nothing)
    torch.testing.assert_close(merged, (o, lse))
    merged = student.merge_attention(o, nothing, o, nothing)
    torch.testing.assert_close(merged, (torch.zeros_like(o), nothing))


@pytest.mark.exercise("split_kv_merge")
@pytest.mark.parametrize("n_splits", [1, 2, 5, 13, 20])
def test_decode_agrees_with_torch(student, n_splits):
    """Into however many pieces the cache is cut, the output is torch's and lse the logsumexp of the scaled scores."""
    q, k, v = draw(2, 3, 1, 5), draw(2, 3, 13, 5, seed=1), draw(2, 3, 13, 7, seed=2)
    o, lse = student.decode_split(q, k, v, n_splits)
    torch.testing.assert_close(o, F.scaled_dot_product_attention(q, k, v))
    torch.testing.assert_close(lse, torch.logsumexp(q @ k.mT / math.sqrt(5), dim=-1))


@pytest.mark.exercise("split_kv_merge")
def test_half_precision(student):
    """bfloat16 outputs come back as bfloat16, merged in float32."""
    o1, o2, lse1, lse2 = draw(64, seed=1), draw(64, seed=2), torch.tensor(40.0), torch.tensor(40.4)
    o1, o2 = o1.bfloat16(), o2.bfloat16()
    o, lse = student.merge_attention(o1, lse1, o2, lse2)
    share = torch.sigmoid(lse1 - lse2)
    torch.testing.assert_close(o, (share * o1.float() + (1 - share) * o2.float()).bfloat16(), rtol=0.01, atol=1e-3)
    torch.testing.assert_close(lse, torch.logaddexp(lse1, lse2))
