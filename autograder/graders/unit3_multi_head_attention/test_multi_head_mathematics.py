"""Hidden grader of the page `multi_head_mathematics`."""

import numpy as np
import pytest
import torch

from autograder.grading import agree, agree_gradients, close, raises
from autograder.grading.compare import Disagreement

# ---------------------------------------------------------------- split_merge_heads

split_merge_heads = pytest.mark.exercise("split_merge_heads")


@split_merge_heads
@pytest.mark.weight(3)
def test_split(student, reference, draw):
    """Head h gets the block h·Dh ... (h+1)·Dh - 1 of every token: out[b, h, t, i] = x[b, t, h·Dh + i]."""
    agree(student.split_heads, reference.split_heads, draw.tensor(2, 7, 15), 3)
    agree(student.split_heads, reference.split_heads, draw.tensor(3, 2, 22), H=11)


@split_merge_heads
@pytest.mark.weight(3)
def test_merge(student, reference, draw):
    """The heads stand side by side, token by token: out[b, t, h·Dh + i] = x[b, h, t, i]."""
    agree(student.merge_heads, reference.merge_heads, draw.tensor(2, 3, 7, 5))
    agree(student.merge_heads, reference.merge_heads, draw.tensor(3, 11, 2, 2))


@split_merge_heads
@pytest.mark.weight(2)
def test_round_trip(student, draw):
    """Merging what was split gives the input back, and splitting what was merged too."""
    x = draw.tensor(2, 7, 15)
    close(student.merge_heads(student.split_heads(x, 5)), x)
    x = draw.tensor(2, 3, 7, 5)
    close(student.split_heads(student.merge_heads(x), 3), x)


@split_merge_heads
@pytest.mark.weight(2)
def test_views(student, reference, draw):
    """Inputs that are not contiguous in memory work: transposed and strided views."""
    agree(student.split_heads, reference.split_heads, draw.tensor(2, 15, 7).mT, 3)
    agree(student.split_heads, reference.split_heads, draw.tensor(2, 7, 30)[..., ::2], 5)
    agree(student.merge_heads, reference.merge_heads, draw.tensor(2, 7, 3, 5).transpose(1, 2))
    agree(student.merge_heads, reference.merge_heads, draw.tensor(2, 3, 5, 7).mT)


@split_merge_heads
def test_small_cases(student, reference, draw):
    """One head, one token, one example and heads of width 1 are ordinary cases."""
    for shape, heads in (((1, 5, 7), 1), ((2, 1, 6), 3), ((1, 1, 1), 1), ((2, 3, 5), 5)):
        x = draw.tensor(*shape)
        agree(student.split_heads, reference.split_heads, x, heads)
        agree(student.merge_heads, reference.merge_heads, reference.split_heads(x, heads))


@split_merge_heads
def test_dtypes(student, reference, draw):
    """The dtype comes back as it went in, whole numbers and half precision included."""
    for x in (draw.integers(-9, 9, 2, 3, 10), draw.tensor(2, 3, 10, dtype=torch.bfloat16)):
        agree(student.split_heads, reference.split_heads, x, 5)
        agree(student.merge_heads, reference.merge_heads, reference.split_heads(x, 5))


@split_merge_heads
def test_heads_must_divide_the_width(student, reference, draw):
    """A number of heads that does not divide D raises ValueError."""
    agree(student.split_heads, reference.split_heads, draw.tensor(2, 3, 14), 7)
    for width, heads in ((15, 4), (7, 2), (3, 5)):
        raises(ValueError, student.split_heads, draw.tensor(2, 3, width), heads)


@split_merge_heads
def test_split_and_merge_gradients(student, reference, draw):
    """Gradients pass through both functions."""
    agree_gradients(student.split_heads, reference.split_heads, draw.tensor(2, 7, 15), H=3)
    agree_gradients(student.merge_heads, reference.merge_heads, draw.tensor(2, 3, 7, 5))


# ---------------------------------------------------------------- mha_numpy

mha_numpy = pytest.mark.exercise("mha_numpy")


def layer(draw, D, dtype=np.float64, biases=True):
    """Wq, Wk, Wv, Wo, bq, bk, bv, bo: asymmetric, scores of a few units, biases of order 1 or none."""
    weights = [draw.array(D, D, dtype=dtype, scale=scale * D**-0.5) for scale in (1.3, 1.3, 1.0, 1.0)]
    return [*weights, *(draw.array(D, dtype=dtype, scale=float(biases)) for _ in range(4))]


def same(student, reference, xq, xkv, weights, H, mask=None):
    """The student's layer gives the reference's output and weights."""
    options = {} if mask is None else {"mask": mask}
    answer = student.multi_head_attention(xq, xkv, *weights, H, **options)
    close(answer, reference.multi_head_attention(xq, xkv, *weights, H, **options))
    return answer


@mha_numpy
@pytest.mark.weight(2)
def test_one_head(student, reference, draw):
    """With one head it is plain attention, softmax(q kᵀ / √D) v, and then the output projection."""
    same(student, reference, draw.array(2, 5, 7), draw.array(2, 3, 7), layer(draw, 7), 1)


@mha_numpy
@pytest.mark.weight(4)
def test_equation(student, reference, draw):
    """Each head attends with its own block of the weights, at scale 1/√Dh; the heads stand side by side."""
    weights = layer(draw, 15, biases=False)
    same(student, reference, draw.array(2, 7, 15), draw.array(2, 7, 15), weights, 3)
    same(student, reference, draw.array(3, 2, 22), draw.array(3, 5, 22), layer(draw, 22, biases=False), 11)


@mha_numpy
@pytest.mark.weight(2)
def test_biases(student, reference, draw):
    """All four biases count."""
    x = draw.array(2, 5, 6)
    weights = layer(draw, 6)
    same(student, reference, x, x, weights, 3)
    for position in range(4, 8):
        one_bias = [w if i in (0, 1, 2, 3, position) else 0 * w for i, w in enumerate(weights)]
        same(student, reference, x, x, one_bias, 3)


@mha_numpy
def test_cross_attention(student, reference, draw):
    """Queries come from xq and keys and values from xkv, which may be shorter or longer, or of one token."""
    weights = layer(draw, 10)
    for q_len, kv_len in ((3, 7), (7, 3), (1, 5), (5, 1), (1, 1)):
        same(student, reference, draw.array(2, q_len, 10), draw.array(2, kv_len, 10), weights, 5)


@mha_numpy
@pytest.mark.weight(3)
def test_masks(student, reference, draw):
    """A masked key takes no part in any head (True = may attend); masks of fewer axes broadcast."""
    xq, xkv, weights = draw.array(2, 5, 6), draw.array(2, 7, 6), layer(draw, 6)
    mask = draw.mask(2, 3, 5, 7).numpy()
    for allowed in (mask[:, :1], mask[0, 0], mask[:, :1, :1], mask, mask[:1]):
        _, share = same(student, reference, xq, xkv, weights, 3, allowed)
        masked = share[~np.broadcast_to(allowed, share.shape)]
        close(masked, np.zeros_like(masked), tolerance=(0, 0), what="the weights of masked pairs")


@mha_numpy
@pytest.mark.weight(2)
def test_empty_row(student, reference, draw):
    """A query that may attend to nothing has weights 0 and output bo, not NaN; the others are as usual."""
    xq, xkv, weights = draw.array(3, 5, 6), draw.array(3, 7, 6), layer(draw, 6)
    mask = draw.mask(3, 1, 5, 7, empty_rows=(2,)).numpy()
    mask[1] = False  # an example with nothing to see
    out, _ = same(student, reference, xq, xkv, weights, 2, mask)
    close(out[:, 2], np.broadcast_to(weights[-1], (3, 6)), what="the output of a query that sees nothing")


@mha_numpy
def test_order_of_heads(student, draw):
    """Swapping the blocks of two heads, and the columns of Wo with them, leaves the output and swaps the weights."""
    D, H, Dh = 15, 5, 3
    xq, xkv, weights = draw.array(2, 4, D), draw.array(2, 7, D), layer(draw, D)
    order = draw.permutation(H).numpy()
    rows = (order[:, None] * Dh + np.arange(Dh)).ravel()
    Wq, Wk, Wv, Wo, bq, bk, bv, bo = weights
    shuffled = [Wq[rows], Wk[rows], Wv[rows], Wo[:, rows], bq[rows], bk[rows], bv[rows], bo]
    out, share = student.multi_head_attention(xq, xkv, *weights, H)
    close((out, share), (np.zeros((2, 4, D)), np.zeros((2, H, 4, 7))), rtol=0.0, atol=np.inf)
    close(student.multi_head_attention(xq, xkv, *shuffled, H), (out, share[:, order]))


@mha_numpy
def test_large_scores(student, reference, draw):
    """Scores in the hundreds do not overflow, masked ones that would win least of all."""
    xq, xkv, weights = draw.array(2, 5, 6, scale=20.0), draw.array(2, 7, 6, scale=20.0), layer(draw, 6)
    mask = draw.mask(2, 1, 5, 7).numpy()
    same(student, reference, xq, xkv, weights, 2)
    same(student, reference, xq, xkv, weights, 2, mask)
    # With queries and keys that copy the tokens, a masked key has scores of about 870 and the others of about -870:
    # relative to the masked one, exp gives 0 for all that are allowed.
    xq, xkv, mask = draw.array(2, 5, 6) + 20.0, draw.array(2, 7, 6) - 25.0, np.ones((5, 7), dtype=bool)
    xkv[:, 3], mask[:, 3] = 25.0, False
    copying = [np.eye(6), np.eye(6), *weights[2:4], np.zeros(6), np.zeros(6), *weights[6:]]
    same(student, reference, xq, xkv, copying, 2, mask)


@mha_numpy
def test_float32_and_views(student, reference, draw):
    """float32 comes back as float32; arrays may be views that are not contiguous."""
    weights = layer(draw, 6, dtype=np.float32)
    xq, xkv = draw.array(2, 5, 6, dtype=np.float32), draw.array(2, 7, 6, dtype=np.float32)
    mask = draw.mask(5, 7, empty_rows=(3,)).numpy()
    same(student, reference, xq, xkv, weights, 3, mask)
    weights = [w.T if w.ndim == 2 else w for w in layer(draw, 6)]
    same(student, reference, draw.array(2, 6, 5).swapaxes(1, 2), draw.array(2, 7, 12)[..., ::2], weights, 3)


@mha_numpy
def test_arguments_are_left_alone(student, reference, draw):
    """The inputs, the weights, the biases and the mask are as they were after the call."""
    xq, xkv, mask = draw.array(2, 5, 6), draw.array(2, 7, 6), draw.mask(5, 7).numpy()
    weights = layer(draw, 6)
    called = student.call(student.multi_head_attention, xq, xkv, *weights, 2, mask=mask)
    close(called.value, reference.multi_head_attention(xq, xkv, *weights, 2, mask=mask), what="(out, weights)")
    before = (xq, xkv, *weights, 2)
    close(called.echo, (before, {"mask": mask}), tolerance=(0, 0), what="the caller's arguments")


@mha_numpy
def test_picture(student):
    """The picture shows who looks at whom: queries on rows, a colour head, a shape head, and one head with both."""
    if not student.has("figure_data"):
        return
    panels = student.figure_data()
    colour, shape = [0, 1, 0, 2, 1, 2], [0, 1, 1, 2, 2, 0]
    same_colour = np.equal.outer(colour, colour)
    same_shape = np.equal.outer(shape, shape)
    scores = np.stack([3.0 * same_colour, 3.0 * same_shape, 3.0 * same_colour + 3.0 * same_shape])
    share = np.exp(scores)
    if not isinstance(panels, np.ndarray):
        raise Disagreement("figure_data does not return an array")
    close(panels, share / share.sum(axis=-1, keepdims=True), rtol=0.0, atol=1e-6, what="the picture")
