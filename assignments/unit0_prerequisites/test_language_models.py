"""Public checks of the page `language_models`."""

import math

import numpy as np
import pytest

BOS, EOS, A, B = 0, 1, 2, 3


def fitted(student, n: int, alpha: float = 0.0):
    """The model of the page's example: the sentences "a b" and "a a" over four tokens."""
    lm = student.NGramLM(n, 4, alpha=alpha, bos=BOS, eos=EOS)
    lm.fit([[A, B], [A, A]])
    return lm


@pytest.mark.exercise("ngram_lm")
def test_counts_by_hand(student):
    """The example of the page: after a come a, b and the end once each; each sentence begins with a."""
    lm = fitted(student, 2)
    assert lm.prob((BOS,), A) == pytest.approx(1)
    for w in (A, B, EOS):
        assert lm.prob((A,), w) == pytest.approx(1 / 3), f"P({w} | a)"
    assert lm.prob((B,), EOS) == pytest.approx(1)


@pytest.mark.exercise("ngram_lm")
def test_smoothing_by_hand(student):
    """With alpha = 1 the example gives P(b | a) = 2/7; for any context the probabilities sum to 1."""
    lm = fitted(student, 2, alpha=1.0)
    assert lm.prob((A,), B) == pytest.approx(2 / 7)
    for context in ((BOS,), (A,), (EOS,)):
        assert sum(lm.prob(context, w) for w in range(4)) == pytest.approx(1), f"the sum after {context}"


@pytest.mark.exercise("ngram_lm")
def test_trigrams(student):
    """With n = 3 a sentence begins with two bos, and of a longer context only the last two tokens count."""
    lm = fitted(student, 3)
    assert lm.prob((), A) == lm.prob((BOS, BOS), A) == pytest.approx(1)
    assert lm.prob((A,), B) == lm.prob((BOS, A), B) == pytest.approx(1 / 2)
    assert lm.prob((BOS, BOS, A, B), EOS) == lm.prob((A, B), EOS) == pytest.approx(1)


@pytest.mark.exercise("ngram_lm")
def test_never_seen(student):
    """Without smoothing what was never seen has probability 0, after a context that was never seen too."""
    lm = fitted(student, 2)
    assert lm.prob((B,), A) == 0
    assert lm.prob((EOS,), A) == 0


@pytest.mark.exercise("ngram_lm")
def test_logprob(student):
    """A sentence of two tokens has three logarithms, the last one for its end."""
    logprobs = fitted(student, 2).logprob([A, B])
    assert logprobs.shape == (3,), f"shape {logprobs.shape}, expected (3,) = (T + 1,)"
    np.testing.assert_allclose(logprobs, np.log([1, 1 / 3, 1]))
    impossible = fitted(student, 2).logprob([B, B])
    assert impossible.tolist()[:2] == [-math.inf, -math.inf], "nothing begins with b, and no b follows a b: -inf"


@pytest.mark.exercise("ngram_lm")
def test_unigrams(student):
    """With n = 1 only the token itself counts: of the six counted, three are a, one is b and two are ends."""
    lm = fitted(student, 1)
    for context in ((), (A, B)):
        found = [lm.prob(context, w) for w in (A, B, EOS)]
        np.testing.assert_allclose(found, [1 / 2, 1 / 6, 1 / 3], err_msg=f"after {context}")


@pytest.mark.exercise("perplexity")
def test_perplexity_by_hand(student):
    """The probabilities 0.1, 0.5 and 0.25 have perplexity 80^(1/3); the padding does not count."""
    logprobs = np.log([[0.1, 0.5, 0.25, 0.9]])
    ppl = student.perplexity(logprobs, np.array([[True, True, True, False]]))
    assert float(ppl) == pytest.approx(80 ** (1 / 3))


@pytest.mark.exercise("perplexity")
def test_perplexity_of_two_sentences(student):
    """The mean is over all tokens: surprises (1, 2) and (3, 4, 5, 6) give exp(3.5), whatever the padding holds."""
    mask = np.array([[True, True, False, False], [True] * 4])
    for junk in (0.0, 1e30, -np.inf, np.nan):
        logprobs = np.array([[-1.0, -2.0, junk, junk], [-3.0, -4.0, -5.0, -6.0]])
        assert float(student.perplexity(logprobs, mask)) == pytest.approx(math.exp(3.5)), f"padding of {junk}"


@pytest.mark.exercise("perplexity")
def test_perplexity_bases(student):
    """The perplexity is the same, whatever the base of the logarithms, if the base is named."""
    p, mask = np.array([[0.1, 0.5, 0.25]]), np.ones((1, 3), dtype=bool)
    for logprobs, base in ((np.log(p), "e"), (np.log2(p), 2), (np.log10(p), 10)):
        assert float(student.perplexity(logprobs, mask, base=base)) == pytest.approx(80 ** (1 / 3)), f"base {base}"


@pytest.mark.exercise("perplexity")
def test_perplexity_of_nothing(student):
    """Without a single token there is no perplexity: ValueError."""
    with pytest.raises(Exception, match="ValueError"):
        student.perplexity(np.zeros((2, 3)), np.zeros((2, 3), dtype=bool))
