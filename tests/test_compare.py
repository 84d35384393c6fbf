"""Comparing answers: what counts as the same number at the ends of the number line."""

import math

import numpy as np
import pytest
import torch

from autograder.grading.compare import Disagreement, close

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("expected", [INF, -INF])
@pytest.mark.parametrize("other", [0.0, 1e30, NAN, "the other infinity"])
@pytest.mark.parametrize("make", [torch.tensor, np.array, float], ids=["torch", "numpy", "float"])
def test_nothing_is_near_to_an_infinite_number(expected, other, make):
    """Where infinity is expected, infinity of the same sign is right, and nothing else, whatever is tolerated."""
    close(make(expected), make(expected))
    with pytest.raises(Disagreement):
        close(make(-expected if other == "the other infinity" else other), make(expected), rtol=0.5, atol=1e9)


def test_infinite_and_missing_numbers_in_place_of_others():
    """Where a number is expected, an infinite one is far and NaN is wrong; where NaN is expected, only NaN is right."""
    for actual in (INF, -INF, NAN):
        with pytest.raises(Disagreement):
            close(torch.tensor([1.0, actual]), torch.tensor([1.0, 2.0]))
    close(torch.tensor([NAN]), torch.tensor([NAN]))
    with pytest.raises(Disagreement):
        close(torch.tensor([1.0]), torch.tensor([NAN]))
    close(torch.tensor([INF, 1e30]), torch.zeros(2), rtol=0.0, atol=INF)  # how graders ask for a shape and a dtype only
