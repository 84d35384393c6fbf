"""Public checks of the page `learned`."""

import pytest
import torch

WEIGHT = torch.tensor([[10.0, 20.0], [30.0, 40.0], [50.0, 60.0]])
X = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])


def table(student):
    made = student.LearnedPositionalEmbedding(3, 2)
    made.load_reference({"weight": WEIGHT})
    return made


@pytest.mark.exercise("learned_positions")
def test_worked_example(student):
    """The example of the page: rows 0 and 1 are added to both texts of the batch, and with offset 1 rows 1 and 2."""
    first, second = table(student)(X), table(student)(X, offset=1)
    torch.testing.assert_close(first, torch.tensor([[[11.0, 22], [33, 44]], [[15, 26], [37, 48]]]))
    torch.testing.assert_close(second, torch.tensor([[[31.0, 42], [53, 64]], [[35, 46], [57, 68]]]))


@pytest.mark.exercise("learned_positions")
def test_weight_learns(student):
    """max_len · D numbers are trained; a row's gradient is the sum over the batch, and 0 for a row that is not used."""
    whole = torch.zeros(1, 3, 2)  # uses every row
    seen = student.vjp(table(student), whole, cotangent=torch.ones(1, 3, 2), parameters=True).parameters
    sizes = {name: 0 if gradient is None else gradient.numel() for name, gradient in seen.items()}
    assert sum(sizes.values()) == 6, f"gradients reach {sum(sizes.values())} trainable numbers, expected 3 · 2: {sizes}"
    seen = student.vjp(table(student), X, cotangent=torch.ones(2, 2, 2), parameters=True).parameters
    gradients = list(seen.values())
    if len(gradients) == 1 and gradients[0].shape == (3, 2):  # else your structure is another one
        torch.testing.assert_close(gradients[0], torch.tensor([[2.0, 2], [2, 2], [0, 0]]))


@pytest.mark.exercise("learned_positions")
@pytest.mark.parametrize("offset", [2, -1])
def test_the_table_ends(student, offset):
    """Two tokens from position 2 on, or from -1 on, are not in a table of three rows: ValueError."""
    try:
        table(student)(X, offset=offset)
    except Exception as error:
        assert error.is_a(ValueError), f"raised {error}, expected ValueError"
    else:
        raise AssertionError("nothing was raised, expected ValueError")
