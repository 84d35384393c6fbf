"""Public checks of the page `generation`."""

import math

import pytest
import torch
from torch import Tensor, nn


class Countdown(nn.Module):
    """After BOS (9) it says the source's first symbol, then one less each time. Notes what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, ...]] = []
        self.modes: list[bool] = []

    def forward(self, src: Tensor, inp: Tensor) -> Tensor:
        self.asked.append(tuple(inp.shape))
        self.modes.append(self.training)
        following = torch.where(inp == 9, src[:, :1], inp - 1)
        return nn.functional.one_hot(following.clamp(min=0), 10).double()


@pytest.mark.exercise("greedy_decode")
def test_countdown(student):
    """From 3 the model counts 3 2 1 0 (EOS), from 1 it counts 1 0, and padding (7) follows."""
    out = student.greedy_decode(Countdown(), torch.tensor([[3], [1]]), 7, 9, 0, 5)
    assert out.tolist() == [[3, 2, 1, 0], [1, 0, 7, 7]]


@pytest.mark.exercise("greedy_decode")
def test_longest(student):
    """Writing stops after max_len symbols, or when all rows have ended."""
    src = torch.tensor([[3], [1]])
    for max_len, expected in ((1, [[3], [1]]), (2, [[3, 2], [1, 0]]), (3, [[3, 2, 1], [1, 0, 7]])):
        assert student.greedy_decode(Countdown(), src, 7, 9, 0, max_len).tolist() == expected
    assert student.greedy_decode(Countdown(), src[1:], 7, 9, 0, 50).tolist() == [[1, 0]]


@pytest.mark.exercise("greedy_decode")
def test_mode(student):
    """The model is asked in eval mode, about inputs that grow by one symbol, and comes back in train mode."""
    model = Countdown()
    model.train()
    student.greedy_decode(model, torch.tensor([[2]]), 7, 9, 0, 5)
    assert not any(model.modes), "the model was asked in train mode"
    assert model.asked == [(1, 1), (1, 2), (1, 3)], f"the inputs had the shapes {model.asked}"
    assert model.training, "the model came back in eval mode"


# ---------------------------------------------------------------- beam_search

AFTER = {0: [1e-9, 0.6, 0.4, 1e-9], 1: [1e-9, 0.3, 0.2, 0.5], 2: [1e-9, 0.05, 0.05, 0.9]}


def example(prefixes: Tensor) -> Tensor:
    """The page's example: BOS 0, a 1, b 2, EOS 3."""
    return torch.tensor([AFTER.get(last, AFTER[0]) for last in prefixes[:, -1].tolist()]).double().log()


def listing(answer) -> list[tuple[list[int], float]]:
    return [(list(symbols), float(score)) for symbols, score in answer]


@pytest.mark.exercise("beam_search")
def test_garden_path(student):
    """A beam of 2 finds b EOS (0.36), which greedy decoding, a beam of 1, passes by for a EOS (0.30)."""
    (first, p), (second, q) = listing(student.beam_search(example, 0, 3, 2, 4))
    assert first == [2, 3] and math.isclose(p, math.log(0.36), rel_tol=1e-6)
    assert second == [1, 3] and math.isclose(q, math.log(0.30), rel_tol=1e-6)
    ((only, _),) = listing(student.beam_search(example, 0, 3, 1, 4))
    assert only == [1, 3]


@pytest.mark.exercise("beam_search")
def test_one_step(student):
    """One step, and a beam wide enough for everything: four different hypotheses, best first."""
    found = listing(student.beam_search(example, 0, 3, 10, 1))
    assert len(found) == 4, f"{len(found)} hypotheses, expected 4"
    assert [symbols for symbols, _ in found[:2]] == [[1], [2]]
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


@pytest.mark.exercise("beam_search")
def test_length(student):
    """With alpha the sum of log-probabilities is divided by the number of symbols, EOS included, to that power."""
    for alpha in (0.5, 1.0):
        symbols, score = listing(student.beam_search(example, 0, 3, 2, 4, alpha=alpha))[0]
        assert symbols == [2, 3]
        assert math.isclose(score, math.log(0.36) / 2**alpha, rel_tol=1e-6)


@pytest.mark.exercise("beam_search")
def test_long_and_improbable(student):
    """Twenty symbols of probability 1e-30 each are no problem for sums of logarithms."""

    def improbable(prefixes: Tensor) -> Tensor:
        return torch.tensor([[-70 - 0.01 * prefixes.shape[1], -69, -71]]).double().expand(len(prefixes), 3)

    symbols, score = listing(student.beam_search(improbable, 0, 2, 3, 20))[0]
    assert symbols == [2] and math.isclose(score, -71.0)  # ending at once costs least
    symbols, score = listing(student.beam_search(improbable, 0, 2, 3, 20, alpha=1.0))[0]
    assert symbols == [1] * 20 and math.isclose(score, -69.0)
