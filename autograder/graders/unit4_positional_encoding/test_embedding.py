"""Hidden grader of the page `embedding`."""

import math

import numpy as np
import pytest
import torch

from autograder.grading import close, quiet_rng, raises
from autograder.grading.chance import each_by_itself
from autograder.grading.compare import GRADIENT, Disagreement

transformer_embedding = pytest.mark.exercise("transformer_embedding")

# The page allows sines in float32 inside a float64 module, so the positions are accurate to 1e-5.
ACCURATE = {torch.float64: (1e-9, 1.2e-5), torch.float32: (1e-5, 2e-5), torch.bfloat16: (2e-2, 3e-2)}


def layers(student, reference, draw, vocab=11, d_model=6, max_len=17, pad_id=None, dtype=torch.float64, **options):
    """The student's module and the reference's in `dtype`, with the same random table; its padding row is 0."""
    weight = draw.tensor(vocab, d_model, dtype=dtype)
    if pad_id is not None:
        weight[pad_id] = 0
    made = (vocab, d_model, max_len, pad_id)
    theirs = student.TransformerEmbedding(*made, **options)
    theirs.to(dtype)
    theirs.token.load_reference({"weight": weight})
    ours = reference.TransformerEmbedding(*made).to(dtype)
    ours.token.load_state_dict({"weight": weight})
    return theirs, ours


def same(theirs, ours, ids, dtype=torch.float64):
    """Both give the same; the student's answer."""
    answer = theirs(ids)
    close(answer, ours(ids).detach(), tolerance=ACCURATE[dtype])
    return answer


def gradient(student, draw, theirs, ours, ids):
    """The gradient of the table is right, and nothing else is trained."""
    cotangent = draw.tensor(*ids.shape, ours.token.weight.shape[1])
    found = student.vjp(theirs, ids, cotangent=cotangent, parameters=True).parameters
    if set(found) != {"token.weight"}:
        extra = sorted(set(found) - {"token.weight"})
        frozen = [name for name in extra if found[name] is None]
        more = f"; no gradient reaches {frozen}, and a parameter it is all the same" if frozen else ""
        raise Disagreement(f"the parameters are {sorted(found)}, expected token.weight alone{more}")
    (expected,) = torch.autograd.grad(ours(ids), [ours.token.weight], cotangent)
    if found["token.weight"] is None:
        raise Disagreement("no gradient reaches token.weight")
    close(found["token.weight"], expected, tolerance=GRADIENT[torch.float64], what="the gradient of token.weight")


@transformer_embedding
@pytest.mark.weight(3)
def test_sum(student, reference, draw):
    """Each token's row times √D, plus the position's sines as they are."""
    for d_model in (6, 14):
        theirs, ours = layers(student, reference, draw, d_model=d_model)
        same(theirs, ours, draw.integers(0, 11, 3, 7))


@transformer_embedding
@pytest.mark.weight(2)
def test_trained(student, reference, draw):
    """token.weight is the only parameter; each row's gradient is √D times what arrives at its tokens."""
    ids = torch.cat([torch.arange(11)[None], draw.integers(0, 11, 2, 11)])
    theirs, ours = layers(student, reference, draw)
    gradient(student, draw, theirs, ours, ids)
    theirs = student.TransformerEmbedding(11, 6, 17)  # without pad_id there is no padding
    theirs.to(torch.float64)
    theirs.token.load_reference({"weight": ours.token.weight.detach()})
    gradient(student, draw, theirs, ours, ids)


@transformer_embedding
@pytest.mark.weight(2)
def test_padding(student, reference, draw):
    """The padding row is 0 in a new module and gets no gradient; the position is added at padded places too."""
    for pad_id in (7, 0):  # 0 last, for those who take it for None
        ids = draw.integers(0, 11, 3, 7)
        ids[:, 4:], ids[:, 2] = pad_id, (pad_id + 1) % 11
        theirs, ours = layers(student, reference, draw, pad_id=pad_id)
        same(theirs, ours, ids)
        gradient(student, draw, theirs, ours, ids)
        fresh = student.TransformerEmbedding(11, 6, 17, pad_id)
        padding = torch.full((2, 5), pad_id)
        expected = reference.TransformerEmbedding(11, 6, 17)(padding).detach()  # its table is 0
        close(fresh(padding), expected, tolerance=ACCURATE[torch.float32], what="padding in a new module")


@transformer_embedding
@pytest.mark.weight(2)
def test_dtype_follows(student, reference, draw):
    """After .to(dtype) the result has that dtype: the sines move with the module."""
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        theirs, ours = layers(student, reference, draw, dtype=dtype)
        same(theirs, ours, draw.integers(0, 11, 2, 5), dtype)


@transformer_embedding
def test_long_texts(student, reference, draw):
    """A text of max_len tokens uses all positions; one of more raises ValueError."""
    theirs, ours = layers(student, reference, draw, max_len=13)
    same(theirs, ours, draw.integers(0, 11, 2, 13))
    for length in (14, 29):
        raises(ValueError, theirs, draw.integers(0, 11, 2, length))


@transformer_embedding
def test_small_cases(student, reference, draw):
    """No token, one token, one example, one word, a width of 2 and views are ordinary cases; ids is left alone."""
    theirs, ours = layers(student, reference, draw)
    for shape in ((2, 0), (1, 1), (3, 1), (1, 5)):
        same(theirs, ours, draw.integers(0, 11, *shape))
    same(theirs, ours, draw.integers(0, 11, 7, 2).T)
    theirs, ours = layers(student, reference, draw, vocab=1, d_model=2, max_len=1)
    same(theirs, ours, torch.zeros(2, 1, dtype=torch.int64))
    theirs, ours = layers(student, reference, draw)
    ids = draw.integers(0, 11, 2, 5)
    called = student.call(theirs, ids)
    close(called.value, torch.zeros(2, 5, 6).double(), rtol=0.0, atol=math.inf)
    close(called.echo, ((ids,), {}), tolerance=(0, 0), what="the caller's ids")


@transformer_embedding
@pytest.mark.weight(2)
def test_dropout(student, reference, draw):
    """In train mode each entry of the sum, by itself, is 0 or divided by 1 - dropout; in eval mode nothing is drawn.

    Four counts, each with a false alarm in 1e9.
    """
    ids = draw.integers(0, 11, 3, 17)
    theirs, ours = layers(student, reference, draw, d_model=14, dropout=0.3)
    expected = ours(ids).detach()
    theirs.train(False)
    for _ in range(2):
        close(quiet_rng(theirs, ids), expected, tolerance=ACCURATE[torch.float64], what="the output in eval mode")
    theirs.train(True)
    noisy = student.seeded(theirs, ids)
    close(noisy, torch.zeros_like(expected), rtol=0.0, atol=math.inf)
    dropped = noisy == 0
    if not dropped.any():
        raise Disagreement("with dropout 0.3 no entry of the sum is 0 in train mode")
    if dropped.all():
        raise Disagreement("with dropout 0.3 all entries are 0 in train mode")
    wanted = torch.where(dropped, 0.0, expected / 0.7)
    close(noisy, wanted, tolerance=ACCURATE[torch.float64], what="the output in train mode")
    each_by_itself(dropped, 0.3, "entries")
    theirs, ours = layers(student, reference, draw)
    close(quiet_rng(theirs, ids), ours(ids).detach(), tolerance=ACCURATE[torch.float64])


@transformer_embedding
def test_picture(student):
    """The picture shows tokens of length 1, these times √D, and positions of length √(D/2)."""
    if not student.has("figure_data"):
        return
    rows = student.figure_data()
    widths = np.array([8.0, 32, 128, 512, 2048])
    close(rows[2], np.sqrt(widths / 2), rtol=1e-4, what="the curve of positions")
    close(rows[1], np.sqrt(widths) * rows[0], rtol=1e-3, what="the curve of tokens times √D")
    close(rows[0], np.ones(5), rtol=0.0, atol=0.2, what="the curve of tokens")
