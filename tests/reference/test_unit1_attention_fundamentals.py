"""The reference of unit 1 agrees with torch, scipy and plain loops, the degenerate cases included."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

ROOT = Path(__file__).resolve().parents[2]


UNIT = "unit1_attention_fundamentals"


def load(page: str):
    return load_file(ROOT / "reference" / UNIT / f"{page}.py")


def load_file(path: Path):
    spec = importlib.util.spec_from_file_location(f"{path.parent.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


intuition, maths = load("intuition"), load("attention_mathematics")
scratch, bottleneck = load("attention_from_scratch"), load("bottleneck")
SEEDS = [0, 1, 2]


def normal(seed: int, *shape: int, dtype: type = np.float64, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


# intuition


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lengths", [[7, 7, 7], [2, 7, 4], [1, 1, 1], [5, 3, 1]])
def test_rnn_matches_torch(seed, lengths):
    """States and last states equal those of nn.RNN on a packed batch; padding gives zeros and has no influence."""
    x, W_ih, W_hh, b = normal(seed, 3, 7, 5), normal(1, 11, 5), normal(2, 11, 11, scale=0.3), normal(3, 11)
    rnn = torch.nn.RNN(5, 11, batch_first=True, dtype=torch.float64)
    names = {"weight_ih_l0": W_ih, "weight_hh_l0": W_hh, "bias_ih_l0": b, "bias_hh_l0": np.zeros(11)}
    rnn.load_state_dict({name: torch.from_numpy(value) for name, value in names.items()})
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(x), torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    out, last = rnn(packed)
    out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=7)
    x[np.arange(7) >= np.array(lengths)[:, None]] = 1e30
    ours = intuition.rnn_encode(x, np.array(lengths), W_ih, W_hh, b)
    np.testing.assert_allclose(ours[0], out.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours[1], last[0].detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", [(3, 5, 7), (1, 1, 1), (2, 1, 4)])
def test_luong_matches_einsum(seed, sizes):
    """dot, general and concat equal batched products in float64."""
    B, q_len, kv_len = sizes
    q, k, k_wide = normal(seed, B, q_len, 11), normal(seed + 9, B, kv_len, 2), normal(seed + 19, B, kv_len, 11)
    W, both, v = normal(1, 11, 2), normal(2, 13, 13), normal(3, 13)
    torch_dot = torch.bmm(torch.from_numpy(q), torch.from_numpy(k_wide).mT).numpy()
    np.testing.assert_allclose(intuition.luong_scores(q, k_wide), torch_dot, rtol=1e-10, atol=1e-12)
    bilinear = torch.nn.functional.bilinear(
        torch.from_numpy(np.repeat(q, kv_len, axis=1)),
        torch.from_numpy(np.tile(k, (1, q_len, 1))),
        torch.from_numpy(W)[None],
    )
    scores = intuition.luong_scores(q, k, W=W, mode="general")
    np.testing.assert_allclose(scores, bilinear.reshape(B, q_len, kv_len).numpy(), rtol=1e-10, atol=1e-12)
    pairs = np.concatenate([np.repeat(q, kv_len, axis=1), np.tile(k, (1, q_len, 1))], axis=-1)
    concat = (np.tanh(pairs @ both.T) @ v).reshape(B, q_len, kv_len)
    scores = intuition.luong_scores(q, k, W=both, v=v, mode="concat")
    np.testing.assert_allclose(scores, concat, rtol=1e-10, atol=1e-12)


def test_luong_refuses():
    """Unequal widths under dot and unknown modes are ValueErrors, as is a width that would broadcast."""
    for width in (3, 1):
        with pytest.raises(ValueError):
            intuition.luong_scores(np.ones((1, 2, 5)), np.ones((1, 2, width)))
    with pytest.raises(ValueError):
        intuition.luong_scores(np.ones((1, 2, 5)), np.ones((1, 2, 5)), mode="scaled")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", [(3, 5, 7), (1, 1, 1), (2, 1, 4), (2, 3, 3)])
def test_additive_matches_broadcasting(seed, sizes):
    """Σ_a v_a tanh(q' + k') of the projected queries and keys, as documented for keras' AdditiveAttention."""
    B, q_len, kv_len = sizes
    q, k = normal(seed, B, q_len, 11), normal(seed + 9, B, kv_len, 2)
    Wq, Wk, b, v = normal(1, 13, 11), normal(2, 13, 2), normal(3, 13), normal(4, 13)
    t = [torch.from_numpy(a) for a in (q, k, Wq, Wk, b, v)]
    queries = torch.nn.functional.linear(t[0], t[2], t[4])[:, :, None]
    keys = torch.nn.functional.linear(t[1], t[3])[:, None]
    expected = torch.sum(t[5] * torch.tanh(queries + keys), dim=-1).numpy()
    scores = intuition.additive_scores(q, k, Wq, Wk, b, v)
    np.testing.assert_allclose(scores, expected, rtol=1e-10, atol=1e-12)
    assert (np.abs(scores) <= np.abs(v).sum()).all()
    same = intuition.luong_scores(q, k, W=np.hstack([Wq, Wk]), v=v, mode="concat")
    np.testing.assert_allclose(intuition.additive_scores(q, k, Wq, Wk, 0 * b, v), same, rtol=1e-10, atol=1e-12)


def test_intuition_keeps_float32():
    """float32 in, float32 out."""
    x, w = normal(0, 2, 3, 5, dtype=np.float32), normal(1, 7, 5, dtype=np.float32)
    b = normal(2, 7, dtype=np.float32)
    states, last = intuition.rnn_encode(x, np.array([2, 3]), w, normal(3, 7, 7, dtype=np.float32), b)
    assert states.dtype == last.dtype == np.float32
    assert intuition.luong_scores(x, x).dtype == np.float32
    assert intuition.additive_scores(x, x, w, w, b, b).dtype == np.float32


# attention_mathematics


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(5, 7), (1, 7), (2, 1, 1, 7), (2, 1, 5, 7), (2, 3, 5, 7)])
def test_masked_softmax_matches_torch(seed, shape):
    """Weights equal torch's attention with the identity as keys and values, and scipy's softmax of allowed scores."""
    scores = normal(seed, 2, 3, 5, 7, scale=3.0)
    mask = np.random.default_rng(seed).random(shape) < 0.6
    mask[..., 0, :] = False  # an empty row, or only empty rows
    weights = maths.masked_softmax(scores, mask)
    # Queries are the scores, keys and values the identity: q kᵀ is the scores again.
    eye = torch.eye(7, dtype=torch.float64).expand(2, 3, 7, 7)
    theirs = torch.nn.functional.scaled_dot_product_attention(
        torch.from_numpy(scores),
        eye,
        eye,
        attn_mask=torch.from_numpy(np.broadcast_to(mask, scores.shape).copy()),
        scale=1.0,
    )
    np.testing.assert_allclose(weights, theirs.numpy(), rtol=1e-10, atol=1e-14)
    full = np.broadcast_to(mask, scores.shape)
    assert (weights[~full] == 0).all()
    for index in np.ndindex(2, 3, 5):
        expected = scipy.special.softmax(scores[index][full[index]]) if full[index].any() else []
        np.testing.assert_allclose(weights[index][full[index]], expected, rtol=1e-10)
    junk = np.where(full, scores, 1e30)
    np.testing.assert_array_equal(maths.masked_softmax(junk, mask), weights)


@pytest.mark.parametrize("offset", [-300.0, 300.0, -3e4])
def test_masked_softmax_of_extreme_scores(offset):
    """Rows far from 0 give what the same rows near 0 give; without a mask it is scipy's softmax."""
    scores = np.round(normal(0, 5, 7), 2)
    mask = np.tri(5, 7, dtype=bool)
    shifted = maths.masked_softmax(scores + offset, mask)
    np.testing.assert_allclose(shifted, maths.masked_softmax(scores, mask), rtol=1e-10)
    expected = scipy.special.softmax(100 * scores, axis=-1)
    np.testing.assert_allclose(maths.masked_softmax(100 * scores), expected, rtol=1e-10, atol=1e-300)
    assert maths.masked_softmax(scores.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("d", [1, 4, 64, 1024])
@pytest.mark.parametrize("scaled", [False, True])
def test_score_stats(d, scaled):
    """The variance is d (or 1); entropy and largest weight equal scipy's on dot products that are really formed.

    Seeds are fixed, so this cannot flicker; the bounds are six standard errors.
    """
    n = 16_000 if d < 1024 else 3200
    ours = maths.score_stats(d, n, scaled, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    scores = (rng.standard_normal((n, d)) * rng.standard_normal((n, d))).sum(-1) / (d**0.5 if scaled else 1)
    rows = scipy.special.softmax(scores.reshape(-1, 16), axis=-1)
    sigma = np.sqrt((2 + 6 / d) / n)
    assert abs(ours["var"] / (1 if scaled else d) - 1) < 6 * sigma
    entropy, largest = scipy.stats.entropy(rows, axis=-1), rows.max(-1)
    error = np.sqrt(2 / len(rows))
    assert abs(ours["entropy"] - entropy.mean()) < 6 * error * entropy.std() + 0.01
    assert abs(ours["max_prob"] - largest.mean()) < 6 * error * largest.std() + 0.01


@pytest.mark.parametrize("d", [4, 16, 64])
@pytest.mark.parametrize("scaled", [False, True])
def test_expected_values_of_the_grader(d, scaled):
    """The table in the hidden grader holds the means of entropy and largest weight."""
    expected = load_file(ROOT / "autograder" / "graders" / UNIT / "test_attention_mathematics.py").EXPECTED
    rng = np.random.default_rng(3)
    scores = np.sqrt(rng.chisquare(d, (200_000, 16)) / (d if scaled else 1)) * rng.standard_normal((200_000, 16))
    rows = scipy.special.softmax(scores, axis=-1)
    entropy, largest = expected[d, scaled]
    assert abs(scipy.stats.entropy(rows, axis=-1).mean() - entropy) < 0.01
    assert abs(rows.max(-1).mean() - largest) < 0.005


# attention_from_scratch


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(a).requires_grad_() for a in arrays]


def qkv(seed: int, *lead: int, q_len: int = 5, kv_len: int = 7) -> list[np.ndarray]:
    return [normal(seed, *lead, q_len, 11), normal(seed + 10, *lead, kv_len, 11), normal(seed + 20, *lead, kv_len, 3)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lead", [(), (2,), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_and_vjp_match_torch(seed, lead, masked):
    """Output, weights and the three gradients equal torch's; an empty row gives zeros, and 1e30 behind the mask too."""
    Q, K, V = qkv(seed, *lead)
    mask = np.random.default_rng(seed).random((*lead[:1], *[1] * len(lead[1:]), 5, 7)) < 0.6
    mask[..., 2, :] = False
    mask[..., :, 4] = False
    if not masked:
        mask = None
    allowed = None if mask is None else torch.from_numpy(mask)
    inputs = tensors(Q, K, V)
    theirs = torch.nn.functional.scaled_dot_product_attention(*inputs, attn_mask=allowed)
    out, weights = scratch.attention(Q, K, V, mask=mask)
    np.testing.assert_allclose(out, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(weights @ V, out, rtol=1e-10, atol=1e-12)
    dO = normal(seed + 30, *out.shape)
    expected = torch.autograd.grad(theirs, inputs, torch.from_numpy(dO))
    gradients = scratch.attention_vjp(dO, Q, K, V, mask=mask)
    for ours, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, wanted.numpy(), rtol=1e-9, atol=1e-11)
    if masked:
        assert (gradients[0][..., 2, :] == 0).all() and (gradients[1][..., 4, :] == 0).all()
        assert (gradients[2][..., 4, :] == 0).all() and (out[..., 2, :] == 0).all()
        K[..., 4, :], V[..., 4, :] = 1e30, -1e30
        np.testing.assert_array_equal(scratch.attention(Q, K, V, mask=mask)[0], out)
        for ours, before in zip(scratch.attention_vjp(dO, Q, K, V, mask=mask), gradients, strict=True):
            np.testing.assert_array_equal(ours, before)


@pytest.mark.parametrize("scale", [0.0, 0.3, None])
@pytest.mark.parametrize("sizes", [(5, 1), (1, 7), (5, 0), (0, 7)])
def test_attention_of_odd_sizes(scale, sizes):
    """One key, one query, none of either: as in torch; a scale of 0 counts."""
    Q, K, V = qkv(4, 2, q_len=sizes[0], kv_len=sizes[1])
    theirs = torch.nn.functional.scaled_dot_product_attention(*tensors(Q, K, V), scale=scale).detach().numpy()
    np.testing.assert_allclose(scratch.attention(Q, K, V, scale=scale)[0], theirs, rtol=1e-10, atol=1e-12)


def test_vjp_gradcheck():
    """The gradients pass torch's gradcheck, wrapped in an autograd function."""

    class Attention(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *args):
            ctx.save_for_backward(*args)
            return torch.from_numpy(scratch.attention(*[a.detach().numpy() for a in args], mask=mask)[0])

        @staticmethod
        def backward(ctx, dO):
            arrays = [a.detach().numpy() for a in (dO, *ctx.saved_tensors)]
            return tuple(map(torch.from_numpy, scratch.attention_vjp(*arrays, mask=mask)))

    mask = np.tri(3, 4, dtype=bool)
    mask[1] = False
    assert torch.autograd.gradcheck(Attention.apply, tensors(*qkv(0, 2, q_len=3, kv_len=4)))


def test_given_masked_softmax():
    """The building block that the page imports is the masked softmax of the page before."""
    from autograder.given import masked_softmax

    scores, mask = normal(0, 2, 3, 5, 7), np.random.default_rng(0).random((2, 1, 5, 7)) < 0.5
    mask[..., 1, :] = False
    np.testing.assert_allclose(masked_softmax(scores, mask), maths.masked_softmax(scores, mask), rtol=1e-12)
    np.testing.assert_allclose(masked_softmax(scores), maths.masked_softmax(scores), rtol=1e-12)
    assert masked_softmax(scores.astype(np.float32)).dtype == np.float32
    assert masked_softmax(np.zeros((3, 0))).shape == (3, 0)


# bottleneck


@pytest.mark.parametrize("attn", [False, True])
@pytest.mark.parametrize("lengths", [[7, 7, 7], [7, 2, 5], [1, 3, 1]])
def test_seq2seq_matches_torch(attn, lengths):
    """Logits, weights and gradients equal those built from nn.GRU on a packed batch and torch's softmax."""
    torch.manual_seed(3)
    model = bottleneck.AttnSeq2Seq(13, 5, attn).double()
    src, tgt_in = torch.randint(2, 13, (3, 7)), torch.randint(1, 13, (3, 4))
    for row, length in zip(src, lengths, strict=True):
        row[length:] = 0
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        model.embed(src), torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    out, last = model.encoder(packed)
    states, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=7)
    h, _ = model.decoder(model.embed(tgt_in), last)
    context, weights = last[0][:, None].expand_as(h), None
    if attn:
        scores = model.score(torch.tanh(model.query(h)[:, :, None] + model.key(states)[:, None])).squeeze(-1)
        weights = torch.softmax(scores.masked_fill((src == 0)[:, None], -torch.inf), dim=-1)
        context = weights @ states
    expected = model.output(torch.cat([h, context], dim=-1))
    logits, shares = model(src, tgt_in)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-12)
    if attn:
        torch.testing.assert_close(shares, weights, rtol=1e-10, atol=1e-12)
        assert (shares[(src == 0)[:, None].expand_as(shares)] == 0).all()
    else:
        assert shares is None
    cotangent = torch.randn(expected.shape, dtype=torch.float64)
    wanted = torch.autograd.grad(expected, list(model.parameters()), cotangent)
    found = torch.autograd.grad(logits, list(model.parameters()), cotangent)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "attn", "passes"),
    [
        (None, True, True),
        (None, False, True),
        ("attn_on_decoder_inputs", True, False),
        ("leaks_when_off", False, False),
    ],
)
def test_thresholds_of_the_training(model, attn, passes):
    """The solution, and the wrong models that training can tell from it, lie on their sides of the thresholds.

    Three seeds of each; the whole calibration is in docs/calibration.md.
    """
    from autograder.course import load_course
    from autograder.grading.context import Context, Student
    from autograder.grading.misconceptions import load as misconceptions
    from autograder.grading.misconceptions import mutant_page
    from autograder.grading.solution import solution_pages

    torch.set_num_threads(1)
    course = load_course(ROOT)
    unit = course.unit(UNIT)
    grader = load_file(ROOT / "autograder" / "graders" / UNIT / "test_bottleneck.py")
    if model is None:
        source = next(page for page in solution_pages(course, unit) if page.name == "bottleneck")
    else:
        wrong = next(m for m in misconceptions(ROOT, UNIT, "bottleneck") if m.id == model)
        source = mutant_page(course, UNIT, "bottleneck", wrong)
    context = Context(course, unit, [], None, b"seed")
    for seed in range(3):
        student = Student(context.local_page("bottleneck", source))
        accuracy = grader.accuracy_after_training(student, bottleneck, attn, seed)
        assert (accuracy >= grader.LEARNS if attn else 0.25 <= accuracy <= grader.BOTTLENECK) is passes, accuracy
