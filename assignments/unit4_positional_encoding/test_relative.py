"""Public checks of the page `relative`."""

import math

import pytest
import torch

COS, SIN = math.cos(1), math.sin(1)
UNITS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
INTERLEAVED = torch.tensor([[COS, SIN, 0, 0], [-SIN, COS, 0, 0]], dtype=torch.float64)
HALF = torch.tensor([[COS, 0, SIN, 0], [0, math.cos(0.01), 0, math.sin(0.01)]], dtype=torch.float64)


def is_refused(function, *args):
    try:
        function(*args)
    except Exception as error:
        assert error.is_a(ValueError), f"raised {error}, expected ValueError"
    else:
        raise AssertionError("nothing was raised, expected ValueError")


@pytest.mark.exercise("rope")
def test_worked_example(student):
    """The example of the page, Dh = 4 at position 1, in the interleaved layout, which is the default."""
    out = student.apply_rope(UNITS, torch.tensor([1, 1]))
    assert not torch.allclose(out, HALF), (
        "this is the half layout; interleaved is asked for unless layout says otherwise"
    )
    torch.testing.assert_close(out, INTERLEAVED, rtol=0, atol=1e-9)


@pytest.mark.exercise("rope")
def test_half_layout(student):
    """The example of the page in the half layout: pair i is (x[i], x[i + Dh/2])."""
    out = student.apply_rope(UNITS, torch.tensor([1, 1]), layout="half")
    assert not torch.allclose(out, INTERLEAVED), 'this is the interleaved layout; layout="half" was asked for'
    torch.testing.assert_close(out, HALF, rtol=0, atol=1e-9)


@pytest.mark.exercise("rope")
def test_positions_and_base(student):
    """Positions are the given ones, for each text of a batch, and so is the base: base 100 turns pair 1 by 0.1."""
    x = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64).expand(2, 3, 1, 4)  # (B, H, T, Dh)
    out = student.apply_rope(x, torch.tensor([[[5]], [[2]]]), base=100.0)
    rows = [[math.cos(p), math.sin(p), math.cos(0.1 * p), math.sin(0.1 * p)] for p in (5, 2)]
    expected = torch.tensor(rows, dtype=torch.float64)[:, None, None].expand(2, 3, 1, 4)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-9)


@pytest.mark.exercise("rope")
def test_bfloat16(student):
    """A bfloat16 query at position 1999 is turned by the angle of 1999, not of 2000, and comes back as bfloat16."""
    out = student.apply_rope(torch.tensor([[1.0, 0.0]], dtype=torch.bfloat16), torch.tensor([1999]))
    expected = torch.tensor([[math.cos(1999), math.sin(1999)]]).bfloat16()
    torch.testing.assert_close(out, expected, rtol=0, atol=0.02)


@pytest.mark.exercise("rope")
def test_argument_and_odd_width(student):
    """x is as it was after the call, and an odd width raises ValueError."""
    x = UNITS.clone()
    called = student.call(student.apply_rope, x, torch.tensor([1, 2]))
    assert torch.equal(called.echo[0][0], UNITS), "x was changed: whoever uses it as values has rotated values"
    is_refused(student.apply_rope, torch.ones(2, 3), torch.tensor([0, 1]))


@pytest.mark.exercise("rope")
def test_permuted_rows(student):
    """The example of the page: (0, 1, 2, 3, 4, 5) becomes (0, 2, 4, 1, 3, 5), and back; two heads have blocks each."""
    W = torch.arange(12)[:, None]
    half = student.permute_qk_weights(W, 2)
    assert half[:, 0].tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    assert student.permute_qk_weights(half, 2, to="interleaved")[:, 0].tolist() == list(range(12))


@pytest.mark.exercise("alibi")
def test_slopes(student):
    """Eight heads: 1/2 to 1/256. Six: the four slopes of four heads, then 1/2 and 1/8."""
    assert student.alibi_slopes(8).tolist() == pytest.approx([2.0**-h for h in range(1, 9)])
    assert student.alibi_slopes(6).tolist() == pytest.approx([0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125])


@pytest.mark.exercise("alibi")
def test_bias(student):
    """Two queries, three keys, slope 1/2: the last query is 2, 1 and 0 away from the keys, the one before 1 and 0."""
    out = student.alibi_bias(8, 2, 3, device="cpu", dtype=torch.float32)
    assert out.shape == (8, 2, 3), f"shape {tuple(out.shape)}, expected (8, 2, 3) = (H, Tq, Tk)"
    assert out[0, 1].tolist() == pytest.approx([-1.0, -0.5, 0.0])
    assert out[0, 0, :2].tolist() == pytest.approx([-0.5, 0.0])
    assert out[7, 1].tolist() == pytest.approx([-2 / 256, -1 / 256, 0.0])


@pytest.mark.exercise("t5_relative_bias")
def test_buckets(student):
    """The examples of the page: 8 buckets, max_distance 16, unidirectional, and one step each way bidirectional."""
    rel = torch.tensor([0, -3, -4, -5, -6, -8, -11, -12, -1000, 7])
    assert student.relative_position_bucket(rel, False, 8, 16).tolist() == [0, 3, 4, 4, 5, 6, 6, 7, 7, 0]
    assert student.relative_position_bucket(torch.tensor([-1, 0, 1]), True, 8, 16).tolist() == [1, 0, 5]


@pytest.mark.exercise("t5_relative_bias")
def test_bias_of_two_heads(student):
    """Queries 1 and 2 of three tokens, two heads: weight[bucket of the distance], shape (1, 2, 2, 3)."""
    bias = student.RelativeBias(8, 16, 2, False)
    bias.load_reference({"weight": torch.stack([torch.arange(8.0), 10 + torch.arange(8.0)], dim=1)})
    out = bias(2, 3, offset=1)
    assert out.shape == (1, 2, 2, 3), f"shape {tuple(out.shape)}, expected (1, 2, 2, 3) = (1, H, Tq, Tk)"
    assert out.tolist() == [[[[1, 0, 0], [2, 1, 0]], [[11, 10, 10], [12, 11, 10]]]]
