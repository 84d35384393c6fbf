"""Hidden grader of the page `arena`. {{canary}}"""

import pytest
import torch

from autograder.grading import agree, agree_gradients, close, quiet_rng

attacked = pytest.mark.exercise("attacked")
layer = pytest.mark.exercise("layer")


@attacked
@pytest.mark.weight(2)
def test_values(student, reference, draw):
    """mix is softmax(scores) times values, and leaves its inputs alone."""
    agree(student.mix, reference.mix, draw.tensor(5, 7), draw.tensor(7, 3))
    agree(student.mix, reference.mix, draw.tensor(2, 5, 7), draw.tensor(2, 7, 3))


@attacked
def test_gradients(student, reference, draw):
    """The gradients of mix are those of softmax(scores) times values."""
    agree_gradients(student.mix, reference.mix, draw.tensor(5, 7), draw.tensor(7, 3))


@attacked
def test_written_plainly(student, reference, draw):
    """mix is right, in a check as authors write them: nothing looks at the type of the answer first."""
    scores, values = draw.tensor(5, 7), draw.tensor(7, 3)
    answer = student.mix(scores, values)
    assert tuple(answer.shape) == (5, 3)
    assert (answer - reference.mix(scores, values)).abs().max().item() < 1e-9


@attacked
def test_global_generators(student, reference, draw):
    """mix is right, and draws nothing from the global generators."""
    scores, values = draw.tensor(5, 7), draw.tensor(7, 3)
    close(quiet_rng(student.mix, scores, values), reference.mix(scores, values))


@attacked
def test_number(student, reference, draw):
    """peak is the largest score, as a plain number."""
    scores = draw.tensor(5, 7)
    close(student.peak(scores), reference.peak(scores))


@attacked
def test_integer(student, reference, draw):
    """offset is the distance between the places of the largest and the smallest score."""
    scores = draw.tensor(11)
    close(student.offset(scores), reference.offset(scores))


@attacked
def test_callback(student, reference, draw):
    """relay applies a function of ours twice."""
    factor = draw.tensor(3)
    agree(student.relay, reference.relay, lambda x: x * factor + 1, draw.tensor(5, 3))


@attacked
def test_callback_by_rows(student, reference, draw):
    """relay applies a function of ours that goes through its argument row by row, as authors write them."""
    agree(student.relay, reference.relay, lambda x: torch.stack([2 * row for row in x]), draw.tensor(5, 3))


@attacked
def test_module(student, reference, draw):
    """relay applies a module of ours twice."""
    module = torch.nn.Linear(3, 3, dtype=torch.float64)
    agree(student.relay, reference.relay, module, draw.tensor(5, 3))


@layer
@pytest.mark.weight(2)
def test_gate(student, reference, draw):
    """Gate multiplies its input by the sigmoid of a projection."""
    theirs, ours = student.Gate(3), reference.Gate(3)
    theirs.load_reference(ours.state_dict())
    x = draw.tensor(5, 3, dtype=torch.float32)
    close(theirs(x), ours(x).detach())


@layer
def test_gate_parameters(student):
    """Gate has one projection, of the width asked for."""
    assert tuple(student.Gate(5).proj.weight.value().shape) == (5, 5)
