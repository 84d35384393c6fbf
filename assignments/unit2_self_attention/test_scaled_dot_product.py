"""Public checks of the page `scaled_dot_product`."""

import math

import pytest
import torch
import torch.nn.functional as F


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def query_key_value(q_len: int = 3, kv_len: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two examples; keys of width 7, values of width 11."""
    return draw(2, q_len, 7, seed=1), draw(2, kv_len, 7, seed=2), draw(2, kv_len, 11, seed=3)


@pytest.mark.exercise("sdpa_torch")
def test_worked_example(student):
    """The example of the page gives (3, 2): weights 3/4 and 1/4."""
    q = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    k = torch.tensor([[math.log(3.0), 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    v = torch.tensor([[4.0, 0.0], [0.0, 8.0]])
    out = student.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(out, torch.tensor([[3.0, 2.0]]))


@pytest.mark.exercise("sdpa_torch")
def test_agrees_with_torch(student):
    """Without a mask the result is that of torch, for queries and keys of different number and width."""
    q, k, v = query_key_value()
    out = student.scaled_dot_product_attention(q, k, v)
    assert out.shape == (2, 3, 11), f"shape {tuple(out.shape)}, expected (2, 3, 11) = (B, Tq, Dv)"
    assert out.dtype == torch.float64, f"dtype {out.dtype}, expected that of q"
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v))


@pytest.mark.exercise("sdpa_torch")
def test_empty_row(student):
    """A query that may attend to nothing yields zeros, not NaN."""
    q, k, v = query_key_value()
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1] = False
    out = student.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(out[:, 1], torch.zeros(2, 11, dtype=torch.float64))
    torch.testing.assert_close(out[:, 0], F.scaled_dot_product_attention(q, k, v)[:, 0])


@pytest.mark.exercise("sdpa_torch")
def test_causal_with_more_keys_than_queries(student):
    """With is_causal the first query sees the first key only, also if there are more keys than queries."""
    q, k, v = query_key_value()
    out = student.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(out[:, 0], v[:, 0])
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v, is_causal=True))


@pytest.mark.exercise("sdpa_torch")
def test_dropout(student):
    """Dropout zeroes softmax weights and divides those that survive by 1 − p; the same seed repeats the result."""
    T = 64
    q = torch.zeros(2, T, 3, dtype=torch.float64)  # all scores 0, so every weight is 1/T before dropout
    v = torch.eye(T, dtype=torch.float64).expand(2, T, T)  # the output shows the weights
    out, again = (
        student.scaled_dot_product_attention(q, q, v, dropout_p=0.25, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    torch.testing.assert_close(out, again)
    kept = out[out != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / T / 0.75))
    # 8192 weights, each dropped with probability 1/4: the share is within 0.03 (6 sigma) but once in 10^9 runs.
    assert abs((out == 0).double().mean() - 0.25) < 0.03, "the share of dropped weights is not dropout_p"


@pytest.mark.exercise("causal_mask")
def test_square(student):
    """For three tokens the mask is the lower triangle with its diagonal, as bools."""
    mask = student.causal_mask(3)
    assert mask.dtype == torch.bool, f"dtype {mask.dtype}, expected torch.bool"
    assert mask.tolist() == [[True, False, False], [True, True, False], [True, True, True]]


@pytest.mark.exercise("causal_mask")
def test_last_query_sees_every_key(student):
    """By default the last query stands at the last key: a single new query sees everything."""
    assert student.causal_mask(1, 4).tolist() == [[True] * 4]
    assert student.causal_mask(2, 4).tolist() == [[True, True, True, False], [True] * 4]


@pytest.mark.exercise("causal_mask")
def test_offset(student):
    """The offset is the number of keys before query 0; with 0 query i sees keys 0..i, whatever the number of keys."""
    assert student.causal_mask(2, 3, offset=0).tolist() == [[True, False, False], [True, True, False]]
    assert student.causal_mask(2, 3, offset=-1).tolist() == [[False, False, False], [True, False, False]]


@pytest.mark.exercise("padding_and_combined_masks")
def test_lengths(student):
    """A token is real if its position is below the length; length 0 gives none, length T all."""
    mask = student.lengths_to_mask(torch.tensor([2, 0, 3]), 3)
    assert mask.dtype == torch.bool, f"dtype {mask.dtype}, expected torch.bool"
    assert mask.tolist() == [[True, True, False], [False, False, False], [True, True, True]]


@pytest.mark.exercise("padding_and_combined_masks")
def test_combined(student):
    """A pair is allowed if the key is real and not in the future; the heads' axis has length 1."""
    key_mask = torch.tensor([[True, True], [True, False], [False, True]])
    mask = student.combine_masks(key_mask, torch.tensor([[True, False], [True, True]]))
    assert mask.shape == (3, 1, 2, 2), f"shape {tuple(mask.shape)}, expected (3, 1, 2, 2) = (B, 1, Tq, Tk)"
    expected = [[[[1, 0], [1, 1]]], [[[1, 0], [1, 0]]], [[[0, 0], [0, 1]]]]
    assert mask.int().tolist() == expected


@pytest.mark.exercise("padding_and_combined_masks")
def test_padding_alone(student):
    """Without a causal mask the result is (B, 1, 1, Tk) and masks the keys, not the queries."""
    mask = student.combine_masks(torch.tensor([[True, True, False], [True, False, False]]))
    assert mask.shape == (2, 1, 1, 3), f"shape {tuple(mask.shape)}, expected (2, 1, 1, 3) = (B, 1, 1, Tk)"
    assert mask[:, 0, 0].tolist() == [[True, True, False], [True, False, False]]
