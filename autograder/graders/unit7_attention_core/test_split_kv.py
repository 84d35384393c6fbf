"""Hidden grader of the page `split_kv`."""

import math

import pytest
import torch

from autograder.grading import agree, close

split_kv_merge = pytest.mark.exercise("split_kv_merge")
short_dtypes = pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32], ids=["float16", "bfloat16", "float32"]
)


def piece(draw, *lead, d=7, dtype=torch.float64, level=0.0):
    """Some output (*lead, d) and its logsumexp."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return draw.tensor(*lead, d, dtype=dtype), draw.tensor(*lead, dtype=wide) + level


@split_kv_merge
@pytest.mark.weight(3)
def test_two_pieces(student, reference, draw):
    """The output is the mean of the two, weighted by exp(lse); the logsumexp that of both; for any leading axes."""
    for lead in ((), (5,), (2, 3, 5)):
        agree(student.merge_attention, reference.merge_attention, *piece(draw, *lead), *piece(draw, *lead, level=1.0))


@split_kv_merge
@pytest.mark.weight(2)
def test_negative_logsumexps(student, reference, draw):
    """Logsumexps far below zero, or on both sides of it, weigh like any others: their difference counts."""
    agree(
        student.merge_attention, reference.merge_attention, *piece(draw, 5, level=-30.0), *piece(draw, 5, level=-31.0)
    )
    agree(student.merge_attention, reference.merge_attention, *piece(draw, 5, level=-0.7), *piece(draw, 5, level=0.7))


@split_kv_merge
@pytest.mark.weight(2)
def test_far_apart(student, reference, draw):
    """Logsumexps of ±10000, and 10000 apart, neither overflow nor vanish, nor do they beside a row without keys."""
    for a, b in ((1e4, 1e4), (-1e4, -1e4), (5e3, -5e3), (0.0, 1e4)):
        args = *piece(draw, 5, level=a), *piece(draw, 5, level=b)
        agree(student.merge_attention, reference.merge_attention, *args, tolerance=(1e-9, 1e-11))
        args[1][2] = args[3][2] = -math.inf
        agree(student.merge_attention, reference.merge_attention, *args, tolerance=(1e-9, 1e-11))
    args = *piece(draw, 5), *piece(draw, 5)
    levels = 2e3 * torch.tensor([2.0, -5.0, 0.0, 5.0, -1.0], dtype=torch.float64)  # each row has a size of its own
    args[1][:], args[3][:] = args[1] + levels, args[3] + levels
    agree(student.merge_attention, reference.merge_attention, *args, tolerance=(1e-9, 1e-11))


@split_kv_merge
@pytest.mark.weight(2)
@pytest.mark.names("nan_empty_split")
def test_empty_pieces(student, reference, draw):
    """A piece without keys (lse -inf) leaves no trace, whatever finite numbers its output holds; two of them give 0."""
    (o1, lse1), (o2, lse2) = piece(draw, 2, 5), piece(draw, 2, 5)
    lse1[0, :3], lse2[0, 2:], lse1[1, 1] = -math.inf, -math.inf, -math.inf
    agree(student.merge_attention, reference.merge_attention, o1, lse1, o2, lse2)
    agree(student.merge_attention, reference.merge_attention, o2, lse2, o1, lse1)
    o1[0, 0] = 1e30
    agree(student.merge_attention, reference.merge_attention, o1, lse1, o2, lse2)


@split_kv_merge
def test_order(student, draw):
    """Three pieces give the same, whichever two are merged first and in whatever order."""
    parts = [piece(draw, 3, 5, level=level) for level in (0.0, 2.0, -1.0)]
    a, b, c = (parts[i] for i in draw.permutation(3).tolist())
    left = student.merge_attention(*student.merge_attention(*a, *b), *c)
    right = student.merge_attention(*b, *student.merge_attention(*c, *a))
    close(left, tuple(right), what="the merge of three pieces")
    weights = torch.softmax(torch.stack([lse for _, lse in parts]), dim=0)
    close(left[0], sum(w[..., None] * o for w, (o, _) in zip(weights, parts, strict=True)), what="the merged output")


@split_kv_merge
@pytest.mark.weight(2)
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32], ids=["float16", "bfloat16", "float32"]
)
def test_short_outputs(student, reference, draw, dtype):
    """Outputs in half precision are merged in float32 and rounded once; the logsumexp stays float32."""
    a, b = piece(draw, 31, 17, dtype=dtype, level=40.0), piece(draw, 31, 17, dtype=dtype, level=40.0)
    exact, lse = reference.merge_attention(a[0].double(), a[1].double(), b[0].double(), b[1].double())
    found = student.merge_attention(*a, *b)
    rounding = torch.finfo(dtype).eps * (0.51 if dtype != torch.float32 else 8.0)
    close(found[0], exact.to(dtype), rtol=2 * rounding, atol=1e-6, what="o")
    close(found[1], lse.float(), rtol=1e-6, atol=1e-6, what="lse")


@split_kv_merge
@pytest.mark.weight(3)
def test_decode(student, reference, draw):
    """Cut into pieces that divide the cache, output and logsumexp are those of plain attention."""
    q, k, v, _ = draw.attention(2, 3, 1, 12, 5, 7)
    for n_splits in (1, 2, 3, 12):
        agree(student.decode_split, reference.decode_split, q, k, v, n_splits)


@split_kv_merge
@pytest.mark.weight(3)
def test_uneven_pieces(student, reference, draw):
    """The number of pieces need not divide the length of the cache; no key is lost and none is counted twice."""
    q, k, v, _ = draw.attention(2, 3, 1, 17, 5, 7)
    for n_splits in (2, 3, 5, 7, 16, 17):
        agree(student.decode_split, reference.decode_split, q, k, v, n_splits)
    agree(student.decode_split, reference.decode_split, q[:1, :1], k[:1, :1], v[:1, :1], 4)


@split_kv_merge
@pytest.mark.weight(2)
@pytest.mark.names("nan_empty_split")
def test_more_pieces_than_keys(student, reference, draw):
    """With more pieces than keys some are empty, and nothing changes; without any key o is 0 and lse -inf."""
    for kv_len, n_splits in ((3, 7), (1, 5), (5, 64), (0, 1), (0, 3)):
        q, k, v, _ = draw.attention(2, 3, 1, kv_len, 5, 7)
        agree(student.decode_split, reference.decode_split, q, k, v, n_splits)


@split_kv_merge
def test_uneven_scores(student, reference, draw):
    """Pieces with very different scores, up to some thousands apart, are merged right."""
    q, k, v, _ = draw.attention(2, 3, 1, 17, 5, 7)
    q[..., 0], k[..., 0] = 30.0, torch.linspace(-200.0, 200.0, 17)
    for order in (k, k.flip(2)):
        agree(student.decode_split, reference.decode_split, q, order, v, 5, tolerance=(1e-8, 1e-10))


@split_kv_merge
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32], ids=["float16", "bfloat16", "float32"]
)
def test_decode_in_short_dtypes(student, reference, draw, dtype):
    """The output has the dtype of q, lse is float32; inside all is float32, also what the pieces give."""
    q, k, v, _ = draw.attention(2, 3, 1, 61, 17, 7, dtype=dtype)
    exact, lse = reference.decode_split(q.double(), k.double(), v.double(), 1)
    found = student.decode_split(q, k, v, 7)
    rounding = torch.finfo(dtype).eps * (1.02 if dtype != torch.float32 else 16.0)
    close(found[0], exact.to(dtype), rtol=rounding, atol=2e-6, what="o")
    close(found[1], lse.float(), rtol=1e-5, atol=1e-5, what="lse")


@split_kv_merge
def test_views(student, reference, draw):
    """The query, the keys and the values may be views that are not contiguous in memory."""
    q, k, v = (
        draw.tensor(2, 1, 3, 5).transpose(1, 2),
        draw.tensor(2, 3, 5, 13).mT,
        draw.tensor(2, 13, 3, 7).transpose(1, 2),
    )
    agree(student.decode_split, reference.decode_split, q, k, v, 4)
