"""Public checks of the page `why_multiple_heads`."""

import math

import pytest
import torch
from torch import Tensor

from autograder.given import MultiHeadAttention


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def layers(student, d_model: int = 6, n_heads: int = 3):
    """A layer for your code and a copy for this check, with the same weights."""
    copy = MultiHeadAttention(d_model, n_heads).double()
    copy.load_state_dict({name: 0.6 * draw(*p.shape, seed=n) for n, (name, p) in enumerate(copy.named_parameters())})
    layer = student.given.MultiHeadAttention(d_model, n_heads)
    layer.load_reference(dict(copy.state_dict()))
    return layer, copy


def by_hand(student):
    """The layer and the input of the worked example."""
    a = math.sqrt(math.log(3.0))
    layer = student.given.MultiHeadAttention(2, 2, bias=False)
    layer.load_reference({f"{name}_proj.weight": torch.eye(2, dtype=torch.float64) for name in ("q", "k", "v", "out")})
    return layer, torch.tensor([[[0.0, a], [a, 0.0]]], dtype=torch.float64), a


@pytest.mark.exercise("head_ablation")
def test_gate_by_hand(student):
    """The example of the page: without head 1 the outputs are (0.524, 0) and (0.786, 0)."""
    layer, x, a = by_hand(student)
    out = student.mha_with_head_gate(layer, x, torch.tensor([1.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(out, torch.tensor([[[a / 2, 0.0], [0.75 * a, 0.0]]], dtype=torch.float64))


@pytest.mark.exercise("head_ablation")
def test_importance_by_hand(student):
    """The example of the page: head 0 is perfect and has importance 0, head 1 has 0.446."""
    layer, x, a = by_hand(student)
    target = torch.tensor([[[a / 2, 0.0], [0.75 * a, 0.0]]], dtype=torch.float64)
    answer = student.head_importance(layer, x, student.given.squared_error(target))
    torch.testing.assert_close(answer, torch.tensor([0.0, a * a * (0.25 + 0.5625) / 2], dtype=torch.float64))


@pytest.mark.exercise("head_ablation")
def test_gates_of_one_and_zero(student):
    """Gates of 1 change nothing; gates of 0 leave the bias of out_proj."""
    layer, copy = layers(student)
    x, ones = draw(2, 5, 6, seed=20), torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(student.mha_with_head_gate(layer, x, ones), copy(x).detach())
    bias = copy.out_proj.bias.detach().expand(2, 5, 6)
    torch.testing.assert_close(student.mha_with_head_gate(layer, x, 0 * ones), bias)


@pytest.mark.exercise("head_ablation")
def test_layer_is_left_alone(student):
    """The layer's weights are the same after the calls as before."""
    layer, copy = layers(student)
    x = draw(2, 5, 6, seed=20)
    student.mha_with_head_gate(layer, x, draw(3, seed=21))
    student.head_importance(layer, x, student.given.squared_error(draw(2, 5, 6, seed=22)))
    for name, value in layer.state_dict().items():
        torch.testing.assert_close(value, copy.state_dict()[name], rtol=0, atol=0, msg=f"{name} has changed")


def run(state, x: Tensor) -> Tensor:
    """The first 2D outputs of a causal two-head layer with these weights, for x (B, T, D)."""
    T, D = x.shape[1:]
    E = state["out_proj.weight"].shape[0]
    assert E % 2 == 0 and max(D + T, 2 * D) <= E, f"E = {E} is odd or too small for T = {T}, D = {D}"
    layer = MultiHeadAttention(E, 2).double()
    zeros = {f"{name}_proj.bias": torch.zeros(E) for name in ("q", "k", "v", "out")}
    layer.load_state_dict(zeros | state)
    z = torch.zeros(*x.shape[:2], E, dtype=torch.float64)
    z[..., :D], z[..., D : D + T] = x, torch.eye(T)
    return layer(z, mask=torch.ones(T, T, dtype=torch.bool).tril()).detach()[..., : 2 * D]


def close(actual: Tensor, expected: Tensor, atol: float, what: str) -> None:
    """Within atol; the message says at which t not."""
    wrong = ((actual - expected).abs() > atol).any(dim=-1)
    if wrong.any():
        t = int(wrong.nonzero()[0, 1])
        raise AssertionError(f"t = {t + 1}: {what} is {actual[0, t].tolist()}, expected {expected[0, t].tolist()}")


@pytest.mark.exercise("why_multiple_heads")
def test_two_heads_by_hand(student):
    """The example of the page: for the tokens 5, 7, 9 the outputs are [5; 5] and [7; 5]."""
    out = run(student.two_head_weights(3, 1), torch.tensor([[[5.0], [7.0], [9.0]]], dtype=torch.float64))
    close(out[:, 1:], torch.tensor([[[5.0, 5.0], [7.0, 5.0]]]).double(), 0.05, "the output [previous; first]")


@pytest.mark.exercise("why_multiple_heads")
@pytest.mark.parametrize(("T", "D"), [(6, 4), (3, 8)])
def test_previous_and_first(student, T, D):
    """For fresh tokens, the first D outputs are x_{t-1} and the next D are x_0, within 0.01, for all t ≥ 1."""
    x = draw(1, T, D)
    out = run(student.two_head_weights(T, D), x)
    sizes, first = f"T = {T}, D = {D}:", x[:, :1].expand(1, T - 1, D)
    close(out[:, 1:, :D], x[:, :-1], 0.01, f"{sizes} the previous token, outputs 0 to D - 1,")
    close(out[:, 1:, D:], first, 0.01, f"{sizes} the first token, outputs D to 2D - 1,")


@pytest.mark.exercise("why_multiple_heads")
def test_single_head_by_hand(student):
    """For the tokens 5, 7, 9 the best single head is wrong by 1; in two dimensions the worst entry counts."""
    found = student.best_single_head_error(torch.tensor([[5.0], [7.0], [9.0]]))
    assert abs(found - 1.0) < 1e-6, f"{found}, expected 1.0"
    found = student.best_single_head_error(torch.tensor([[0.0, 0.0], [1.0, -3.0], [2.0, 2.0], [50.0, 50.0]]))
    assert abs(found - 1.5) < 1e-6, f"{found}, expected 1.5: half of 3, the largest difference in any entry"
