"""Hidden grader of the page `residual`.

The sub-layers and norms are those of autograder.given, made inside for the student and out here for the reference.
"""

import math

import pytest
import torch

from autograder import given
from autograder.grading import agree_gradients, close, quiet_rng, unjudged
from autograder.grading.chance import each_by_itself
from autograder.grading.compare import Disagreement

residual_norm_wrappers = pytest.mark.exercise("residual_norm_wrappers")

SUBLAYERS = {"FeedForward": (7, 11), "MultiHeadAttention": (7, 7)}


def weights(draw, module, dtype):
    """A random state dict for a module: matrices that keep the size of what they multiply, vectors of order 1."""
    return {
        name: draw.tensor(*p.shape, dtype=dtype, scale=1.2 * p.shape[-1] ** -0.5 if p.ndim == 2 else 1.0)
        for name, p in module.named_parameters()
    }


def wrapped(student, reference, draw, norm_first, kind="FeedForward", dropout=0.0, silent=False, dtype=torch.float64):
    """The student's wrapper and the reference's, around a sub-layer and a norm of width 7 with the same weights."""
    made = []
    for name, sizes in ((kind, SUBLAYERS[kind]), ("LayerNorm", (7,))):
        ours = getattr(given, name)(*sizes).to(dtype)
        state = weights(draw, ours, dtype)
        if silent and name == kind:
            state = {name: torch.zeros_like(value) for name, value in state.items()}
        ours.load_state_dict(state)
        inside = getattr(student.given, name)(*sizes)
        inside.load_reference(state)
        made.append((inside, ours))
    (sublayer, our_sublayer), (norm, our_norm) = made
    theirs = student.Residual(sublayer, norm, norm_first, dropout=dropout)
    return theirs, reference.Residual(our_sublayer, our_norm, norm_first)


def same(theirs, ours, x, **kwargs):
    """Both wrappers give the same; the student's answer."""
    with torch.no_grad():
        expected = ours(x, **kwargs)
    answer = theirs(x, **kwargs)
    close(answer, expected)
    return answer


def other_variant(student, reference, draw, norm_first):
    """Ask for an answer of the other variant: who knows one only is not taken for who exchanged them."""
    with unjudged():
        theirs, _ = wrapped(student, reference, draw, norm_first)
        theirs(draw.tensor(2, 5, 7))


@residual_norm_wrappers
@pytest.mark.weight(3)
def test_pre_norm(student, reference, draw):
    """With norm_first=True the result is x + f(N(x)): the stream itself is not normalised."""
    other_variant(student, reference, draw, norm_first=False)
    for kind in SUBLAYERS:
        theirs, ours = wrapped(student, reference, draw, True, kind)
        same(theirs, ours, draw.tensor(2, 5, 7) + 1.0)


@residual_norm_wrappers
@pytest.mark.weight(3)
def test_post_norm(student, reference, draw):
    """With norm_first=False the result is N(x + f(x)): the sum is normalised, and f sees x itself."""
    other_variant(student, reference, draw, norm_first=True)
    for kind in SUBLAYERS:
        theirs, ours = wrapped(student, reference, draw, False, kind)
        same(theirs, ours, draw.tensor(2, 5, 7) + 1.0)


@residual_norm_wrappers
def test_silent_sublayer(student, draw, reference):
    """Where the sub-layer writes zeros, pre-LN is the identity, and post-LN the norm, in both modes."""
    x = draw.tensor(2, 5, 7)
    for norm_first in (True, False):
        theirs, ours = wrapped(student, reference, draw, norm_first, silent=True, dropout=0.5)
        for training in (False, True):
            theirs.train(training)
            close(student.seeded(theirs, x), x if norm_first else ours.norm(x).detach())


@residual_norm_wrappers
@pytest.mark.weight(3)
def test_keyword_arguments(student, reference, draw):
    """What is passed by keyword, such as a mask, arrives at the sub-layer, and only there."""
    x, memory = draw.tensor(2, 5, 7), draw.tensor(2, 11, 7)
    for norm_first in (True, False):
        theirs, ours = wrapped(student, reference, draw, norm_first, "MultiHeadAttention")
        same(theirs, ours, x, mask=draw.mask(2, 1, 5, 5))
        same(theirs, ours, x, key=memory, mask=draw.mask(5, 11))
        same(theirs, ours, x, key=memory, value=draw.tensor(2, 11, 7))


@residual_norm_wrappers
@pytest.mark.weight(2)
def test_dropout_of_what_is_written(student, reference, draw):
    """In train mode each number that was written, by itself, is dropped or divided by 1 - dropout; the stream is not.

    Eight counts, each with a false alarm in 1e9.
    """
    x = draw.tensor(11, 17, 7)
    for norm_first in (True, False):
        theirs, ours = wrapped(student, reference, draw, norm_first, dropout=0.25)
        if not norm_first:  # the sum can be seen where the norm does nothing
            sublayer = student.given.FeedForward(7, 11)
            sublayer.load_reference(dict(ours.sublayer.state_dict()))
            theirs = student.Residual(sublayer, student.given.nn.Identity(), False, dropout=0.25)
        theirs.train(True)
        out = student.seeded(theirs, x)
        close(out, torch.zeros(11, 17, 7).double(), rtol=0.0, atol=math.inf)
        with torch.no_grad():
            written = ours.sublayer(ours.norm(x) if norm_first else x)
        dropped = (out - x).abs() < 1e-9
        if not (dropped | ((out - x - written / 0.75).abs() < 1e-9)).all():
            raise Disagreement("in train mode some number is neither x nor x plus what was written / (1 - dropout)")
        each_by_itself(dropped, 0.25, "written numbers")


@residual_norm_wrappers
def test_modes(student, reference, draw):
    """In eval mode, and with dropout 0, nothing is dropped and nothing drawn."""
    x = draw.tensor(2, 5, 7)
    for norm_first in (True, False):
        theirs, ours = wrapped(student, reference, draw, norm_first, dropout=0.5)
        theirs.train(False)
        close(quiet_rng(theirs, x), ours(x).detach())
        theirs, ours = wrapped(student, reference, draw, norm_first)
        close(quiet_rng(theirs, x), ours(x).detach())


@residual_norm_wrappers
def test_each_is_called_once(student, reference, draw):
    """Sub-layer and norm are called once each: modules that remember what they saw, here batch norms, show it."""
    x = draw.tensor(11, 7, dtype=torch.float32)
    for norm_first in (True, False):
        theirs = student.Residual(*(student.given.nn.BatchNorm1d(7, affine=False) for _ in range(2)), norm_first)
        ours = reference.Residual(*(torch.nn.BatchNorm1d(7, affine=False) for _ in range(2)), norm_first)
        for training in (True, False):
            theirs.train(training)
            ours.train(training)
            close(theirs(x), ours(x).detach())


@residual_norm_wrappers
def test_shapes_and_dtypes(student, reference, draw):
    """Any number of axes, views, float32; x is as it was after the call."""
    for norm_first in (True, False):
        theirs, ours = wrapped(student, reference, draw, norm_first)
        for x in (draw.tensor(7), draw.tensor(1, 7), draw.tensor(2, 3, 5, 7), draw.tensor(2, 7, 5).mT):
            same(theirs, ours, x)
        theirs, ours = wrapped(student, reference, draw, norm_first, dtype=torch.float32)
        x = draw.tensor(2, 5, 7, dtype=torch.float32)
        called = student.call(theirs, x)
        close(called.value, ours(x).detach())
        close(called.echo[0][0], x, tolerance=(0, 0), what="the caller's x")


@residual_norm_wrappers
@pytest.mark.weight(2)
def test_gradients(student, reference, draw):
    """Gradients of x are right, and reach all parameters of the sub-layer and of the norm, and there are no others."""
    for norm_first in (True, False):
        theirs, ours = wrapped(student, reference, draw, norm_first)
        x, cotangent = draw.tensor(2, 5, 7), draw.tensor(2, 5, 7)
        agree_gradients(theirs, ours, x)
        found = student.vjp(theirs, x, cotangent=cotangent, parameters=True).parameters or {}
        if any(gradient is None for gradient in found.values()):
            raise Disagreement("there is a parameter that no gradient reaches")
        wanted = torch.autograd.grad(ours(x), list(ours.parameters()), cotangent)
        numbers = [sum(g.numel() for g in gradients) for gradients in (found.values(), wanted)]
        if numbers[0] != numbers[1]:
            raise Disagreement(f"the wrapper has {numbers[0]} trainable numbers, its two modules have {numbers[1]}")
        sums = [sum(g.square().sum().item() for g in gradients) for gradients in (found.values(), wanted)]
        close(sums[0], sums[1], rtol=1e-7, what="the squared length of all parameters' gradients")


@residual_norm_wrappers
def test_identity_path(student, reference, draw):
    """With pre-LN and a sub-layer that writes zeros, the gradient passes through unchanged."""
    theirs, _ = wrapped(student, reference, draw, True, silent=True)
    x, cotangent = draw.tensor(2, 5, 7), draw.tensor(2, 5, 7)
    found = student.vjp(theirs, x, cotangent=cotangent).grads
    if not found or found[0] is None:
        raise Disagreement("no gradient reaches x")
    close(found[0], cotangent, what="the gradient of x")


@residual_norm_wrappers
def test_gradient_picture(student):
    """The picture: in the last layer pre-LN's gradients shrink with the depth, and post-LN's do not."""
    if not student.has("figure_data"):
        return
    post, pre = student.figure_data("depths")
    close([post, pre], [torch.zeros(5).double().numpy()] * 2, rtol=0.0, atol=math.inf, what="the picture")
    if not (pre[-1] < 0.5 * pre[0] and 0.6 * post[0] < post[-1] < 1.7 * post[0]):
        raise Disagreement("the gradients of the last layer do not shrink with pre-LN, or do so with post-LN")
