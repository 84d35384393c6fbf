"""The reference of unit 0 agrees with scipy, torch and torch.optim, the degenerate cases included."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F
from nltk.lm import MLE, Lidstone, Vocabulary
from torch import nn

ROOT = Path(__file__).resolve().parents[2]


def load(page: str):
    path = ROOT / "reference" / "unit0_prerequisites" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


numerics, networks, models = load("numerics"), load("networks"), load("language_models")
SEEDS = [0, 1, 2]
DTYPES = [np.float64, np.float32]


def normal(seed: int, *shape: int, scale: float = 1.0, dtype=np.float64) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def assert_same(ours: np.ndarray, theirs: np.ndarray, rtol: float | None = None) -> None:
    """Shape, dtype and values, the tolerance by dtype."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    rtol = rtol or (1e-12 if ours.dtype == np.float64 else 1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-14 if ours.dtype == np.float64 else 1e-6)


# numerics


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (5, 1), (0, 5)])
def test_softmax_family_matches_scipy(shape, scale, dtype):
    """softmax, logsumexp and log_softmax equal scipy's along every axis, with entries of −inf and ±1e4."""
    x = normal(0, *shape, scale=scale, dtype=dtype)
    if shape == (3, 5):
        x[1, 2:] = -np.inf
        x[2, 0] = -np.inf
    for axis in range(-x.ndim, x.ndim):
        if x.shape[axis] == 0:
            continue
        assert_same(numerics.softmax(x, axis), scipy.special.softmax(x, axis))
        assert_same(numerics.log_softmax(x, axis), scipy.special.log_softmax(x, axis), 1e-5 if scale > 1 else None)
        for keepdims in (False, True):
            expected = scipy.special.logsumexp(x, axis=axis, keepdims=keepdims)
            assert_same(numerics.logsumexp(x, axis, keepdims), np.asarray(expected, dtype=dtype))


def test_logsumexp_of_nothing():
    """A row of −inf gives −inf, as in scipy."""
    x = np.array([[-np.inf, -np.inf], [-np.inf, 3.0]])
    assert numerics.logsumexp(x).tolist() == [-np.inf, 3.0] == scipy.special.logsumexp(x, axis=1).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("ignore_index", [-100, -1, 3])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_cross_entropy_matches_torch(dtype, reduction, ignore_index, scale):
    """Losses and gradients equal torch's, with ignored targets, for any leading axes."""
    logits = normal(1, 7, 5, scale=scale, dtype=dtype)
    targets = np.array([0, 4, ignore_index, 2, 1, ignore_index, 2])
    inner = torch.from_numpy(logits).requires_grad_()
    expected = F.cross_entropy(inner, torch.from_numpy(targets), ignore_index=ignore_index, reduction=reduction)
    ours = numerics.cross_entropy(logits, targets, ignore_index, reduction)
    rtol = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(ours, expected.detach().numpy(), rtol=rtol, atol=rtol)
    folded = numerics.cross_entropy(logits[None, :, None], targets[None, :, None], ignore_index, reduction)
    np.testing.assert_allclose(np.ravel(folded), np.ravel(ours))
    if reduction == "mean":
        expected.backward()
        assert_same(numerics.cross_entropy_grad(logits, targets, ignore_index), inner.grad.numpy())


def test_cross_entropy_of_nothing():
    """Nothing that counts: 0, where torch's mean is NaN. One class: 0. No leading axis: torch's value."""
    logits, ignored = normal(2, 3, 5), np.full(3, -100)
    assert math.isnan(F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(ignored)))
    assert numerics.cross_entropy(logits, ignored) == 0.0
    assert numerics.cross_entropy(logits[:0], ignored[:0]) == 0.0
    assert not numerics.cross_entropy_grad(logits, ignored).any()
    assert numerics.cross_entropy(logits[:, :1], np.zeros(3, dtype=np.int64)) == 0.0
    expected = F.cross_entropy(torch.from_numpy(logits[0]), torch.tensor(2)).item()
    assert numerics.cross_entropy(logits[0], np.array(2)) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="average"):
        numerics.cross_entropy(logits, ignored, reduction="average")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_softmax_vjp_matches_autograd(shape, seed):
    """dx equals autograd's through torch.softmax, along every axis."""
    for axis in range(-len(shape), len(shape)):
        x, dy = torch.from_numpy(normal(seed, *shape)).requires_grad_(), normal(seed + 10, *shape)
        y = torch.softmax(x, axis)
        (expected,) = torch.autograd.grad(y, x, torch.from_numpy(dy))
        assert_same(numerics.softmax_vjp(y.detach().numpy(), dy, axis), expected.numpy())


def test_softmax_vjp_matches_scipys_differences():
    """dx equals central differences of scipy's softmax; a one-hot row passes nothing."""
    x, dy, eps = normal(3, 4, 5), normal(4, 4, 5), 1e-6
    expected = np.empty_like(x)
    for index in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[index] = eps
        change = scipy.special.softmax(x + nudge, -1) - scipy.special.softmax(x - nudge, -1)
        expected[index] = (change * dy).sum() / (2 * eps)
    np.testing.assert_allclose(numerics.softmax_vjp(scipy.special.softmax(x, -1), dy), expected, rtol=1e-6, atol=1e-9)
    assert not numerics.softmax_vjp(np.eye(5)[:4], dy).any()


# networks


def network(seed: int, n: int, d_in: int, d_hidden: int, n_classes: int, dtype=np.float64) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    shapes = [(n, d_in), (d_in, d_hidden), (d_hidden,), (d_hidden, n_classes), (n_classes,)]
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    return *arrays, rng.integers(0, n_classes, n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(7, 5, 11, 3), (1, 2, 3, 5), (3, 2, 1, 5), (4, 4, 4, 4), (3, 2, 5, 1)])
@pytest.mark.parametrize("seed", SEEDS)
def test_network_matches_torch(seed, sizes, dtype):
    """Loss and all gradients equal those of nn.Linear, relu and F.cross_entropy."""
    x, W1, b1, W2, b2, y = network(seed, *sizes, dtype=dtype)
    first, second = nn.Linear(*W1.shape), nn.Linear(*W2.shape)
    for layer, weight, bias in ((first, W1, b1), (second, W2, b2)):
        layer.weight.data, layer.bias.data = torch.from_numpy(weight.T.copy()), torch.from_numpy(bias)
    inner = torch.from_numpy(x).requires_grad_()
    expected = F.cross_entropy(second(torch.relu(first(inner))), torch.from_numpy(y))
    expected.backward()
    loss, grads = networks.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    assert loss == pytest.approx(expected.item(), rel=1e-12 if dtype == np.float64 else 1e-5)
    theirs = {"dx": inner.grad, "dW1": first.weight.grad.T, "db1": first.bias.grad}
    theirs |= {"dW2": second.weight.grad.T, "db2": second.bias.grad}
    assert set(grads) == set(theirs)
    for name, value in theirs.items():
        assert grads[name].dtype == dtype
        tolerance = 1e-12 if dtype == np.float64 else 1e-4
        np.testing.assert_allclose(grads[name], value.numpy(), rtol=tolerance, atol=tolerance / 10, err_msg=name)


@pytest.mark.parametrize("momentum", [0.0, 0.35, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_descent_matches_torch(momentum, nesterov, dtype):
    """The path is that of torch.optim.SGD on a function that is no quadratic."""
    if nesterov and not momentum:
        return  # torch refuses it; ours is plain descent, which the public doctest shows
    x0 = normal(1, 5, dtype=dtype)
    point = torch.from_numpy(x0.copy()).requires_grad_()
    optimiser = torch.optim.SGD([point], lr=0.05, momentum=momentum, nesterov=nesterov)
    expected = [x0]
    for _ in range(11):
        optimiser.zero_grad()
        (point**4 / 4 + point**2).sum().backward()
        optimiser.step()
        expected.append(point.detach().numpy().copy())
    ours = networks.gradient_descent(lambda x: x**3 + 2 * x, x0, 0.05, 11, momentum, nesterov)
    assert_same(ours, np.stack(expected), 1e-4 if dtype == np.float32 else None)
    assert networks.gradient_descent(lambda x: x, x0, 0.05, 0).tolist() == [x0.tolist()]


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.6, 0.7)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("scale", [1.0, 1e-8, 0.0])
@pytest.mark.parametrize("eps", [1e-8, 1e-3])
def test_adamw_matches_torch(betas, weight_decay, scale, eps):
    """Ten steps equal torch's AdamW (and Adam without decay) to 12 digits, also for gradients near eps."""
    p = normal(1, 3, 5)
    parameter = torch.from_numpy(p.copy()).requires_grad_()
    kinds = [torch.optim.AdamW] if weight_decay else [torch.optim.AdamW, torch.optim.Adam]
    for kind in kinds:
        ours, state = p, {}
        parameter = torch.from_numpy(p.copy()).requires_grad_()
        optimiser = kind([parameter], lr=0.01, betas=betas, eps=eps, weight_decay=weight_decay)
        for step in range(10):
            g = normal(step + 2, 3, 5, scale=scale)
            parameter.grad = torch.from_numpy(g)
            optimiser.step()
            ours = networks.adamw_step(ours, g, state, 0.01, betas, eps, weight_decay)
            np.testing.assert_allclose(ours, parameter.detach().numpy(), rtol=1e-12, atol=1e-15)
        theirs = optimiser.state[parameter]
        assert state["t"] == 10 == int(theirs["step"])
        np.testing.assert_allclose(state["m"], theirs["exp_avg"].numpy(), rtol=1e-10)
        np.testing.assert_allclose(state["v"], theirs["exp_avg_sq"].numpy(), rtol=1e-10)


# language models. Ids 0..4 occur as words, 5 never, 6 is eos and 7 bos.

WORDS, EOS, BOS, V = 5, 6, 7, 8


def sentences(seed: int, *lengths: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, WORDS, length).tolist() for length in lengths]


def contexts(n: int, corpus: list[list[int]]) -> list[tuple[int, ...]]:
    """Full contexts, from the corpus (its beginnings, too) and from outside of it."""
    padded = [[BOS] * (n - 1) + sentence for sentence in corpus]
    found = {tuple(s[i : i + n - 1]) for s in padded for i in range(len(s) - n + 2)}
    return sorted(found | {(5,) * (n - 1), (EOS,) * (n - 1)})


def fitted(n: int, corpus: list[list[int]], alpha: float):
    lm = models.NGramLM(n, V, alpha, bos=BOS, eos=EOS)
    assert lm.fit(corpus) is None
    return lm


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_ngrams_match_a_table(n, alpha):
    """Probabilities equal those of a float64 table over (context, token) that is filled in one pass."""
    corpus = sentences(n, 7, 5, 1, 0, 2, 11)
    table = np.zeros((V,) * n)
    for sentence in corpus:
        window = [BOS] * (n - 1)
        for token in [*sentence, EOS]:
            table[(*window, token)] += 1
            window = [*window, token][1:] if n > 1 else []
    smooth = table + alpha
    total = smooth.sum(-1, keepdims=True)
    expected = np.divide(smooth, total, out=np.zeros_like(smooth), where=total > 0)
    lm = fitted(n, corpus, alpha)
    for context in contexts(n, corpus):
        ours = [lm.prob(context, w) for w in range(V)]
        np.testing.assert_allclose(ours, expected[context], rtol=1e-14)
        if alpha:
            assert sum(ours) == pytest.approx(1.0, rel=1e-12)
        assert [lm.prob((3, 5, *context), w) for w in range(V)] == ours
    for sentence in [*corpus, [5, 0, 1]]:
        padded = [BOS] * (n - 1) + sentence + [EOS]
        probabilities = [expected[tuple(padded[i : i + n])] for i in range(len(sentence) + 1)]
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(lm.logprob(sentence), np.log(probabilities), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_ngrams_match_nltk(n, alpha):
    """Probabilities equal those of nltk's MLE and Lidstone models, given the same n-grams."""
    corpus = sentences(n + 10, 7, 5, 1, 0, 2, 11)
    padded = [[BOS] * (n - 1) + sentence + [EOS] for sentence in corpus]
    grams = [[tuple(map(str, s[i : i + n])) for i in range(len(s) - n + 1)] for s in padded]
    # nltk counts one token of its own, <UNK>, as part of the vocabulary: it stands for id 5, which never occurs.
    words = Vocabulary([str(w) for w in range(V) if w != 5])
    theirs = Lidstone(alpha, n, words) if alpha else MLE(n, words)
    theirs.counts.update(grams)
    ours = fitted(n, corpus, alpha)
    for context in contexts(n, corpus):
        for w in range(V):
            expected = theirs.score(str(w), tuple(map(str, context)))
            assert ours.prob(context, w) == pytest.approx(expected, rel=1e-12)


def test_ngrams_accumulate():
    """Two fits count like one; a short context stands at the start of a sentence; bos may lie outside 0..V−1."""
    corpus = sentences(3, 7, 5, 3)
    whole, parts = fitted(3, corpus, 0.5), fitted(3, corpus[:2], 0.5)
    parts.fit(corpus[2:])
    outside = models.NGramLM(3, V, 0.5, bos=-1, eos=EOS)
    outside.fit(corpus)
    first = corpus[0][0]
    for w in range(V):
        assert whole.prob((), w) == parts.prob((BOS, BOS), w) == outside.prob((-1,), w)
        assert whole.prob((first,), w) == parts.prob((BOS, first), w) == outside.prob((first,), w)


@pytest.mark.parametrize("seed", SEEDS)
def test_perplexity_matches_cross_entropy(seed):
    """The perplexity of a network's tokens is exp(F.cross_entropy), padding ignored, in any base."""
    logits = torch.from_numpy(normal(seed, 3, 7, 11))
    targets = torch.from_numpy(np.random.default_rng(seed).integers(0, 11, (3, 7)))
    mask = np.arange(7) < np.array([[7], [2], [5]])
    logprobs = torch.log_softmax(logits, -1).gather(-1, targets[..., None])[..., 0].numpy().copy()
    logprobs[~mask] = np.nan
    kept = torch.where(torch.from_numpy(mask), targets, -100)
    expected = torch.exp(F.cross_entropy(logits.flatten(0, 1), kept.flatten())).item()
    assert models.perplexity(logprobs, mask) == pytest.approx(expected, rel=1e-12)
    for base in (2, 10, 2.5):
        assert models.perplexity(logprobs / math.log(base), mask, base) == pytest.approx(expected, rel=1e-12)


def test_perplexity_of_special_texts():
    """The page's examples; a uniform model has V; nothing raises; an impossible token gives infinity."""
    row = np.ones((1, 3), dtype=bool)
    assert models.perplexity(np.log([[0.1, 0.5, 0.25]]), row) == pytest.approx(80 ** (1 / 3))
    two = np.array([[-1.0, -2.0, 0.0, 0.0], [-3.0, -4.0, -5.0, -6.0]])
    assert models.perplexity(two, two < 0) == pytest.approx(math.exp(3.5))
    assert models.perplexity(np.full((1, 3), -math.log(29)), row) == pytest.approx(29)
    assert models.perplexity(np.array([[-1.0, -np.inf, -1.0]]), row) == math.inf
    with pytest.raises(ValueError, match="no token"):
        models.perplexity(np.zeros((1, 3)), ~row)
