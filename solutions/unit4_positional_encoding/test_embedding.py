"""Public checks of the page `embedding`."""

import math

import pytest
import torch

WEIGHT = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])


def embedding(student, dtype=torch.float32, **options):
    made = student.TransformerEmbedding(3, 2, 5, **options)
    made.to(dtype)
    made.token.load_reference({"weight": WEIGHT.to(dtype)})
    return made


@pytest.mark.exercise("transformer_embedding")
def test_worked_example(student):
    """The example of the page: the text (2, 0) becomes (0, 3.828) and (0.841, 0.540)."""
    out = embedding(student, pad_id=0)(torch.tensor([[2, 0]]))
    expected = torch.tensor([[[0.0, 2 * math.sqrt(2) + 1], [math.sin(1), math.cos(1)]]])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


@pytest.mark.exercise("transformer_embedding")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype(student, dtype):
    """After .to(dtype) the output has that dtype: the sines move with the module."""
    out = embedding(student, dtype)(torch.tensor([[1, 2, 1]]))
    assert out.dtype == dtype, f"dtype {out.dtype}, expected {dtype}"


@pytest.mark.exercise("transformer_embedding")
def test_what_is_trained(student):
    """token.weight is the only parameter; the row of the padding gets gradient 0, the others √D times what arrives."""
    made = embedding(student, pad_id=0)
    seen = student.vjp(made, torch.tensor([[2, 0, 2]]), cotangent=torch.ones(1, 3, 2), parameters=True)
    others = sorted(set(seen.parameters) - {"token.weight"})
    assert not others, f"{others} are parameters too (nn.Parameter, or a module that has one): the sines are to be none"
    assert list(seen.parameters) == ["token.weight"], f"the parameters are {list(seen.parameters)}"
    expected = math.sqrt(2) * torch.tensor([[0.0, 0], [0, 0], [2, 2]])
    torch.testing.assert_close(seen.parameters["token.weight"], expected)


@pytest.mark.exercise("transformer_embedding")
def test_new_padding_row(student):
    """In a new module the row of the padding is 0, so a text of padding alone gives the positions."""
    out = student.TransformerEmbedding(7, 2, 5, pad_id=3)(torch.tensor([[3, 3]]))
    expected = torch.tensor([[[0.0, 1.0], [math.sin(1), math.cos(1)]]])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


@pytest.mark.exercise("transformer_embedding")
def test_too_long(student):
    """Six tokens, and positions for five: ValueError."""
    try:
        embedding(student)(torch.zeros(1, 6, dtype=torch.int64))
    except Exception as error:
        assert error.is_a(ValueError), f"raised {error}, expected ValueError"
    else:
        raise AssertionError("nothing was raised, expected ValueError")
