"""Hidden grader of the page `why_multiple_heads`."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from autograder.given import MultiHeadAttention, squared_error
from autograder.grading import close
from autograder.grading.compare import GRADIENT, Disagreement

# ---------------------------------------------------------------- head_ablation
# The layer is the one of autograder.given, made inside for the student and out here for the reference.

head_ablation = pytest.mark.exercise("head_ablation")


def layers(student, draw, d_model=6, n_heads=3, bias=True, dtype=torch.float64):
    """A layer inside and its double here, with the same random weights; and x (2, 5, d_model)."""
    double = MultiHeadAttention(d_model, n_heads, bias=bias).to(dtype)
    state = {
        name: draw.tensor(*p.shape, dtype=dtype, scale=1.3 * p.shape[-1] ** -0.5 if p.ndim == 2 else 1.0)
        for name, p in double.named_parameters()
    }
    double.load_state_dict(state)
    inside = student.given.MultiHeadAttention(d_model, n_heads, bias=bias)
    inside.load_reference(state)
    return inside, double, draw.tensor(2, 5, d_model, dtype=dtype)


def same(student, reference, inside, double, x, gate):
    """The gated layer gives the reference's output."""
    with torch.no_grad():
        expected = reference.mha_with_head_gate(double, x, gate)
    answer = student.mha_with_head_gate(inside, x, gate)
    close(answer, expected)
    return answer


def unchanged(inside, double, training):
    """The layer inside has the parameters and the mode that it had."""
    close(inside.state_dict(), dict(double.state_dict()), tolerance=(0, 0), what="the layer's state dict")
    close(inside.training.value(), training, what="the layer's mode (training)")


@head_ablation
@pytest.mark.weight(2)
def test_gates_of_one(student, reference, draw):
    """With all gates 1 the output is that of the layer itself."""
    for d_model, n_heads in ((15, 5), (6, 1)):
        inside, double, x = layers(student, draw, d_model, n_heads)
        same(student, reference, inside, double, x, torch.ones(n_heads).double())


@head_ablation
@pytest.mark.weight(3)
def test_gates(student, reference, draw):
    """Each head's output is multiplied by its gate, whatever the number; what other heads do does not change."""
    inside, double, x = layers(student, draw, 15, 5)
    same(student, reference, inside, double, x, torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0]).double())
    same(student, reference, inside, double, x, draw.tensor(5))
    inside, double, x = layers(student, draw, 14, 2)
    same(student, reference, inside, double, x, draw.tensor(2))


@head_ablation
@pytest.mark.weight(2)
def test_gates_of_zero(student, reference, draw):
    """With all gates 0 only the bias of out_proj is left, or nothing where there is none."""
    for bias in (True, False):
        inside, double, x = layers(student, draw, bias=bias)
        same(student, reference, inside, double, x, torch.zeros(3).double())


@head_ablation
@pytest.mark.weight(2)
def test_layer_is_left_alone(student, reference, draw):
    """mha, x and gate are as they were after the call, and a second call gives the same."""
    inside, double, x = layers(student, draw)
    gate = draw.tensor(3)
    for training in (True, False):
        inside.train(training)
        called = student.call(student.mha_with_head_gate, inside, x, gate)
        close(called.value, reference.mha_with_head_gate(double, x, gate).detach())
        close(called.echo[0][1:], (x, gate), tolerance=(0, 0), what="x and gate")
        unchanged(inside, double, training)


@head_ablation
@pytest.mark.weight(2)
def test_gate_gradients(student, reference, draw):
    """The output is differentiable in x and in the gates, with the right gradients; in the gates it is linear."""
    inside, double, x = layers(student, draw)
    inputs = x.clone().requires_grad_(), draw.tensor(3).requires_grad_()
    cotangent = draw.tensor(2, 5, 6)
    expected = torch.autograd.grad(reference.mha_with_head_gate(double, *inputs), inputs, cotangent)
    found = student.vjp(student.mha_with_head_gate, inside, *(i.detach() for i in inputs), cotangent=[cotangent])
    for name, actual, target in zip(("x", "gate"), found.grads, expected, strict=True):
        if actual is None:
            raise Disagreement(f"no gradient reaches {name}")
        close(actual, target, tolerance=GRADIENT[torch.float64], what=f"the gradient of {name}")


@head_ablation
def test_gates_in_small_cases(student, reference, draw):
    """One token, one example and heads of width 1 are ordinary cases; float32 stays float32; x may be a view."""
    inside, double, _ = layers(student, draw, 5, 5)
    same(student, reference, inside, double, draw.tensor(1, 1, 5), draw.tensor(5))
    same(student, reference, inside, double, draw.tensor(3, 5, 7).mT, draw.tensor(5))
    inside, double, x = layers(student, draw, dtype=torch.float32)
    same(student, reference, inside, double, x, draw.tensor(3, dtype=torch.float32))


@head_ablation
@pytest.mark.weight(3)
def test_importance(student, reference, draw):
    """The importance of head h is |∂L/∂gate[h]| at gates of 1, for the loss of the whole output; never negative."""
    for d_model, n_heads in ((15, 5), (14, 2)):
        inside, double, x = layers(student, draw, d_model, n_heads)
        louder = torch.tensor([2.0] + [1.0] * (n_heads - 1)).double()
        wants_more = reference.mha_with_head_gate(double, x, louder).detach()  # the gradient of head 0 is negative
        at_odds = (
            wants_more.clone()
        )  # the second example wants less of head 0, so that the two gradients cancel in part
        at_odds[1] = reference.mha_with_head_gate(double, x, louder - 2 * (louder - 1)).detach()[1]
        for target in (draw.tensor(2, 5, d_model), wants_more, at_odds):
            expected = reference.head_importance(double, x, squared_error(target))
            answer = student.head_importance(inside, x, student.given.squared_error(target))
            close(answer, expected, tolerance=(1e-6, 1e-9), what="the importance")


@head_ablation
def test_unheard_head(student, draw):
    """A head that out_proj does not read has importance 0, and a perfect output gives 0 to all."""
    inside, double, x = layers(student, draw)
    with torch.no_grad():
        double.out_proj.weight[:, 2:4] = 0.0
        perfect = double(x)
    inside.load_reference(dict(double.state_dict()))
    answer = student.head_importance(inside, x, student.given.squared_error(draw.tensor(2, 5, 6)))
    close(answer, torch.zeros(3).double(), rtol=0.0, atol=math.inf)
    if not answer[1] == 0.0 or not (answer[[0, 2]] > 0).all():
        raise Disagreement("the importance is not 0 for the head that nobody hears, or not positive for the others")
    answer = student.head_importance(inside, x, student.given.squared_error(perfect))
    close(answer, torch.zeros(3).double(), rtol=0.0, atol=1e-9, what="the importance where the loss is at its minimum")


@head_ablation
@pytest.mark.weight(2)
def test_importance_leaves_the_layer_alone(student, reference, draw):
    """mha and x are as they were afterwards, and a second call gives the same; float32 stays float32."""
    inside, double, x = layers(student, draw, dtype=torch.float32)
    target = draw.tensor(2, 5, 6, dtype=torch.float32)
    expected = reference.head_importance(double, x, squared_error(target))
    for training in (True, False):
        inside.train(training)
        called = student.call(student.head_importance, inside, x, student.given.squared_error(target))
        close(called.value, expected, tolerance=(1e-3, 1e-4), what="the importance")
        close(called.echo[0][1], x, tolerance=(0, 0), what="x")
        unchanged(inside, double, training)
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        if getattr(inside, name).weight.grad.value() is not None:
            raise Disagreement(
                f"a gradient was left in {name}.weight.grad; the next training step would take it for its own"
            )


@head_ablation
def test_importance_picture(student):
    """The picture has a bar for each head: none where nobody listens, and some for the others."""
    if not student.has("figure_data"):
        return
    bars = student.figure_data("head_importance")
    close(bars, np.zeros((2, 6), dtype=np.float32), rtol=0.0, atol=math.inf, what="the picture")
    deaf = [1, 4]
    if bars[:, deaf].any() or not (np.delete(bars, deaf, axis=1) > 0.01).all():
        raise Disagreement("the bars of heads 1 and 4 are not 0, or another one is")


# ---------------------------------------------------------------- why_multiple_heads
# The weights are judged by what they do: they are loaded into torch's own layer, and meet fresh sequences.

why_multiple_heads = pytest.mark.exercise("why_multiple_heads")


def torch_layer(state, T, D):
    """nn.MultiheadAttention with the student's weights in float64. Raises Disagreement where they do not fit."""
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise Disagreement("two_head_weights does not return a dict of tensors")
    if "out_proj.weight" not in state or state["out_proj.weight"].ndim != 2:
        raise Disagreement(f"there is no out_proj.weight (E, E) among {sorted(map(str, state))}")
    E = state["out_proj.weight"].shape[0]
    if E % 2 or E < D + T or E < 2 * D:
        raise Disagreement(f"the width E is {E}; it must be even, at least D + T = {D + T} and at least 2D = {2 * D}")
    if "q_proj.weight" in state:  # else torch's own names
        state, single = {n: w for n, w in state.items() if n.startswith("out_proj")}, state
        for kind, shape in (("weight", (E, E)), ("bias", (E,))):
            parts = [single.get(f"{n}_proj.{kind}", torch.zeros(shape) if kind == "bias" else None) for n in "qkv"]
            for n, part in zip("qkv", parts, strict=True):
                if part is None or tuple(part.shape) != shape:
                    raise Disagreement(f"{n}_proj.{kind} is missing or not of shape {shape}")
            state[f"in_proj_{kind}"] = torch.cat([part.double() for part in parts])
    layer = nn.MultiheadAttention(E, 2, batch_first=True, dtype=torch.float64)
    zeros = {"in_proj_bias": torch.zeros(3 * E), "out_proj.bias": torch.zeros(E)}
    try:
        layer.load_state_dict({name: value.double() for name, value in (zeros | state).items()})
    except RuntimeError as error:
        raise Disagreement(f"the state dict does not fit a layer of width {E}: {str(error)[:300]}") from None
    if not all(parameter.isfinite().all() for parameter in layer.parameters()):
        raise Disagreement("there are weights that are not finite")
    return layer


def judge(student, draw, T, D, half):
    """The first (0) or second (1) D outputs are x_{t-1} or x_0 for all t ≥ 1, within 0.01."""
    layer = torch_layer(student.two_head_weights(T, D), T, D)
    x = draw.tensor(3, T, D)
    z = torch.zeros(3, T, layer.embed_dim, dtype=torch.float64)
    z[..., :D] = x
    z[..., D : D + T] = torch.eye(T)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    with torch.no_grad():
        out, weights = layer(z, z, z, attn_mask=future, average_attn_weights=False)
    target = x[:, :-1] if half == 0 else x[:, :1].expand(3, T - 1, D)
    error = (out[:, 1:, half * D : (half + 1) * D] - target).abs().amax(dim=(0, 2))
    if bool((error < 1e-2).all()):
        return
    t = 1 + int((~(error < 1e-2)).nonzero()[0])
    looks = [
        f"head {h} gives token {int(w.argmax())} the weight {w.max().item():.3f}"
        for h, w in enumerate(weights[0, :, t])
    ]
    name = ("previous", "first")[half]
    raise Disagreement(
        f"T = {T}, D = {D}: at t = {t} the {name} token is off by {error[t - 1].item():.3g} ({', '.join(looks)})"
    )


@why_multiple_heads
@pytest.mark.weight(3)
def test_previous_token(student, draw):
    """The first half of output t is the previous token x_{t-1}, for all t ≥ 1."""
    judge(student, draw, 7, 5, half=0)


@why_multiple_heads
@pytest.mark.weight(3)
def test_first_token(student, draw):
    """The second half of output t is the first token x_0, for all t ≥ 1."""
    judge(student, draw, 7, 5, half=1)


@why_multiple_heads
@pytest.mark.weight(2)
def test_long_sequences(student, draw):
    """It works for other lengths: short ones, and long ones, where many wrong keys share what is left over."""
    for T, D in ((2, 3), (3, 2), (53, 3)):
        for half in (0, 1):
            judge(student, draw, T, D, half)


@why_multiple_heads
@pytest.mark.weight(2)
def test_wide_tokens(student, draw):
    """It works for other widths: tokens of one number, and tokens as wide as the sequence is long, or wider."""
    for T, D in ((5, 1), (5, 5), (3, 17), (2, 31)):
        for half in (0, 1):
            judge(student, draw, T, D, half)


@why_multiple_heads
@pytest.mark.weight(4)
def test_single_head_error(student, reference, draw):
    """The error is the smallest that any mixture m_t can have to x_{t-1} and x_0, in the worst entry of all t ≥ 1."""
    for T, D in ((7, 5), (3, 2), (23, 1)):
        x = draw.tensor(T, D)
        for tokens in (x, -x):  # in one of them the largest deviation is negative
            expected = reference.best_single_head_error(tokens)
            close(student.best_single_head_error(tokens), expected, rtol=1e-6, atol=1e-9)


@why_multiple_heads
def test_single_head_odd_cases(student, reference, draw):
    """With two tokens, or equal ones, one head is enough: 0. float32 gives a Python float too; x is not changed."""
    for x in (draw.tensor(2, 3), torch.ones(5, 3).double()):
        close(student.best_single_head_error(x), 0.0, atol=1e-9)
    x = draw.tensor(5, 3, dtype=torch.float32)
    called = student.call(student.best_single_head_error, x)
    close(called.value, reference.best_single_head_error(x), rtol=1e-4)
    if isinstance(called.value, torch.Tensor):
        raise Disagreement("the error is a tensor without axes, expected a Python float")
    close(called.echo[0][0], x, tolerance=(0, 0), what="x")


@why_multiple_heads
def test_patterns_picture(student):
    """The picture shows a "previous" head and a "first" head, queries on rows, and nothing above the diagonal."""
    if not student.has("figure_data"):
        return
    heads = student.figure_data("head_patterns")
    close(heads, np.zeros((2, 10, 10), dtype=np.float32), rtol=0.0, atol=math.inf, what="the picture")
    i = np.arange(2, 10)
    previous, first = heads[:, i, i - 1].mean(axis=1), heads[:, i, 0].mean(axis=1)
    if np.triu(heads, 1).any() or not (max(previous) >= 0.5 and max(first) >= 0.5):
        raise Disagreement("the heads of the picture are not a previous and a first one, or see the future")
