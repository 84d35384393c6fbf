"""Hidden grader of the page `fair`. {{canary}}"""

import pytest
import torch

from autograder.grading import agree

honest = pytest.mark.exercise("honest")


@honest
def test_rows(student, reference, draw):
    """normalize gives every row mean 0 and standard deviation 1."""
    agree(student.normalize, reference.normalize, draw.tensor(5, 7))


@honest
@pytest.mark.parametrize("scale", [1, 100])
def test_scales(student, reference, draw, scale):
    """The scale of the input does not matter."""
    agree(student.normalize, reference.normalize, draw.tensor(3, 11) * scale)


@honest
def test_constant_rows(student, reference):
    """A constant row gives NaN everywhere: there is nothing to divide by."""
    agree(student.normalize, reference.normalize, torch.ones(2, 5, dtype=torch.float64))
