"""Hidden grader of the page `feed_forward`."""

import math

import numpy as np
import pytest
import torch

from autograder.grading import agree, agree_gradients, close, quiet_rng, raises
from autograder.grading.chance import each_by_itself
from autograder.grading.compare import GRADIENT, Disagreement


def load(theirs, ours, draw, dtype):
    """Both get the same random weights: weights that keep the size of what they multiply, biases of order 1."""
    state = {
        name: draw.tensor(*p.shape, dtype=dtype, scale=1.3 * p.shape[-1] ** -0.5 if p.ndim == 2 else 1.0)
        for name, p in ours.named_parameters()
    }
    theirs.load_reference(state)
    ours.to(dtype).load_state_dict(state)
    return theirs, ours


def parameter_gradients(student, theirs, ours, x, cotangent):
    """The student's module has as many trainable numbers as ours, with the right gradients where the names agree."""
    found = student.vjp(theirs, x, cotangent=cotangent, parameters=True).parameters or {}
    named = dict(ours.named_parameters())
    for name, gradient in found.items():
        if gradient is None or not gradient.isfinite().all():
            raise Disagreement(f"no gradient, or one that is not finite, reaches the parameter {name}")
    count, expected = sum(g.numel() for g in found.values()), sum(p.numel() for p in named.values())
    if count != expected:
        raise Disagreement(f"the module has {count} trainable numbers in {len(found)} parameters, expected {expected}")
    if set(found) == set(named):  # else the student's parameters have names of their own, see load_reference
        wanted = torch.autograd.grad(ours(x), list(named.values()), cotangent)
        for name, gradient in zip(named, wanted, strict=True):
            close(found[name], gradient, tolerance=GRADIENT[torch.float64], what=f"the gradient of {name}")


# ---------------------------------------------------------------- feed_forward

feed_forward = pytest.mark.exercise("feed_forward")


def networks(student, reference, draw, d_model=5, d_ff=7, dtype=torch.float64, **options):
    """The student's network and the reference's, with the same random weights."""
    theirs = student.FeedForward(d_model, d_ff, **options)
    return load(theirs, reference.FeedForward(d_model, d_ff, **options), draw, dtype)


@feed_forward
@pytest.mark.weight(3)
def test_relu_network(student, reference, draw):
    """The result is fc2(relu(fc1(x))) for each token by itself, for any d_ff."""
    for d_model, d_ff in ((5, 7), (7, 3), (3, 13), (5, 5)):
        theirs, ours = networks(student, reference, draw, d_model, d_ff)
        agree(theirs, ours, draw.tensor(1, 1, d_model))
        agree(theirs, ours, draw.tensor(2, 11, d_model))
        agree(theirs, ours, draw.tensor(2, d_model, d_model, scale=9.0))  # as many tokens as features, and large ones


@feed_forward
@pytest.mark.weight(2)
def test_gelu_networks(student, reference, draw):
    """ "gelu" is the exact one with erf, "gelu_tanh" the approximation with tanh."""
    made = [networks(student, reference, draw, activation=activation) for activation in ("gelu", "gelu_tanh")]
    x = draw.tensor(2, 11, 5)
    for theirs, _ in made:  # both are asked before one is judged: exchanged, or twice the same?
        close(theirs(x), torch.zeros(2, 11, 5).double(), rtol=0.0, atol=math.inf)
    for theirs, ours in made:
        agree(theirs, ours, x)


@feed_forward
@pytest.mark.weight(2)
def test_biases(student, reference, draw):
    """Both layers add their bias: a token of zeros is transformed as well."""
    for activation in ("relu", "gelu", "gelu_tanh"):
        theirs, ours = networks(student, reference, draw, activation=activation)
        agree(theirs, ours, torch.zeros(1, 2, 5, dtype=torch.float64))


@feed_forward
def test_tokens_are_independent(student, reference, draw):
    """Changing one token changes its own result only; shuffled tokens give shuffled results."""
    theirs, ours = networks(student, reference, draw)
    x, order = draw.tensor(2, 7, 5), draw.permutation(7)
    expected = ours(x).detach()
    close(theirs(x[:, order]), expected[:, order])
    changed = x.clone()
    changed[1, 3] = draw.tensor(5)
    others = torch.ones(2, 7, dtype=torch.bool)
    others[1, 3] = False
    close(theirs(changed)[others], expected[others])


@feed_forward
def test_network_shapes(student, reference, draw):
    """There may be no axis in front of the features, or up to three; x may be a view; float32 stays float32."""
    theirs, ours = networks(student, reference, draw)
    for shape in ((5,), (7, 5), (2, 3, 7, 5)):
        agree(theirs, ours, draw.tensor(*shape, scale=0.2))
    agree(theirs, ours, draw.tensor(2, 5, 7, scale=0.2).mT)
    theirs, ours = networks(student, reference, draw, activation="gelu", dtype=torch.float32)
    agree(theirs, ours, draw.tensor(2, 7, 5, dtype=torch.float32))


@feed_forward
@pytest.mark.weight(2)
def test_dropout_of_hidden_numbers(student, reference, draw):
    """In train mode each hidden number, by itself, is dropped or divided by 1 - dropout, after the activation.

    In eval mode nothing is drawn. Eight counts, each with a false alarm in 1e9.
    """
    x = draw.tensor(13, 17, 11)
    for activation in ("relu", "gelu"):
        theirs = student.FeedForward(11, 11, activation=activation, dropout=0.25)
        a, bias = draw.tensor(11).abs() + 0.5, draw.tensor(11)
        state = {"fc1.weight": torch.zeros(11, 11), "fc1.bias": a, "fc2.weight": torch.eye(11), "fc2.bias": bias}
        theirs.load_reference({name: value.double() for name, value in state.items()})
        hidden = getattr(torch.nn.functional, activation)(a)
        theirs.train(True)
        out = student.seeded(theirs, x)
        close(out, torch.zeros(13, 17, 11).double(), rtol=0.0, atol=math.inf)
        kept, dropped = (out - bias - hidden / 0.75).abs() < 1e-9, (out - bias).abs() < 1e-9
        if not (kept | dropped).all():
            raise Disagreement(f"in train mode some number behind {activation} is neither 0 nor divided by 1 - dropout")
        each_by_itself(dropped, 0.25, "hidden numbers")
        theirs.train(False)
        close(quiet_rng(theirs, x), (hidden + bias).expand(13, 17, 11))
    theirs, ours = networks(student, reference, draw)
    x = 0.2 * x[..., :5]
    close(quiet_rng(theirs, x), ours(x).detach())


@feed_forward
def test_unknown_activation(student, reference, draw):
    """An activation that is none of the three is a ValueError, and one of the three is not."""
    theirs, _ = networks(student, reference, draw, activation="gelu")
    close(theirs(draw.tensor(2, 5)), torch.zeros(2, 5).double(), rtol=0.0, atol=math.inf)  # whatever its numbers
    raises(ValueError, student.FeedForward, 5, 7, activation="swish")


@feed_forward
@pytest.mark.weight(2)
def test_network_gradients(student, reference, draw):
    """The gradients of x and of all weights and biases are right."""
    for activation in ("relu", "gelu", "gelu_tanh"):
        theirs, ours = networks(student, reference, draw, activation=activation)
        x = draw.tensor(2, 3, 5, scale=0.5)  # below 6 in the hidden layer: that a relu has no end is another test's
        agree_gradients(theirs, ours, x)
        parameter_gradients(student, theirs, ours, x, draw.tensor(2, 3, 5))


@feed_forward
def test_activation_picture(student):
    """The picture's first three curves are relu and the two GELUs."""
    if not student.has("figure_data"):
        return
    x = torch.linspace(-4, 4, 161, dtype=torch.float64)
    gelus = [torch.nn.functional.gelu(x, approximate=form) for form in ("none", "tanh")]
    for name, expected in zip(("relu", "gelu", "gelu_tanh"), (x.clamp(min=0), *gelus), strict=True):
        close(student.figure_data(name), expected.numpy(), what=f"the curve of {name}")


# ---------------------------------------------------------------- swiglu

swiglu = pytest.mark.exercise("swiglu")


def gated(student, reference, draw, d_model=5, d_ff=7, dtype=torch.float64):
    """The student's SwiGLU and the reference's, with the same random weights."""
    return load(student.SwiGLU(d_model, d_ff), reference.SwiGLU(d_model, d_ff), draw, dtype)


@swiglu
@pytest.mark.weight(4)
def test_gated_network(student, reference, draw):
    """The result is w2(silu(w1 x) · w3 x), for each token by itself and for any d_ff."""
    for d_model, d_ff in ((5, 7), (7, 3), (3, 13), (5, 5)):
        theirs, ours = gated(student, reference, draw, d_model, d_ff)
        agree(theirs, ours, draw.tensor(2, 11, d_model))


@swiglu
def test_closed_gates(student, reference, draw):
    """Where the gate w1 x is 0 nothing passes; without content nothing passes either; there is no bias."""
    theirs, ours = gated(student, reference, draw)
    state = {name: value.clone() for name, value in ours.state_dict().items()}
    x = draw.tensor(2, 3, 5)
    agree(theirs, ours, x)
    for name in ("w1.weight", "w3.weight"):
        theirs = student.SwiGLU(5, 7)
        theirs.load_reference(state | {name: torch.zeros(7, 5, dtype=torch.float64)})
        close(theirs(x), torch.zeros(2, 3, 5, dtype=torch.float64))


@swiglu
@pytest.mark.weight(2)
def test_wide_open_gates(student, reference, draw):
    """A large gate passes the content times itself, a very negative one nothing: silu(a) = a / (1 + exp(-a))."""
    theirs, ours = gated(student, reference, draw)
    agree(theirs, ours, draw.tensor(2, 3, 5, scale=30.0))
    agree(theirs, ours, draw.tensor(2, 3, 5, scale=0.03))
    for dtype, values in ((torch.float32, (100.0, 90.0, -100.0, 1.0)), (torch.float16, (30.0, 12.0, -30.0, 1.0))):
        theirs, ours = student.SwiGLU(4, 4), reference.SwiGLU(4, 4).to(dtype)
        state = {name: torch.eye(4, dtype=dtype) for name in ("w1.weight", "w2.weight", "w3.weight")}
        theirs.load_reference(state)
        ours.load_state_dict(state)
        close(theirs(torch.tensor([values], dtype=dtype)), ours(torch.tensor([values], dtype=dtype)).detach())


@swiglu
def test_gated_shapes(student, reference, draw):
    """There may be no axis in front of the features, or up to three; x may be a view."""
    theirs, ours = gated(student, reference, draw)
    for shape in ((5,), (7, 5), (1, 1, 5), (2, 3, 7, 5)):
        agree(theirs, ours, draw.tensor(*shape))
    agree(theirs, ours, draw.tensor(2, 5, 7).mT)


@swiglu
def test_gated_dtypes(student, reference, draw):
    """float32, float16 and bfloat16 come back as they were; nothing is drawn at random."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        theirs, ours = gated(student, reference, draw, dtype=dtype)
        x = draw.tensor(2, 3, 5, dtype=dtype)
        close(quiet_rng(theirs, x), ours(x).detach(), atol=None if dtype is torch.float32 else 3e-2)


@swiglu
@pytest.mark.weight(3)
def test_gated_gradients(student, reference, draw):
    """The gradients of x and of all three weights are right."""
    theirs, ours = gated(student, reference, draw)
    x = draw.tensor(2, 3, 5)
    agree_gradients(theirs, ours, x)
    parameter_gradients(student, theirs, ours, x, draw.tensor(2, 3, 5))


@swiglu
def test_gradient_of_closed_gates(student, reference):
    """Where the gate is very negative the gradient is right and finite, where exp overflows too."""
    for dtype, values in ((torch.float32, (-100.0, -90.0, -60.0, 1.0)), (torch.float16, (-12.0, -11.5, -7.0, 1.0))):
        theirs, ours = student.SwiGLU(4, 4), reference.SwiGLU(4, 4).to(dtype)
        state = {name: torch.eye(4, dtype=dtype) for name in ("w1.weight", "w2.weight", "w3.weight")}
        theirs.load_reference(state)
        ours.load_state_dict(state)
        agree_gradients(theirs, ours, torch.tensor([values], dtype=dtype))


@swiglu
def test_swiglu_picture(student):
    """The picture's last curve is x · silu(x)."""
    if not student.has("figure_data"):
        return
    x = np.linspace(-4, 4, 161)
    close(student.figure_data("SwiGLU"), x * x / (1 + np.exp(-x)), what="the curve")
