"""Hidden grader of the page `attention_from_scratch`."""

import math

import numpy as np
import pytest

from autograder.grading import close
from autograder.grading.compare import Disagreement


def inputs(draw, *lead, q_len=5, kv_len=7, d_k=11, d_v=3, dtype=np.float64, scale=1.0):
    """Q, K, V of distinct sizes; at scale 1 no softmax is saturated."""
    return [
        draw.array(*lead, q_len, d_k, dtype=dtype, scale=scale),
        draw.array(*lead, kv_len, d_k, dtype=dtype, scale=scale),
        draw.array(*lead, kv_len, d_v, dtype=dtype),
    ]


def random_mask(draw, *shape, **options):
    return draw.mask(*shape, **options).numpy()


def unchanged(student, function, expected, *args, **kwargs):
    """The call left its arguments as they were, and its result is `expected`: an empty function leaves them, too."""
    answered = student.call(function, *args, **kwargs)
    close(answered.value, expected, what="the result")
    seen_args, seen_kwargs = answered.echo
    exact = {"tolerance": (0, 0), "what": "the caller's arguments"}
    close(list(seen_args), list(args), **exact)
    close(seen_kwargs, kwargs, **exact)


def pieces(answer, expected, names):
    """The answer by name, with the structure and the values of `expected`."""
    close(answer, expected, rtol=0.0, atol=np.inf)
    close(dict(zip(names, answer, strict=True)), dict(zip(names, expected, strict=True)), what="the result")
    return answer


# ---------------------------------------------------------------- qkv_attention

qkv_attention = pytest.mark.exercise("qkv_attention")


def same(student, reference, *args, **kwargs):
    """The student's output and weights are the reference's; forbidden weights are exactly 0. Returns both."""
    answer = student.attention(*args, **kwargs)
    out, weights = pieces(answer, reference.attention(*args, **kwargs), ("out", "weights"))
    mask = kwargs.get("mask")
    if mask is not None:
        forbidden = weights[np.broadcast_to(~mask, weights.shape)]
        close(forbidden, np.zeros_like(forbidden), tolerance=(0, 0), what="the weights of forbidden keys")
    return out, weights


@qkv_attention
@pytest.mark.weight(3)
def test_equation(student, reference, draw):
    """For matrices the result is softmax(QKᵀ/√Dk)V and the weights, the softmax taken over the keys."""
    same(student, reference, *inputs(draw))
    same(student, reference, *inputs(draw, q_len=7, kv_len=2, d_k=3, d_v=13))


@qkv_attention
@pytest.mark.weight(3)
def test_leading_axes(student, reference, draw):
    """Any number of leading axes comes along: each slice is attention by itself."""
    for lead in ((2,), (3, 2), (2, 1, 3)):
        same(student, reference, *inputs(draw, *lead))


@qkv_attention
def test_square(student, reference, draw):
    """Also where all lengths agree, or all sizes, a softmax over the queries or a swapped axis gives something else."""
    same(student, reference, *inputs(draw, kv_len=5))
    same(student, reference, *inputs(draw, 5, q_len=5, kv_len=5, d_k=5, d_v=5))


@qkv_attention
@pytest.mark.weight(2)
def test_masks(student, reference, draw):
    """A forbidden key takes no part (True = may attend); masks of fewer axes broadcast."""
    args = inputs(draw, 2, 3)
    for shape in ((2, 3, 5, 7), (2, 1, 5, 7), (2, 1, 1, 7), (5, 7)):
        same(student, reference, *args, mask=random_mask(draw, *shape))
    same(student, reference, *inputs(draw), mask=random_mask(draw, 5, 7))


@qkv_attention
@pytest.mark.weight(2)
def test_empty_row(student, reference, draw):
    """A query that may attend to nothing gets weights 0 and output 0, not NaN and not a mean."""
    same(student, reference, *inputs(draw, 2), mask=random_mask(draw, 2, 5, 7, empty_rows=(3,)))
    same(student, reference, *inputs(draw), mask=np.zeros((5, 7), dtype=bool))


@qkv_attention
@pytest.mark.weight(2)
def test_scale(student, reference, draw):
    """A given scale takes the place of 1/√Dk, also if it is 0, and with a mask."""
    for scale in (0.43, 0.0):
        same(student, reference, *inputs(draw, 2), scale=scale)
        same(student, reference, *inputs(draw), mask=random_mask(draw, 5, 7), scale=scale)


@qkv_attention
def test_average(student, reference, draw):
    """The output is an average: between the smallest and the largest value, and it follows what is added to V."""
    Q, K, V = inputs(draw, 3)
    out, _ = same(student, reference, Q, K, V)
    low, high = V.min(axis=-2, keepdims=True), V.max(axis=-2, keepdims=True)
    if not ((low - 1e-9 <= out) & (out <= high + 1e-9)).all():
        raise Disagreement("an output lies outside the range of the values")
    moved, _ = pieces(student.attention(Q, K, V + 5.0), reference.attention(Q, K, V + 5.0), ("out", "weights"))
    close(moved, out + 5.0, what="the output after 5 was added to every value")


@qkv_attention
def test_order_of_the_source(student, reference, draw):
    """Keys and values shuffled together give the same output, and the weights shuffled."""
    Q, K, V = inputs(draw, 2)
    p = draw.permutation(7).numpy()
    out, weights = same(student, reference, Q, K, V)
    close(student.attention(Q, K[:, p], V[:, p]), (out, weights[..., p]))


@qkv_attention
def test_few_keys(student, reference, draw):
    """With one key the output is its value; with none (Tk = 0) it is zeros; a single query is an ordinary case."""
    Q, K, V = inputs(draw, 2, kv_len=1)
    out, _ = same(student, reference, Q, K, V)
    close(out, np.repeat(V, 5, axis=1), what="the output with one key")
    same(student, reference, *inputs(draw, 2, kv_len=0))
    same(student, reference, *inputs(draw, kv_len=0))
    same(student, reference, *inputs(draw, 2, q_len=1))


@qkv_attention
def test_extreme_scores(student, reference, draw):
    """Very large, very small and, behind the mask, meaningless keys and values cause no overflow and leave no trace."""
    same(student, reference, *inputs(draw, 2, scale=30.0))
    Q, K, V = inputs(draw, 2)
    mask = random_mask(draw, 2, 1, 7)
    junk = np.broadcast_to(~mask.swapaxes(1, 2), V.shape)
    K[junk[..., :1].repeat(11, axis=-1)], V[junk] = 1e30, -1e30
    same(student, reference, Q, K, V, mask=mask)
    Q[..., 0], K[..., 0] = 1.0, -300.0 * math.sqrt(11)
    K[junk[..., 0]] = 0.0
    same(student, reference, Q, K, V, mask=mask)


@qkv_attention
def test_float32_and_views(student, reference, draw):
    """float32 comes back as float32, and arrays that are not contiguous in memory work."""
    same(student, reference, *inputs(draw, 2, dtype=np.float32))
    same(student, reference, *inputs(draw, dtype=np.float32), mask=random_mask(draw, 5, 7), scale=0.5)
    Q, K, V = inputs(draw, 2, 3)
    Q = np.ascontiguousarray(Q.swapaxes(1, 2)).swapaxes(1, 2)
    K = np.ascontiguousarray(K.swapaxes(-1, -2)).swapaxes(-1, -2)
    same(student, reference, Q, K, np.repeat(V, 2, axis=-1)[..., ::2], mask=random_mask(draw, 7, 5).T)


@qkv_attention
def test_figure(student):
    """The picture's curves: the mean of the values at scale 0, in between later, within the range of the points."""
    if not student.has("figure_data"):
        return
    curves = student.figure_data()
    close(curves, np.zeros((3, 101)), rtol=0.0, atol=np.inf)
    flat, soft, hard = curves
    if not np.ptp(flat) < 1e-9 or not np.ptp(soft) > 0.5 or not (hard.max() >= soft.max() > flat[0] > soft.min()):
        raise Disagreement("row 0 is not flat, or row 1 is not a curve between the extremes of row 2")


@qkv_attention
def test_arguments_are_left_alone(student, reference, draw):
    """Q, K, V and the mask are as they were after the call: work on copies, the caller still needs them."""
    args, mask = inputs(draw), random_mask(draw, 5, 7)
    unchanged(student, student.attention, reference.attention(*args, mask=mask), *args, mask=mask)


# ---------------------------------------------------------------- attention_vjp

attention_vjp = pytest.mark.exercise("attention_vjp")
GRADIENTS = ("dQ", "dK", "dV")


def same_vjp(student, reference, dO, *args, **kwargs):
    """The student's three gradients are the reference's. Returns them."""
    answer = student.attention_vjp(dO, *args, **kwargs)
    return pieces(answer, reference.attention_vjp(dO, *args, **kwargs), GRADIENTS)


@attention_vjp
@pytest.mark.weight(2)
@pytest.mark.parametrize("which", [0, 1, 2], ids=GRADIENTS)
def test_each_gradient(student, reference, draw, which):
    """Each of dQ, dK and dV is right, looked at alone."""
    dO, args = draw.array(5, 3), inputs(draw)
    expected = reference.attention_vjp(dO, *args)
    answer = student.attention_vjp(dO, *args)
    close(answer, expected, rtol=0.0, atol=np.inf)
    close(answer[which], expected[which], what=GRADIENTS[which])


@attention_vjp
@pytest.mark.weight(2)
def test_vjp_leading_axes(student, reference, draw):
    """Any number of leading axes comes along."""
    for lead in ((2,), (3, 2)):
        same_vjp(student, reference, draw.array(*lead, 5, 3), *inputs(draw, *lead))


@attention_vjp
@pytest.mark.weight(2)
def test_differences(student, reference, draw):
    """The gradients say how Σ dO · O moves when one input moves a little: central differences."""
    dO, args = draw.array(2, 5, 3), inputs(draw, 2)
    mask = random_mask(draw, 5, 7)
    answer = student.attention_vjp(dO, *args, mask=mask)
    close(answer, tuple(args), rtol=0.0, atol=np.inf)
    for name, position, gradient in zip(GRADIENTS, range(3), answer, strict=True):
        direction, losses = draw.array(*args[position].shape), []
        for step in (1e-5, -1e-5):
            moved = [a + step * direction if n == position else a for n, a in enumerate(args)]
            losses.append(float((dO * reference.attention(*moved, mask=mask)[0]).sum()))
        slope = (losses[0] - losses[1]) / 2e-5
        close(float((gradient * direction).sum()), slope, rtol=1e-5, atol=1e-7, what=f"the slope along {name}")


@attention_vjp
@pytest.mark.weight(2)
def test_vjp_masks(student, reference, draw):
    """With a mask the gradients are right, and a key that no query may see gets exactly 0 in dK and dV."""
    same_vjp(student, reference, draw.array(2, 3, 5, 3), *inputs(draw, 2, 3), mask=random_mask(draw, 2, 1, 5, 7))
    mask = random_mask(draw, 5, 7, full_rows=(0,))
    mask[:, 4] = False
    _, dK, dV = same_vjp(student, reference, draw.array(5, 3), *inputs(draw), mask=mask)
    close(dK[4], np.zeros(11), tolerance=(0, 0), what="dK of the key that nobody may see")
    close(dV[4], np.zeros(3), tolerance=(0, 0), what="dV of the key that nobody may see")


@attention_vjp
@pytest.mark.weight(3)
def test_vjp_of_an_empty_row(student, reference, draw):
    """A query that may attend to nothing has dQ exactly 0 and adds nothing to dK and dV; there is no NaN."""
    mask = random_mask(draw, 2, 5, 7, empty_rows=(3,))
    dQ, _, _ = same_vjp(student, reference, draw.array(2, 5, 3), *inputs(draw, 2), mask=mask)
    close(dQ[:, 3], np.zeros((2, 11)), tolerance=(0, 0), what="dQ of the query that may see nothing")
    same_vjp(student, reference, draw.array(5, 3), *inputs(draw), mask=np.zeros((5, 7), dtype=bool))


@attention_vjp
def test_vjp_one_key(student, reference, draw):
    """With one key there is no choice: dQ and dK are 0, and dV collects dO. One query is an ordinary case."""
    same_vjp(student, reference, draw.array(2, 5, 3), *inputs(draw, 2, kv_len=1))
    same_vjp(student, reference, draw.array(2, 1, 3), *inputs(draw, 2, q_len=1))


@attention_vjp
def test_vjp_extreme_scores(student, reference, draw):
    """Saturated attention, and junk such as 1e30 behind the mask, give finite and right gradients."""
    same_vjp(student, reference, draw.array(5, 3), *inputs(draw, scale=8.0))
    Q, K, V = inputs(draw, 2)
    mask = random_mask(draw, 2, 1, 7)
    junk = np.broadcast_to(~mask.swapaxes(1, 2), V.shape)
    K[junk[..., :1].repeat(11, axis=-1)], V[junk] = 1e30, -1e30
    same_vjp(student, reference, draw.array(2, 5, 3), Q, K, V, mask=mask)


@attention_vjp
def test_vjp_float32_and_views(student, reference, draw):
    """float32 comes back as float32, and arrays that are not contiguous in memory work."""
    close(
        student.attention_vjp(*(args := [draw.array(5, 3, dtype=np.float32), *inputs(draw, dtype=np.float32)])),
        reference.attention_vjp(*args),
        tolerance=(1e-3, 1e-4),
    )
    Q, K, V = inputs(draw, 2, 3)
    K = np.ascontiguousarray(K.swapaxes(-1, -2)).swapaxes(-1, -2)
    dO = draw.array(2, 5, 3, 3).swapaxes(1, 2)
    same_vjp(student, reference, dO, Q, K, np.repeat(V, 2, axis=-1)[..., ::2], mask=random_mask(draw, 7, 5).T)


@attention_vjp
def test_vjp_leaves_its_arguments_alone(student, reference, draw):
    """dO, Q, K, V and the mask are as they were after the call."""
    args, mask = [draw.array(5, 3), *inputs(draw)], random_mask(draw, 5, 7)
    unchanged(student, student.attention_vjp, reference.attention_vjp(*args, mask=mask), *args, mask=mask)
