"""Public checks of the page `training`."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.exercise("label_smoothing")
def test_smoothing_by_hand(student):
    """The example of the page: logits (0, ln 3) with target 1 cost 0.3975 with eps 0.2, and 0.2877 without."""
    logits, target = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]]), torch.tensor([1, -100])
    for eps, expected in ((0.2, 0.3975), (0.0, 0.2877)):
        loss = student.label_smoothing_loss(logits, target, eps=eps)
        assert loss.shape == (), f"shape {tuple(loss.shape)}, expected a tensor without axes"
        assert math.isclose(loss.item(), expected, abs_tol=1e-4), f"{loss.item():.4f}, expected {expected}"


@pytest.mark.exercise("label_smoothing")
@pytest.mark.parametrize("eps", [0.0, 0.1, 0.3])
def test_smoothing_agrees_with_torch(student, eps):
    """The loss is that of F.cross_entropy(label_smoothing=eps); rows with ignore_index do not count."""
    logits, target = draw(7, 5), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    expected = F.cross_entropy(logits, target, label_smoothing=eps)
    torch.testing.assert_close(student.label_smoothing_loss(logits, target, eps=eps), expected)
    target[2:4] = -100
    expected = F.cross_entropy(logits, target, label_smoothing=eps)
    torch.testing.assert_close(student.label_smoothing_loss(logits, target, eps=eps), expected)


@pytest.mark.exercise("label_smoothing")
def test_nothing_counts(student):
    """If every row is to be ignored, the loss is 0."""
    loss = student.label_smoothing_loss(draw(3, 5), torch.full((3,), -100))
    assert loss.item() == 0.0, f"{loss.item()}, expected 0"


@pytest.mark.exercise("noam_schedule")
def test_rates_by_hand(student):
    """With d = 4 and w = 4 the rates of steps 0, 1, 4 and 16 are 0.0625, 0.0625, 0.25 and 0.125."""
    for step, expected in ((0, 0.0625), (1, 0.0625), (4, 0.25), (16, 0.125)):
        rate = student.noam_lr(step, 4, 4)
        assert math.isclose(rate, expected), f"step {step}: {rate}, expected {expected}"


@pytest.mark.exercise("noam_schedule")
def test_peak(student):
    """The rate rises until step w, where it is factor / √(d·w), and falls from there."""
    rates = [student.noam_lr(step, 512, 40, factor=2.0) for step in range(1, 200)]
    assert rates.index(max(rates)) == 39, f"the highest rate is that of step {rates.index(max(rates)) + 1}, expected 40"
    assert math.isclose(rates[39], 2 / math.sqrt(512 * 40))


# ---------------------------------------------------------------- train_copy_task


def model(student, d_model: int = 8):
    """A small BareTransformer of the kit with known float64 weights."""
    made = student.given.BareTransformer(12, d_model, 2, 1, 5)
    d, f, state = d_model, 5, {}
    shapes = {"embed.weight": (12, d), "output.weight": (12, d)}
    for layer, attentions in (("encoder.0", ["self_attn"]), ("decoder.0", ["self_attn", "cross_attn"])):
        for attention in attentions:
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                shapes |= {f"{layer}.{attention}.{name}.weight": (d, d), f"{layer}.{attention}.{name}.bias": (d,)}
        shapes |= {f"{layer}.ffn.fc1.weight": (f, d), f"{layer}.ffn.fc1.bias": (f,)}
        shapes |= {f"{layer}.ffn.fc2.weight": (d, f), f"{layer}.ffn.fc2.bias": (d,)}
        shapes |= {f"{layer}.norm{n}.{k}": (d,) for n in range(1, len(attentions) + 2) for k in ("weight", "bias")}
    shapes |= {f"{side}_norm.{kind}": (d,) for side in ("encoder", "decoder") for kind in ("weight", "bias")}
    for n, (name, shape) in enumerate(shapes.items()):
        state[name] = 0.3 * draw(*shape, seed=n) + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
    made.load_reference(state)
    return made


@pytest.mark.exercise("train_copy_task")
def test_first_loss(student):
    """The first loss is that of the untouched model: shifted input, causal mask, positions, no padding counted."""
    task = student.given.SequenceTask("copy", length=5, batch=3)
    losses = student.train_copy(model(student), task, 1, 0.01, 4, torch.Generator().manual_seed(7))
    assert len(losses) == 1, f"{len(losses)} losses for one step"
    src, tgt = task(torch.Generator().manual_seed(7))
    inp = torch.cat([torch.ones(3, 1, dtype=torch.int64), tgt[:, :-1]], dim=1)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    logits = model(student)(src, inp, tgt_mask=causal, positions=torch.arange(6))
    expected = F.cross_entropy(logits[tgt != 0], tgt[tgt != 0]).item()
    assert math.isclose(losses[0], expected, rel_tol=1e-9), f"{losses[0]:.6f}, expected {expected:.6f}"


@pytest.mark.exercise("train_copy_task")
def test_it_learns(student):
    """Sixty steps bring the loss from about ln 12 = 2.5 to below 2; the same generator gives the same losses."""
    runs = []
    for _ in range(2):
        task = student.given.SequenceTask("copy", length=4, batch=16)
        losses = student.train_copy(model(student), task, 60, 0.02, 10, torch.Generator().manual_seed(1))
        assert len(losses) == 60, f"{len(losses)} losses for 60 steps"
        runs.append(losses)
    assert runs[0] == runs[1], "two runs with the same generator gave different losses"
    assert sum(runs[0][-5:]) / 5 < 2.0, f"the last losses are about {sum(runs[0][-5:]) / 5:.2f}"
