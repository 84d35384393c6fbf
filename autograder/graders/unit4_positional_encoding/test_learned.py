"""Hidden grader of the page `learned`."""

import math

import pytest
import torch

from autograder.grading import agree_gradients, close, quiet_rng, raises
from autograder.grading.compare import GRADIENT, Disagreement

learned_positions = pytest.mark.exercise("learned_positions")


def tables(student, reference, draw, max_len=13, d_model=6, dtype=torch.float64):
    """The student's table and the reference's, with the same random rows."""
    state = {"weight": draw.tensor(max_len, d_model, dtype=dtype)}
    theirs = student.LearnedPositionalEmbedding(max_len, d_model)
    theirs.load_reference(state)
    ours = reference.LearnedPositionalEmbedding(max_len, d_model).to(dtype)
    ours.load_state_dict(state)
    return theirs, ours


def same(theirs, ours, x, **options):
    """Both give the same; the student's answer."""
    answer = theirs(x, **options)
    close(answer, ours(x, **options).detach())
    return answer


@learned_positions
def test_parameter(student, reference, draw):
    """What is trained is the table alone: max_len · D numbers that an optimiser sees, in one parameter or several."""
    theirs, _ = tables(student, reference, draw)
    x = draw.tensor(2, 13, 6)  # uses all rows, which may be parameters of their own
    seen = student.vjp(theirs, x, cotangent=draw.tensor(2, 13, 6), parameters=True)
    close(seen.value, torch.zeros_like(x), rtol=0.0, atol=math.inf)
    count = sum(gradient.numel() for gradient in seen.parameters.values() if gradient is not None)
    if count != 13 * 6:
        raise Disagreement(f"gradients reach {count} trainable numbers, expected {13 * 6}")


@learned_positions
@pytest.mark.weight(3)
def test_rows_are_added(student, reference, draw):
    """Token t of every example gets row t added; the shape stays (B, T, D)."""
    theirs, ours = tables(student, reference, draw)
    same(theirs, ours, draw.tensor(1, 7, 6))
    same(theirs, ours, draw.tensor(3, 5, 6))
    same(theirs, ours, draw.tensor(5, 3, 6))


@learned_positions
def test_whole_table(student, reference, draw):
    """A text as long as the table uses all of it; one token, one row and width 1 are ordinary cases."""
    theirs, ours = tables(student, reference, draw)
    same(theirs, ours, draw.tensor(2, 13, 6))
    same(theirs, ours, draw.tensor(2, 1, 6), offset=12)
    for max_len, d_model in ((1, 5), (7, 1)):
        theirs, ours = tables(student, reference, draw, max_len, d_model)
        same(theirs, ours, draw.tensor(1, 1, d_model))


@learned_positions
@pytest.mark.weight(2)
def test_offset(student, reference, draw):
    """With an offset the rows offset ... offset + T - 1 are added, as in decoding token by token."""
    theirs, ours = tables(student, reference, draw)
    for offset in (1, 8):
        same(theirs, ours, draw.tensor(3, 5, 6), offset=offset)
    x = draw.tensor(2, 5, 6)
    whole = same(theirs, ours, x)
    for t in range(5):
        close(theirs(x[:, t : t + 1], t), whole[:, t : t + 1], what=f"token {t} alone, with offset {t}")


@learned_positions
@pytest.mark.weight(3)
def test_the_table_ends(student, reference, draw):
    """Positions from max_len on, and negative ones, raise ValueError; nothing wraps around."""
    theirs, ours = tables(student, reference, draw)
    same(theirs, ours, draw.tensor(2, 5, 6), offset=8)
    for length, offset in ((14, 0), (5, 9), (1, 13), (3, 40), (2, -1), (1, -3)):
        raises(ValueError, theirs, draw.tensor(2, length, 6), offset=offset)


@learned_positions
@pytest.mark.weight(2)
def test_gradients(student, reference, draw):
    """A used row's gradient is the sum over the batch, that of the others is 0; x gets its own."""
    theirs, ours = tables(student, reference, draw)
    x, cotangent = draw.tensor(3, 5, 6), draw.tensor(3, 5, 6)
    agree_gradients(theirs, ours, x, offset=4)
    for offset in (4, 0):
        seen = student.vjp(theirs, x, cotangent=cotangent, parameters=True, offset=offset)
        expected = torch.zeros(13, 6, dtype=torch.float64)
        expected[offset : offset + 5] = cotangent.sum(dim=0)
        if list(seen.parameters) == ["weight"]:  # else the student's parameter has another form, see load_reference
            close(seen.parameters, {"weight": expected}, tolerance=GRADIENT[torch.float64], what="the gradient")


@learned_positions
def test_dtypes_views_and_empty_texts(student, reference, draw):
    """float32 stays float32 and bfloat16 too; views work; a text without tokens stays one; x is left alone."""
    for dtype in (torch.float32, torch.bfloat16):
        theirs, ours = tables(student, reference, draw, dtype=dtype)
        same(theirs, ours, draw.tensor(2, 5, 6, dtype=dtype), offset=3)
    theirs, ours = tables(student, reference, draw)
    same(theirs, ours, draw.tensor(2, 6, 5).mT)
    same(theirs, ours, draw.tensor(2, 0, 6))
    same(theirs, ours, draw.tensor(2, 0, 6), offset=13)
    x = draw.tensor(2, 5, 6)
    called = student.call(theirs, x, offset=2)
    close(called.value, torch.zeros_like(x), rtol=0.0, atol=math.inf)
    close(called.echo, ((x,), {"offset": 2}), tolerance=(0, 0), what="the caller's arguments")


@learned_positions
def test_modes_and_generators(student, reference, draw):
    """Train and eval mode give the same, and nothing is drawn."""
    theirs, ours = tables(student, reference, draw)
    x = draw.tensor(2, 5, 6)
    for mode in (True, False):
        theirs.train(mode)
        close(quiet_rng(theirs, x), ours(x).detach())


@learned_positions
def test_picture(student, draw):
    """The picture shows rows that learned, and below them rows that stayed as they were."""
    if not student.has("figure_data"):
        return
    # A picture that is not drawn has many causes. What the module itself does tells them apart.
    table, whole = student.LearnedPositionalEmbedding(32, 16), torch.zeros(2, 32, 16)
    table.load_reference({"weight": draw.tensor(32, 16, dtype=torch.float32)})
    student.vjp(table, whole, cotangent=whole + 1, parameters=True)
    before, after, target = student.figure_data()
    close(after[:20], target[:20], rtol=0.0, atol=0.02, what="the rows that were trained")
    close(after[24:], before[24:], tolerance=(0, 0), what="the rows that no text reached")
