"""Hidden grader of the page `cross_attention`.

The layer is the one of autograder.given, made inside for the student and out here for the reference.
"""

import math

import pytest
import torch

from autograder.given import MultiHeadAttention
from autograder.grading import close
from autograder.grading.compare import GRADIENT, Disagreement

cross_attention = pytest.mark.exercise("cross_attention")


def layers(student, draw, d_model=6, n_heads=3, dtype=torch.float64, **options):
    """A layer inside and its double here, with the same random weights."""
    double = MultiHeadAttention(d_model, n_heads, **options).to(dtype)
    state = {
        name: draw.tensor(*p.shape, dtype=dtype, scale=1.3 * p.shape[-1] ** -0.5 if p.ndim == 2 else 1.0)
        for name, p in double.named_parameters()
    }
    double.load_state_dict(state)
    inside = student.given.MultiHeadAttention(d_model, n_heads, **options)
    inside.load_reference(state)
    return inside, double


def same(student, reference, inside, double, x, memory, *mask, **named):
    """Output and weights are the reference's, and padding has a weight of exactly 0; the student's answer."""
    with torch.no_grad():
        expected = reference.cross_attention(double, x, memory, *mask, **named)
    answer = student.cross_attention(inside, x, memory, *mask, **named)
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        close(answer, expected, what="the pair (out, weights)")  # says what is the matter
    for name, actual, right in zip(("out", "the tensor of weights"), answer, expected, strict=True):
        close(actual, right, what=name)
    if mask:
        masked = answer[1][~mask[0][:, None, None].expand_as(answer[1])]
        close(masked, torch.zeros_like(masked), tolerance=(0, 0), what="the weight of the padding")
    return answer


@cross_attention
def test_nothing_is_changed(student, reference, draw):
    """mha with its parameters and its mode, x, memory and the mask are as they were after the call."""
    inside, double = layers(student, draw)
    x, memory, mask = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6), draw.mask(2, 7)
    for training in (True, False):
        inside.train(training)
        called = student.call(student.cross_attention, inside, x, memory, mask)
        with torch.no_grad():
            expected = reference.cross_attention(double, x, memory, mask)
        close(called.value, expected, what="the pair (out, weights)")
        names, sent = ("x", "memory", "memory_mask"), (x, memory, mask)
        for name, after, before in zip(names, called.echo[0][1:], sent, strict=True):
            close(after, before, tolerance=(0, 0), what=f"{name} after the call")
        close(inside.state_dict(), dict(double.state_dict()), tolerance=(0, 0), what="the layer's state dict")
        close(inside.training.value(), training, what="the layer's mode (training)")


@cross_attention
@pytest.mark.weight(3)
def test_who_plays_which_part(student, reference, draw):
    """Queries are made from x, keys and values from the memory, also where both have the same length."""
    for d_model, n_heads in ((6, 3), (10, 2), (5, 1)):
        inside, double = layers(student, draw, d_model, n_heads)
        same(student, reference, inside, double, draw.tensor(2, 7, d_model), draw.tensor(2, 7, d_model))


@cross_attention
@pytest.mark.weight(2)
def test_whose_mask(student, reference, draw):
    """The mask hides tokens of the memory from everyone, also where x has the same length."""
    inside, double = layers(student, draw)
    same(student, reference, inside, double, draw.tensor(3, 7, 6), draw.tensor(3, 7, 6), draw.mask(3, 7))


@cross_attention
@pytest.mark.weight(3)
def test_two_lengths(student, reference, draw):
    """x may be shorter or longer than the memory: out has the length of x, the weights are (B, H, T, S)."""
    inside, double = layers(student, draw)
    for T, S in ((5, 7), (7, 5), (1, 11), (11, 1), (1, 1)):
        x, memory = draw.tensor(2, T, 6), draw.tensor(2, S, 6)
        same(student, reference, inside, double, x, memory)
        same(student, reference, inside, double, x, memory, draw.mask(2, S))
    same(student, reference, inside, double, draw.tensor(1, 3, 6), draw.tensor(1, 5, 6), memory_mask=None)


@cross_attention
@pytest.mark.weight(2)
def test_padding(student, reference, draw):
    """What stands in the padding of the memory, be it 1e30, and how much there is of it, changes nothing."""
    inside, double = layers(student, draw)
    x, memory = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 3:] = False
    with torch.no_grad():
        expected = reference.cross_attention(double, x[1:], memory[1:, :3])[0]
    for junk in (100.0, 1e30):
        memory[1, 3:] = junk * draw.tensor(4, 6).sign()
        out, _ = same(student, reference, inside, double, x, memory, mask)
        close(out[1:], expected)


@cross_attention
def test_nothing_to_read(student, reference, draw):
    """Where an example's memory is all padding, its weights are 0 and its output is the bias of out_proj."""
    for bias in (True, False):
        inside, double = layers(student, draw, bias=bias)
        mask = draw.mask(3, 7)
        mask[1] = False
        x, memory = draw.tensor(3, 5, 6), draw.tensor(3, 7, 6)
        same(student, reference, inside, double, x, memory, mask)
        same(student, reference, inside, double, x, memory, torch.zeros_like(mask))


@cross_attention
def test_memory_of_another_width(student, reference, draw):
    """A layer with d_kv takes a memory of that width."""
    for d_kv in (11, 5):
        inside, double = layers(student, draw, d_kv=d_kv)
        same(student, reference, inside, double, draw.tensor(2, 5, 6), draw.tensor(2, 7, d_kv), draw.mask(2, 7))


@cross_attention
def test_constant_memory(student, reference, draw):
    """A memory that says the same everywhere gives everyone the same, whoever asks; the weights are equal."""
    inside, double = layers(student, draw)
    x, memory = draw.tensor(2, 5, 6), draw.tensor(2, 1, 6).expand(2, 7, 6).contiguous()
    out, weights = same(student, reference, inside, double, x, memory)
    close(out, out[:, :1].expand(2, 5, 6), what="the output of all tokens")
    close(weights, torch.full((2, 3, 5, 7), 1 / 7, dtype=torch.float64), what="the tensor of weights")


@cross_attention
@pytest.mark.weight(3)
def test_gradients(student, reference, draw):
    """Gradients reach x and the memory, and are right, through the output and through the weights; padding gets 0."""
    inside, double = layers(student, draw)
    mask = draw.mask(2, 7)
    mask[1, 2] = False
    for given_mask in ((), (mask,)):
        x, memory = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6)
        leaves = [t.clone().requires_grad_() for t in (x, memory)]
        outputs = reference.cross_attention(double, *leaves, *given_mask)
        cotangent = [draw.tensor(*o.shape) for o in outputs]
        wanted = torch.autograd.grad(outputs, leaves, cotangent)
        found = student.vjp(student.cross_attention, inside, x, memory, *given_mask, cotangent=cotangent).grads
        for name, actual, expected in zip(("x", "the memory"), found, wanted, strict=True):
            if actual is None:
                raise Disagreement(f"no gradient reaches {name}")
            close(actual, expected, tolerance=GRADIENT[torch.float64], what=f"the gradient of {name}")


@cross_attention
def test_dtypes_and_views(student, reference, draw):
    """float32 stays float32; x and the memory may be views that are not contiguous."""
    inside, double = layers(student, draw, dtype=torch.float32)
    x, memory = draw.tensor(2, 5, 6, dtype=torch.float32), draw.tensor(2, 7, 6, dtype=torch.float32)
    same(student, reference, inside, double, x, memory, draw.mask(2, 7))
    inside, double = layers(student, draw)
    same(student, reference, inside, double, draw.tensor(2, 6, 5).mT, draw.tensor(2, 7, 12)[..., ::2])


@cross_attention
def test_alignment_picture(student):
    """The picture: each French word looks at its English one, "chat" and "noir" cross over, and padding is empty."""
    if not student.has("figure_data"):
        return
    weights = torch.from_numpy(student.figure_data())
    close(weights, torch.zeros(4, 6), rtol=0.0, atol=math.inf, what="the picture")
    if weights.argmax(dim=1).tolist() != [0, 2, 1, 3] or weights[:, 4:].any():
        raise Disagreement("in the picture a word looks at the wrong place, or at the padding")
