"""Hidden grader of the page `relative`."""

import math

import numpy as np
import pytest
import torch

from autograder.grading import agree, agree_gradients, close, raises, unjudged
from autograder.grading.compare import GRADIENT, Disagreement

# ---------------------------------------------------------------- rope

rope = pytest.mark.exercise("rope")

LAYOUTS = ("interleaved", "half")


def positions(draw, *shape, high=90):
    """Positions in no order, with gaps and repetitions."""
    return draw.integers(0, high, *shape)


def scores(q, k):
    """(..., Tq, Tk)."""
    return q @ k.mT


@rope
@pytest.mark.weight(3)
def test_interleaved(student, reference, draw):
    """The default layout: neighbours (2i, 2i + 1) are a pair, turned by position · base ** (-2i / Dh), to the left."""
    for shape in ((7, 6), (3, 5, 22), (2, 3, 7, 2)):
        T = shape[-2]
        agree(student.apply_rope, reference.apply_rope, draw.tensor(*shape), torch.arange(T))
    x = draw.tensor(5, 10)
    agree(student.apply_rope, reference.apply_rope, x, torch.arange(5), layout="interleaved")


@rope
@pytest.mark.weight(2)
def test_half(student, reference, draw):
    """layout="half": numbers i and i + Dh/2 are a pair."""
    for shape in ((7, 6), (3, 5, 22), (2, 3, 7, 2)):
        agree(student.apply_rope, reference.apply_rope, draw.tensor(*shape), torch.arange(shape[-2]), layout="half")


@rope
@pytest.mark.weight(3)
def test_given_positions(student, reference, draw):
    """Positions are the ones that are given: in any order, from anywhere, for all alike or for each text of a batch."""
    for layout in LAYOUTS:
        x = draw.tensor(2, 3, 7, 10)
        for shape in ((7,), (2, 1, 7), (2, 3, 7), (3, 7)):
            agree(student.apply_rope, reference.apply_rope, x, positions(draw, *shape), layout=layout)
        agree(
            student.apply_rope, reference.apply_rope, draw.tensor(2, 1, 6), torch.tensor([[731], [12]]), layout=layout
        )


@rope
def test_rope_base(student, reference, draw):
    """The base is the one that was given, by position or by name, in both layouts."""
    base = float(draw.integers(20, 900)) + 0.5
    x, where = draw.tensor(2, 5, 6), positions(draw, 5)
    agree(student.apply_rope, reference.apply_rope, x, where, base, "half")
    agree(student.apply_rope, reference.apply_rope, x, where, base=5e5)


@rope
@pytest.mark.weight(2)
def test_distance_alone_counts(student, draw):
    """Lengths of pairs stay, position 0 changes nothing, and scores depend on the distance of query and key alone."""
    for layout in LAYOUTS:
        q, k = draw.tensor(5, 14), draw.tensor(7, 14)
        m, n, far = positions(draw, 5), positions(draw, 7), int(draw.integers(50, 500))
        turned = student.apply_rope(q, m, 1e4, layout)
        close(turned, torch.zeros_like(q), rtol=0.0, atol=math.inf)
        close(student.apply_rope(q, 0 * m, 1e4, layout), q, what="what becomes of the vectors at position 0")
        lengths = [
            (v.unflatten(-1, (7, 2)) if layout == "interleaved" else v.unflatten(-1, (2, 7)).mT) for v in (q, turned)
        ]
        close(lengths[1].norm(dim=-1), lengths[0].norm(dim=-1), what="the tensor of the pairs' lengths")
        near = scores(turned, student.apply_rope(k, n, 1e4, layout))
        moved = scores(student.apply_rope(q, m + far, 1e4, layout), student.apply_rope(k, n + far, 1e4, layout))
        close(moved, near, rtol=0.0, atol=1e-8, what=f"the matrix of scores {far} positions further")


@rope
def test_far_positions(student, reference, draw):
    """In float64 the angles are accurate to 1e-9 up to position 100000."""
    where = torch.tensor([99_999, 31_337, 100_000, 4_096, 65_521])
    for layout in LAYOUTS:
        x = draw.tensor(5, 64)
        close(
            student.apply_rope(x, where, 1e4, layout),
            reference.apply_rope(x, where, 1e4, layout),
            rtol=0.0,
            atol=1e-8,
        )


@rope
@pytest.mark.weight(2)
def test_low_precision(student, reference, draw):
    """bfloat16 comes back as bfloat16, turned by angles that have float32's precision at least; so for float16."""
    for dtype in (torch.bfloat16, torch.float16):
        for where in (torch.tensor([1999, 257, 30, 1283, 811]), torch.tensor([100_000, 70_001, 9, 65_537, 33_333])):
            for layout in LAYOUTS:
                x = draw.tensor(5, 64, dtype=dtype, scale=0.5)
                expected = reference.apply_rope(x, where, 1e4, layout)
                close(student.apply_rope(x, where, 1e4, layout), expected, rtol=3e-2, atol=3e-2)


@rope
def test_values_are_not_rotated(student, reference, draw):
    """A tensor that serves as queries, keys and values: after two calls the values are as they were."""
    x, where = draw.tensor(2, 5, 6), positions(draw, 5)
    for layout in LAYOUTS:
        called = student.call(student.apply_rope, x, where, 1e4, layout)
        turned, values = called.value, called.echo[0][0]
        close(turned, reference.apply_rope(x, where, 1e4, layout))
        expected = torch.softmax(scores(turned, turned), dim=-1) @ x
        close(torch.softmax(scores(turned, turned), dim=-1) @ values, expected, what="attention with x as values")
        close(values, x, tolerance=(0, 0), what="the argument, which serves as values,")
        close(called.echo[0][1], where, tolerance=(0, 0), what="the argument positions")


@rope
def test_rope_gradients(student, reference, draw):
    """The gradient is that of a rotation: the other way round."""
    for layout in LAYOUTS:
        x, where = draw.tensor(2, 3, 5, 6), positions(draw, 2, 1, 5)
        agree_gradients(student.apply_rope, reference.apply_rope, x, positions=where, layout=layout)


@rope
def test_rope_views_and_small_cases(student, reference, draw):
    """Views that are not contiguous, one token and float32 are ordinary cases; an odd width is a ValueError."""
    for layout in LAYOUTS:
        for x in (draw.tensor(2, 7, 3, 6).transpose(1, 2), draw.tensor(2, 3, 7, 12)[..., ::2], draw.tensor(3, 6, 7).mT):
            agree(student.apply_rope, reference.apply_rope, x, positions(draw, 7), layout=layout)
        agree(student.apply_rope, reference.apply_rope, draw.tensor(2, 1, 2), positions(draw, 1), layout=layout)
        x = draw.tensor(2, 5, 6, dtype=torch.float32)
        expected = reference.apply_rope(x, torch.arange(5), layout=layout)
        close(student.apply_rope(x, torch.arange(5), layout=layout), expected, rtol=1e-4, atol=1e-4)
        for width in (1, 3, 7):
            raises(ValueError, student.apply_rope, draw.tensor(2, 5, width), torch.arange(5), layout=layout)


@rope
@pytest.mark.weight(2)
def test_permutation(student, reference, draw):
    """Within each head, rows 0, 2, 4, ... and then rows 1, 3, 5, ...; to="interleaved" is the way back."""
    for H, Dh, D in ((3, 10, 7), (1, 6, 5), (5, 2, 3), (2, 14, 28)):
        W = draw.tensor(H * Dh, D)
        agree(student.permute_qk_weights, reference.permute_qk_weights, W, H)
        half = agree(student.permute_qk_weights, reference.permute_qk_weights, W, H, to="half")
        agree(student.permute_qk_weights, reference.permute_qk_weights, W, H, to="interleaved")
        close(student.permute_qk_weights(half, H, "interleaved"), W, tolerance=(0, 0), what="W there and back")
    agree(student.permute_qk_weights, reference.permute_qk_weights, draw.tensor(7, 30, dtype=torch.float32).mT, 3)
    agree_gradients(student.permute_qk_weights, reference.permute_qk_weights, draw.tensor(12, 5), H=2)
    agree_gradients(student.permute_qk_weights, reference.permute_qk_weights, draw.tensor(12, 5), H=2, to="interleaved")


@rope
def test_both_layouts_give_the_same_scores(student, reference, draw):
    """Scores of the permuted weights in half layout are those of the original ones in interleaved layout."""
    H, Dh, D = 3, 10, 7
    x, Wq, Wk = draw.tensor(5, D), draw.tensor(H * Dh, D), draw.tensor(H * Dh, D)
    where = positions(draw, 5)

    def all_scores(function, queries, keys, layout):
        q, k = ((x @ W.T).reshape(5, H, Dh).transpose(0, 1) for W in (queries, keys))
        return scores(*(function(t, where, 1e4, layout) for t in (q, k)))

    permuted = [student.permute_qk_weights(W, H) for W in (Wq, Wk)]
    close(permuted, [torch.zeros_like(W) for W in (Wq, Wk)], rtol=0.0, atol=math.inf, what="the permuted pair")
    expected = all_scores(reference.apply_rope, Wq, Wk, "interleaved")
    close(all_scores(student.apply_rope, *permuted, "half"), expected, what="the matrix of scores")


@rope
def test_rope_pictures(student, reference):
    """The pictures show points that are turned, and scores that depend on the distance alone."""
    if not student.has("figure_data"):
        return
    # Its base is 100, and what counts the exponent twice is then what takes 10 000 for any base. This tells them apart.
    with unjudged():
        student.apply_rope(torch.ones(2, 6).double(), torch.tensor([1, 2]))
    angles = np.arange(16) * 100.0 ** (-np.arange(3)[:, None] / 3)
    close(student.figure_data("rotation"), np.stack([np.cos(angles), np.sin(angles)], axis=-1), what="the rotation")
    curves = student.figure_data("scores")
    close(curves, np.tile(curves[:1], (3, 1)) if isinstance(curves, np.ndarray) else curves, what="the array of curves")
    close(curves, np.zeros((3, 41)), rtol=0.0, atol=np.inf, what="the array of curves")


# ---------------------------------------------------------------- alibi

alibi = pytest.mark.exercise("alibi")


def same_slopes(student, reference, H):
    """The student's slopes, in whatever float dtype, are right."""
    slopes = student.alibi_slopes(H)
    if not (isinstance(slopes, torch.Tensor) and slopes.is_floating_point()):
        raise Disagreement("alibi_slopes does not return a tensor of floating point numbers")
    close(slopes.double(), reference.alibi_slopes(H), rtol=1e-6, atol=0.0, what=f"the tensor of slopes of {H} heads")


def same_bias(student, reference, H, Tq, Tk, dtype=torch.float64, rtol=1e-6):
    """The student's bias is right wherever the query may see the key. Returns it, with 0 at the other places."""
    bias = student.alibi_bias(H, Tq, Tk, device="cpu", dtype=dtype)
    expected = reference.alibi_bias(H, Tq, Tk, dtype=dtype)
    if not isinstance(bias, torch.Tensor) or bias.shape != expected.shape or bias.dtype != dtype:
        close(bias, expected)  # says what is the matter
    seen = torch.ones(Tq, Tk, dtype=torch.bool).tril(Tk - Tq)
    bias = torch.where(seen, bias, torch.zeros((), dtype=dtype))
    close(bias, torch.where(seen, expected, torch.zeros((), dtype=dtype)), rtol=rtol, atol=1e-12)
    return bias


@alibi
@pytest.mark.weight(2)
def test_powers_of_two(student, reference):
    """For H a power of two the slopes are 2 ** (-8h / H), h = 1 ... H, steep ones first."""
    for H in (8, 2, 16, 1, 4):
        same_slopes(student, reference, H)


@alibi
@pytest.mark.weight(3)
def test_other_numbers_of_heads(student, reference, draw):
    """For other H: the slopes of the largest power of two below, then every second one of the next."""
    for H in (6, 12, 3, 7, 20, 31, int(draw.integers(33, 63))):
        same_slopes(student, reference, H)


@alibi
@pytest.mark.weight(3)
def test_square_bias(student, reference):
    """With as many queries as keys: minus slope times distance, each head with its own slope, 0 on the diagonal."""
    for H, T in ((8, 7), (6, 5), (3, 11)):
        same_bias(student, reference, H, T, T)


@alibi
@pytest.mark.weight(3)
def test_more_keys_than_queries(student, reference):
    """The last query stands at the last key, also where there are more keys than queries, or one query alone."""
    for H, Tq, Tk in ((8, 3, 7), (2, 1, 11), (6, 5, 23), (1, 1, 1)):
        same_bias(student, reference, H, Tq, Tk)
    same_bias(student, reference, 4, 7, 3)  # more queries than keys: the first ones see nothing


@alibi
@pytest.mark.names("positive_bias")
def test_dtypes(student, reference):
    """dtype is that of the result, and float32 where none is given."""
    with unjudged():
        student.alibi_bias(2, 3, 5)
    expected = reference.alibi_bias(2, 1, 5)
    close(student.alibi_bias(2, 1, 5), expected, rtol=1e-6, what="the bias of a query that sees all keys")
    same_bias(student, reference, 8, 5, 7, torch.float32)
    same_bias(student, reference, 6, 5, 7, torch.bfloat16, rtol=1.6e-2)
    same_bias(student, reference, 6, 5, 7, torch.float16, rtol=2e-3)


@alibi
def test_softmax_of_the_other_form(student, reference, draw):
    """Weights are those of the form slope · key, which differs by a number for each row."""
    H, Tq, Tk = 6, 5, 11
    raw = draw.tensor(H, Tq, Tk)
    seen = torch.ones(Tq, Tk, dtype=torch.bool).tril(Tk - Tq)
    bias = same_bias(student, reference, H, Tq, Tk)
    key_only = reference.alibi_slopes(H)[:, None, None] * torch.arange(Tk)
    ours, theirs = ((raw + b).masked_fill(~seen, -math.inf).softmax(dim=-1) for b in (key_only, bias))
    close(theirs, ours, rtol=1e-5, atol=1e-9, what="the matrix of attention weights")


@alibi
def test_alibi_picture(student, reference):
    """The picture shows the biases of the first four of eight heads, and nothing of the future."""
    if not student.has("figure_data"):
        return
    hidden = torch.ones(12, 12, dtype=torch.bool).triu(1)
    expected = reference.alibi_bias(8, 12, 12)[:4].masked_fill(hidden, math.nan)
    close(np.asarray(student.figure_data("alibi"), dtype=np.float32), expected.numpy(), what="the picture")


# ---------------------------------------------------------------- t5_relative_bias

t5_relative_bias = pytest.mark.exercise("t5_relative_bias")

REL = torch.arange(-300, 301)
# No distance but E and max_distance themselves meets a whole number.
OTHERS = ((20, 47), (28, 101), (12, 37), (22, 53), (8, 5))


@t5_relative_bias
@pytest.mark.weight(3)
def test_unidirectional(student, reference):
    """For a decoder: near distances to the past exact, far ones by the logarithm, the future in bucket 0."""
    agree(student.relative_position_bucket, reference.relative_position_bucket, REL, False, 32, 128)
    for num_buckets, max_distance in OTHERS:
        agree(
            student.relative_position_bucket, reference.relative_position_bucket, REL, False, num_buckets, max_distance
        )


@t5_relative_bias
@pytest.mark.weight(3)
@pytest.mark.names("halves_swapped")
def test_bidirectional(student, reference):
    """For an encoder: half of the buckets for the past, and the second half for the future, rel > 0."""
    # Who takes query minus key has other answers to this; who only swaps the halves has not.
    agree(student.relative_position_bucket, reference.relative_position_bucket, REL[REL <= 0], False)
    agree(student.relative_position_bucket, reference.relative_position_bucket, REL, True, 32, 128)
    for num_buckets, max_distance in OTHERS:
        agree(
            student.relative_position_bucket, reference.relative_position_bucket, REL, True, num_buckets, max_distance
        )


@t5_relative_bias
@pytest.mark.weight(2)
def test_defaults_and_shapes(student, reference, draw):
    """32 buckets and 128 are the defaults; rel may have any shape and layout, and is left alone; int64 comes back."""
    for bidirectional in (True, False):
        for rel in (REL, draw.integers(-200, 200, 3, 5, 7), draw.integers(-200, 200, 7, 5).T, torch.tensor(-9)):
            agree(student.relative_position_bucket, reference.relative_position_bucket, rel, bidirectional)
        agree(student.relative_position_bucket, reference.relative_position_bucket, REL, bidirectional=bidirectional)


@t5_relative_bias
def test_range_and_order(student):
    """Every id is in range, none is left out, and a larger distance never has a smaller bucket."""
    for bidirectional, count in ((True, 16), (False, 32)):
        past = student.relative_position_bucket(-torch.arange(400), bidirectional)
        close(past, torch.zeros(400, dtype=torch.int64), rtol=0.0, atol=count - 1)
        if (past.diff() < 0).any():
            raise Disagreement("a larger distance has a smaller bucket")
        if sorted(set(past.tolist())) != list(range(count)):
            raise Disagreement(f"the past does not use exactly the buckets 0 to {count - 1}")


def biases(student, reference, draw, num_buckets=20, max_distance=47, H=3, bidirectional=True, dtype=torch.float64):
    """The student's module and the reference's, with the same random table."""
    with unjudged():  # is it the function's mistake, or the module's?
        student.relative_position_bucket(torch.arange(-5, 6), bidirectional)
    state = {"weight": draw.tensor(num_buckets, H, dtype=dtype)}
    theirs = student.RelativeBias(num_buckets, max_distance, H, bidirectional)
    theirs.load_reference(state)
    ours = reference.RelativeBias(num_buckets, max_distance, H, bidirectional).to(dtype)
    ours.load_state_dict(state)
    return theirs, ours


def same_table(theirs, ours, *sizes, **options):
    """Both give the same."""
    close(theirs(*sizes, **options), ours(*sizes, **options).detach())


@t5_relative_bias
@pytest.mark.weight(3)
def test_bias(student, reference, draw):
    """(1, H, Tq, Tk): the table's row for the bucket of key minus query, each head its column."""
    for bidirectional in (False, True):
        for num_buckets, max_distance in ((32, 128), (20, 47)):
            theirs, ours = biases(student, reference, draw, num_buckets, max_distance, 3, bidirectional)
            same_table(theirs, ours, 7, 5)
            same_table(theirs, ours, 5, 61)


@t5_relative_bias
@pytest.mark.weight(2)
def test_bias_with_offset(student, reference, draw):
    """The offset is the position of the first query, as in decoding with a cache."""
    for bidirectional in (True, False):  # both directions first: the whole future of one direction looks alike
        theirs, ours = biases(student, reference, draw, bidirectional=bidirectional)
        same_table(theirs, ours, 1, 13, offset=5)
        same_table(theirs, ours, 1, 12, offset=11)
        same_table(theirs, ours, 3, 40, 37)
        same_table(theirs, ours, 5, 7, offset=2)


@t5_relative_bias
def test_bias_is_trained(student, reference, draw):
    """weight is the only parameter; a row's gradient is the sum over the pairs in its bucket; float32 stays float32."""
    theirs, ours = biases(student, reference, draw)
    cotangent = draw.tensor(1, 3, 5, 7)
    seen = student.vjp(theirs, 5, 7, cotangent=cotangent, parameters=True)
    close(seen.value, torch.zeros_like(cotangent), rtol=0.0, atol=math.inf, what="the bias")
    found = seen.parameters
    (expected,) = torch.autograd.grad(ours(5, 7), [ours.weight], cotangent)
    count = sum(gradient.numel() for gradient in found.values() if gradient is not None)
    if count != 60:
        raise Disagreement(f"gradients reach {count} trainable numbers, expected {expected.numel()}")
    if set(found) == {"weight"}:  # else the student's parameter has another form, see load_reference
        close(found["weight"], expected, tolerance=GRADIENT[torch.float64], what="the gradient of weight")
    theirs, ours = biases(student, reference, draw, dtype=torch.float32)
    same_table(theirs, ours, 5, 7)
    theirs, ours = biases(student, reference, draw, 32, 128, 1)
    same_table(theirs, ours, 1, 1)


@t5_relative_bias
def test_t5_picture(student, reference):
    """The picture shows the buckets of queries by keys, bidirectional and not."""
    if not student.has("figure_data"):
        return
    rel = torch.arange(48) - torch.arange(48)[:, None]
    expected = np.stack([reference.relative_position_bucket(rel, both, 16, 32).numpy() for both in (True, False)])
    close(student.figure_data("t5"), expected, what="the picture")
