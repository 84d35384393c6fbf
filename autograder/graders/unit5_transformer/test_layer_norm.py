"""Hidden grader of the page `layer_norm`."""

import math

import numpy as np
import pytest
import torch

from autograder.grading import agree, agree_gradients, close, quiet_rng
from autograder.grading.compare import FORWARD, GRADIENT, Disagreement

# ---------------------------------------------------------------- layer_norm

layer_norm = pytest.mark.exercise("layer_norm")


def inputs(draw, *shape, dtype=np.float64, scale=1.0):
    """x, gamma and beta."""
    D = shape[-1]
    return (
        draw.array(*shape, dtype=dtype, scale=scale),
        draw.array(D, dtype=dtype) + dtype(2),
        draw.array(D, dtype=dtype),
    )


def forward(student, x, gamma, beta, **options):
    """The student's y and cache."""
    answer = student.layer_norm_forward(x, gamma, beta, **options)
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Disagreement("layer_norm_forward does not return a pair (y, cache)")
    student.leave_out(1)
    return answer


def same_y(student, reference, x, gamma, beta, **options):
    """The student's y is the reference's."""
    y, _ = forward(student, x, gamma, beta, **options)
    close(y, reference.layer_norm_forward(x, gamma, beta, **options)[0])
    return y


def gradients(student, reference, x, gamma, beta, dy, **options):
    """The student's dx, dgamma and dbeta, and the reference's."""
    _, cache = forward(student, x, gamma, beta, **options)
    answer = student.layer_norm_backward(dy, cache)
    expected = reference.layer_norm_backward(dy, reference.layer_norm_forward(x, gamma, beta, **options)[1])
    if not isinstance(answer, list | tuple) or len(answer) != 3:
        raise Disagreement("layer_norm_backward does not return (dx, dgamma, dbeta)")
    return answer, expected


def same_gradients(student, reference, x, gamma, beta, dy, which=(0, 1, 2), **options):
    """The student's gradients of x (0), gamma (1) and beta (2) are the reference's."""
    answer, expected = gradients(student, reference, x, gamma, beta, dy, **options)
    tolerance = GRADIENT[torch.float32 if x.dtype == np.float32 else torch.float64]
    for position in which:
        what = ("dx", "dgamma", "dbeta")[position]
        close(answer[position], expected[position], tolerance=tolerance, what=what)


@layer_norm
def test_forward_leaves_its_arguments(student, reference, draw):
    """x, gamma and beta are as they were after the forward pass."""
    x, gamma, beta = inputs(draw, 5, 7)
    called = student.call(student.layer_norm_forward, x, gamma, beta)
    student.leave_out(1)
    close(forward(student, x, gamma, beta)[0], reference.layer_norm_forward(x, gamma, beta)[0], what="y")
    close(list(called.echo[0]), [x, gamma, beta], tolerance=(0, 0), what="the caller's x, gamma and beta")


@layer_norm
@pytest.mark.weight(3)
def test_each_token_by_itself(student, reference, draw):
    """Each token has mean 0 and variance 1, the mean of its D squared deviations, before gamma and beta."""
    for shape in ((5, 3), (3, 7), (2, 31)):
        same_y(student, reference, draw.array(*shape) + 2.0, np.ones(shape[-1]), np.zeros(shape[-1]))


@layer_norm
@pytest.mark.weight(2)
def test_gamma_and_beta(student, reference, draw):
    """Each feature is multiplied by its own gamma, and its own beta is added."""
    same_y(student, reference, *inputs(draw, 5, 7))
    x, gamma, beta = inputs(draw, 3, 11)
    same_y(student, reference, x, -gamma, beta)


@layer_norm
@pytest.mark.weight(2)
def test_leading_axes(student, reference, draw):
    """There may be no axis in front of the features, or one, two or three."""
    for shape in ((7,), (1, 7), (2, 3, 7), (2, 3, 5, 7)):
        same_y(student, reference, *inputs(draw, *shape))


@layer_norm
@pytest.mark.weight(3)
def test_eps(student, reference, draw):
    """eps is added to the variance, under the root: for tiny tokens and for a large eps it decides the result."""
    same_y(student, reference, *inputs(draw, 5, 7, scale=1e-4))
    same_y(student, reference, *inputs(draw, 5, 7), eps=0.1)
    same_y(student, reference, *inputs(draw, 5, 7, scale=1e-4), eps=1e-8)
    same_y(student, reference, *inputs(draw, 5, 7), eps=0.0)


@layer_norm
def test_constant_tokens(student, reference, draw):
    """A token of one feature, or of equal features, gives beta."""
    same_y(student, reference, *inputs(draw, 5, 1))
    _, gamma, beta = inputs(draw, 5, 7)
    same_y(student, reference, np.full((2, 7), 3.0), gamma, beta)


@layer_norm
def test_stretching_and_shifting(student, reference, draw):
    """a·x + b gives what x gives, for any a > 0 and b, where eps is negligible."""
    x, gamma, beta = inputs(draw, 5, 7)
    y = same_y(student, reference, x, gamma, beta, eps=1e-14)
    moved, _ = forward(student, 3.0 * x + 11.0, gamma, beta, eps=1e-14)
    close([y, moved], [moved, y], rtol=1e-7, atol=1e-7, what="the pair of results for x and 3x + 11")


@layer_norm
@pytest.mark.weight(2)
def test_large_mean(student, reference, draw):
    """In float32 a mean of 1e4 beside a standard deviation of 1 does no harm: right within 0.01."""
    for D in (13, 64):
        x = draw.array(31, D)
        x = (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)
        x = (x + 1e4).astype(np.float32)
        one, zero = np.ones(D, dtype=np.float32), np.zeros(D, dtype=np.float32)
        y, _ = forward(student, x, one, zero)
        close(y, reference.layer_norm_forward(x, one, zero)[0], rtol=0.0, atol=1e-2)


@layer_norm
@pytest.mark.weight(2)
def test_gradients_of_gamma_and_beta(student, reference, draw):
    """dgamma and dbeta are (D,): each feature's own sum over all tokens, whatever axes are in front."""
    for shape in ((5, 7), (7,), (2, 3, 5, 7)):
        same_gradients(student, reference, *inputs(draw, *shape), draw.array(*shape), which=(1, 2))


@layer_norm
@pytest.mark.weight(4)
def test_gradient_of_x(student, reference, draw):
    """dx takes all three ways into account: directly, through the mean, and through the variance."""
    for shape in ((5, 7), (3, 3), (7,), (2, 3, 5, 7)):
        same_gradients(student, reference, *inputs(draw, *shape), draw.array(*shape), which=(0,))


@layer_norm
def test_no_gradient_where_nothing_changes(student, reference, draw):
    """dx has no component along (1, ..., 1) and, where eps is negligible, none along x̂."""
    x, gamma, beta = inputs(draw, 5, 7)
    (dx, *_), expected = gradients(student, reference, x, gamma, beta, draw.array(5, 7), eps=1e-14)
    close(dx, expected[0], rtol=0.0, atol=math.inf, what="dx")
    if np.abs(dx).max() < 0.1 * np.abs(expected[0]).max():
        raise Disagreement("dx is next to 0 everywhere, and so is each of its components")
    centred = x - x.mean(axis=-1, keepdims=True)
    close(dx.sum(axis=-1), np.zeros(5), atol=1e-9, what="the sum of dx over the features")
    close((dx * centred).sum(axis=-1), np.zeros(5), atol=1e-9, what="the product of dx and x̂")


@layer_norm
@pytest.mark.weight(2)
def test_gradients_with_eps(student, reference, draw):
    """A large eps, or tiny tokens, show in the gradients too."""
    same_gradients(student, reference, *inputs(draw, 5, 7), draw.array(5, 7), eps=0.3)
    same_gradients(student, reference, *inputs(draw, 5, 7, scale=1e-3), 1e-3 * draw.array(5, 7))
    x, gamma, beta = inputs(draw, 3, 1)  # one feature: dx is 0
    same_gradients(student, reference, x, gamma, beta, draw.array(3, 1))


@layer_norm
def test_backward_twice(student, reference, draw):
    """A cache serves more than once: the same call gives the same, and neither dy nor the cache is changed."""
    x, gamma, beta = inputs(draw, 5, 7)
    dy = draw.array(5, 7)
    _, cache = forward(student, x, gamma, beta)
    first = None
    for _ in range(3):
        called = student.call(student.layer_norm_backward, dy, cache)
        if not isinstance(called.value, list | tuple) or len(called.value) != 3:
            raise Disagreement("layer_norm_backward does not return (dx, dgamma, dbeta)")
        if first is None:
            first = called.value
            expected = reference.layer_norm_backward(dy, reference.layer_norm_forward(x, gamma, beta)[1])
            close(first, expected, tolerance=GRADIENT[torch.float64], what="(dx, dgamma, dbeta)")
        likes = {"dx": dy, "dgamma": beta, "dbeta": beta}
        for (name, like), again, before in zip(likes.items(), called.value, first, strict=True):
            close(before, like, rtol=0.0, atol=math.inf, what=name)
            close(again, before, what=f"{name} of another call with the same cache")
        close(called.echo[0][0], dy, tolerance=(0, 0), what="the caller's dy")
        cache = called.echo[0][1]


@layer_norm
def test_float32(student, reference, draw):
    """float32 comes back as float32, from both passes."""
    x, gamma, beta = inputs(draw, 2, 3, 7, dtype=np.float32)
    # With a large eps, so that who uses it in another way is not taken for who adds it to the deviation.
    same_y(student, reference, x, gamma, beta, eps=0.1)
    same_gradients(student, reference, x, gamma, beta, draw.array(2, 3, 7, dtype=np.float32), eps=0.1)


@layer_norm
def test_norm_picture(student):
    """The picture's curves: without a norm the numbers vanish or explode, with layer norm they stay where they are."""
    if not student.has("figure_data"):
        return
    small, large, level = (student.figure_data(name) for name in ("gain 0.7", "gain 1.4", "layer norm"))
    for curve in (small, large, level):
        close(curve, np.zeros(31), rtol=0.0, atol=math.inf, what="the curve")
    if not (small[-1] < 1e-3 and large[-1] > 1e3 and 1 < level[1:].min() <= level[1:].max() < 2):
        raise Disagreement("the curves of the picture do not shrink, grow and stay level")


# ---------------------------------------------------------------- rms_norm

rms_norm = pytest.mark.exercise("rms_norm")


def norms(student, reference, draw, d=7, dtype=torch.float64, **options):
    """The student's norm and the reference's, with the same random weight."""
    state = {"weight": 2 + draw.tensor(d, dtype=dtype)}
    theirs = student.RMSNorm(d, **options)
    theirs.load_reference(state)
    ours = reference.RMSNorm(d, **options).to(dtype)
    ours.load_state_dict(state)
    return theirs, ours


def same(theirs, ours, x):
    """Both norms give the same; x is not changed."""
    agree(theirs, ours, x)


@rms_norm
def test_weight(student, reference, draw):
    """The module has d trainable numbers, one for each feature, which are loaded and used; at first they are 1."""
    fresh = student.RMSNorm(5)
    x = draw.tensor(3, 5, dtype=torch.float32)
    close(fresh(x), reference.RMSNorm(5)(x).detach())
    theirs, ours = norms(student, reference, draw)
    x = draw.tensor(3, 7)
    same(theirs, ours, x)
    found = student.vjp(theirs, x, cotangent=draw.tensor(3, 7), parameters=True).parameters or {}
    numbers = [gradient for gradient in found.values() if gradient is not None]
    if sum(gradient.numel() for gradient in numbers) != 7 or len(numbers) != len(found):
        raise Disagreement("there are not 7 = d trainable numbers, or no gradient reaches them")


@rms_norm
@pytest.mark.weight(3)
def test_root_mean_square(student, reference, draw):
    """A vector is divided by the root of the mean of its squares; its mean is not taken away."""
    for d in (3, 7, 31):
        theirs, ours = norms(student, reference, draw, d)
        same(theirs, ours, draw.tensor(5, d) + 1.0)


@rms_norm
@pytest.mark.weight(3)
def test_eps_of_rms(student, reference, draw):
    """eps, 1e-6 by default, is added to the mean square under the root, and decides for tiny vectors."""
    theirs, ours = norms(student, reference, draw)
    for scale in (1e-2, 1e-3, 1e-4, 1e-6):
        same(theirs, ours, draw.tensor(5, 7, scale=scale))
    for eps in (0.1, 1e-5, 1e-12):
        theirs, ours = norms(student, reference, draw, eps=eps)
        same(theirs, ours, draw.tensor(5, 7))
        same(theirs, ours, draw.tensor(5, 7, scale=1e-4))


@rms_norm
def test_rms_of_zeros(student, reference, draw):
    """A vector of zeros gives zeros, with finite gradients; one feature gives its sign times the weight."""
    theirs, ours = norms(student, reference, draw)
    x = draw.tensor(3, 7)
    x[1] = 0.0
    same(theirs, ours, x)
    agree_gradients(theirs, ours, x)
    theirs, ours = norms(student, reference, draw, 1)
    same(theirs, ours, draw.tensor(5, 1))


@rms_norm
def test_rms_leading_axes(student, reference, draw):
    """There may be no axis in front of the features, or up to three; x may be a view that is not contiguous."""
    theirs, ours = norms(student, reference, draw)
    for shape in ((7,), (1, 7), (2, 5, 7), (2, 3, 5, 7)):
        same(theirs, ours, draw.tensor(*shape))
    same(theirs, ours, draw.tensor(2, 7, 5).mT)
    same(theirs, ours, draw.tensor(3, 14)[:, ::2])


@rms_norm
@pytest.mark.weight(3)
def test_half_precision(student, reference, draw):
    """float16 and bfloat16 come back in their dtype, and entries whose squares overflow float16 do no harm."""
    for dtype, scale in ((torch.float16, 1.0), (torch.float16, 300.0), (torch.bfloat16, 1.0), (torch.float16, 3000.0)):
        theirs, ours = norms(student, reference, draw, 31, dtype=dtype)
        x = (scale * draw.tensor(5, 31).clamp(-4, 4)).to(dtype)
        close(theirs(x), ours(x).detach(), tolerance=FORWARD[dtype])


@rms_norm
@pytest.mark.names("bfloat16_squared")  # whoever squares in float16 too has failed the test before
def test_half_precision_is_not_summed(student, reference, draw):
    """Squares of float16 and bfloat16 are added in float32: a token is not too large or too small as a whole."""
    for dtype in (torch.float16, torch.bfloat16):
        theirs, ours = student.RMSNorm(2048), reference.RMSNorm(2048).double()
        theirs.load_reference({"weight": torch.ones(2048, dtype=dtype)})
        x = draw.tensor(17, 2048) * torch.linspace(0.5, 2.0, 17)[:, None]
        x[0] *= 2.003 / x[0].square().mean().sqrt()  # see below
        x = x.to(dtype)
        answer, expected = theirs(x), ours(x.double()).detach()
        close(answer, expected.to(dtype), tolerance=FORWARD[dtype])
        # The rounding of single numbers cancels out in a sum over 2048 of them, but where the root is just above a
        # power of two: most numbers of the token then come out as those of x, and right ones are larger by a
        # thousandth. So they are compared with right numbers that are rounded as well.
        rounded = expected.to(dtype).double()
        size = (answer.double() * rounded).sum(dim=-1) / rounded.square().sum(dim=-1)
        close(size, torch.ones(17).double(), rtol=0.0, atol=1e-3, what="the tensor of the tokens' sizes (1 is right)")


@rms_norm
def test_rms_dtypes(student, reference, draw):
    """float32 stays float32; nothing is drawn at random, in train and in eval mode alike."""
    theirs, ours = norms(student, reference, draw, dtype=torch.float32)
    x = draw.tensor(3, 7, dtype=torch.float32)
    same(theirs, ours, x)
    for training in (True, False):
        theirs.train(training)
        close(quiet_rng(theirs, x), ours(x).detach())


@rms_norm
@pytest.mark.weight(3)
def test_rms_gradients(student, reference, draw):
    """The gradients of x and of the weight are right, for tiny vectors too."""
    theirs, ours = norms(student, reference, draw)
    for scale in (1.0, 1e-3):
        x = draw.tensor(2, 5, 7, scale=scale)
        agree_gradients(theirs, ours, x)
        cotangent = draw.tensor(2, 5, 7)
        found = student.vjp(theirs, x, cotangent=cotangent, parameters=True).parameters or {}
        (expected,) = torch.autograd.grad(ours(x), [ours.weight], cotangent)
        if set(found) == {"weight"}:  # else the student's parameters have names of their own, see load_reference
            close(found["weight"], expected, tolerance=GRADIENT[torch.float64], what="the gradient of weight")


@rms_norm
def test_rms_picture(student):
    """The picture's last curve: with RMSNorm the numbers stay where they are."""
    if not student.has("figure_data"):
        return
    curve = student.figure_data("RMSNorm")
    close(curve, np.zeros(31), rtol=0.0, atol=math.inf, what="the curve")
    if not 1 < curve[1:].min() <= curve[1:].max() < 2:
        raise Disagreement("the curve of RMSNorm does not stay level")
