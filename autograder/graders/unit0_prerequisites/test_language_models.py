"""Hidden grader of the page `language_models`."""

import math

import numpy as np
import pytest

from autograder.grading import close, raises
from autograder.grading.compare import Disagreement

# ---------------------------------------------------------------- ngram_lm

ngram_lm = pytest.mark.exercise("ngram_lm")

# Ids 0..4 are words of the corpora, 5 never occurs, so that the vocabulary is larger than what was seen.
WORDS, UNSEEN, EOS, BOS, V = 5, 5, 6, 7, 8


def corpus(draw, *lengths):
    """Sentences of words. Their first words differ from each other, and so do their last ones."""
    sentences = [draw.integers(0, WORDS, length).tolist() for length in lengths]
    first, last = draw.permutation(WORDS).tolist(), draw.permutation(WORDS).tolist()
    for number, sentence in enumerate(sentences):
        if sentence:
            sentence[0], sentence[-1] = first[number % WORDS], last[number % WORDS]
    return sentences


def models(student, reference, n, sentences, alpha=0.0, bos=BOS):
    """The student's model and the reference's, fitted to the same sentences."""
    options = {"alpha": alpha, "bos": bos, "eos": EOS}
    ours, right = student.NGramLM(n, V, **options), reference.NGramLM(n, V, **options)
    ours.fit(sentences)
    right.fit(sentences)
    return ours, right


def same_probs(ours, right, contexts, words=(0, 1, 2, 3, 4, EOS)):
    """P(w | context) is right for every context and word. All are asked for first, so that one cause explains all."""
    answers = {(w, context): ours.prob(context, w) for context in contexts for w in words}
    for (w, context), answer in answers.items():
        close(answer, right.prob(context, w), what=f"P({w} | {context})")


@ngram_lm
@pytest.mark.weight(2)
def test_words_after_words(student, reference, draw):
    """P(w | c) is the count of c w over the count of c, for pairs within a sentence."""
    ours, right = models(student, reference, 2, corpus(draw, 11, 7, 5))
    same_probs(ours, right, [(w,) for w in range(WORDS)])


@ngram_lm
@pytest.mark.weight(2)
def test_first_words(student, reference, draw):
    """Every sentence begins after bos, n − 1 times: nothing is counted across sentences."""
    sentences = corpus(draw, 5, 3, 7, 2)
    ours, right = models(student, reference, 2, sentences)
    same_probs(ours, right, [(BOS,), ()])
    ours, right = models(student, reference, 3, sentences)
    same_probs(ours, right, [(), (sentences[0][0],), (BOS, sentences[1][0]), (BOS, BOS)])


@ngram_lm
@pytest.mark.weight(2)
def test_ends(student, reference, draw):
    """The end of a sentence is predicted like any token, and what was never seen has probability 0."""
    ours, right = models(student, reference, 2, corpus(draw, 5, 3, 7))
    same_probs(ours, right, [(w,) for w in range(WORDS)], words=(EOS, UNSEEN))


@ngram_lm
@pytest.mark.weight(2)
def test_smoothing(student, reference, draw):
    """Each of the V tokens gets alpha more, those that never occurred too: the probabilities sum to 1 everywhere."""
    for n, alpha in ((2, 1.0), (3, 0.25)):
        sentences = corpus(draw, 7, 5, 3)
        ours, right = models(student, reference, n, sentences, alpha)
        seen, never = tuple(sentences[0][1 - n :]), (UNSEEN,) * (n - 1)
        for context in (seen, never):
            same_probs(ours, right, [context], words=range(V))


@ngram_lm
@pytest.mark.weight(2)
def test_long_contexts(student, reference, draw):
    """Of a context that is too long the last n − 1 tokens count."""
    for n in (2, 3):
        sentences = corpus(draw, 11, 5)
        ours, right = models(student, reference, n, sentences, alpha=0.1)
        last = sentences[0][1 - n :]
        same_probs(ours, right, [(UNSEEN, *last), (*last, 2, UNSEEN, *last), tuple(sentences[0])])


@ngram_lm
def test_unigrams(student, reference, draw):
    """With n = 1 the context plays no part and there is no bos."""
    for alpha in (0.0, 0.5):
        ours, right = models(student, reference, 1, corpus(draw, 7, 3), alpha)
        same_probs(ours, right, [(), (1, 2)], words=range(V))
    close(ours.logprob([0, 1]), right.logprob([0, 1]))


@ngram_lm
def test_unseen_context(student, reference, draw):
    """Without smoothing every token has probability 0 after a context that was never seen."""
    ours, right = models(student, reference, 3, corpus(draw, 5, 3))
    same_probs(ours, right, [(UNSEEN, UNSEEN), (0, UNSEEN), (EOS, BOS)])


@ngram_lm
def test_short_sentences(student, reference, draw):
    """Sentences shorter than n count, empty ones too: of them only the end."""
    sentences = [*corpus(draw, 1, 2, 1), [], []]
    ours, right = models(student, reference, 4, sentences)
    same_probs(ours, right, [(), (sentences[0][0],), tuple(sentences[1])])


@ngram_lm
@pytest.mark.weight(3)
def test_logprob(student, reference, draw):
    """logprob gives T + 1 natural logarithms: of each token after those before it, and of the end."""
    for n, alpha in ((2, 0.3), (3, 0.1), (4, 1.0)):
        ours, right = models(student, reference, n, corpus(draw, 7, 5, 3), alpha)
        for sentence in (*corpus(draw, 5, 2), []):
            close(ours.logprob(sentence), right.logprob(sentence))


@ngram_lm
def test_logprob_of_the_impossible(student, reference, draw):
    """Without smoothing a token that was never seen there has logarithm −inf, not NaN and not an error."""
    sentences = corpus(draw, 7, 5, 3)
    ours, right = models(student, reference, 3, sentences)
    close(ours.logprob(sentences[0]), right.logprob(sentences[0]))
    close(ours.logprob([*sentences[1][:2], UNSEEN, 0]), right.logprob([*sentences[1][:2], UNSEEN, 0]))


@ngram_lm
@pytest.mark.names("fit_forgets")  # whoever glues sentences together has failed the tests before
def test_fit_twice(student, reference, draw):
    """A second fit adds to the counts of the first."""
    ours, right = models(student, reference, 2, corpus(draw, 5, 3))
    more = corpus(draw, 7)
    ours.fit(more)
    right.fit(more)
    same_probs(ours, right, [(BOS,), *((w,) for w in range(WORDS))])


@ngram_lm
def test_two_models(student, reference, draw):
    """Two models do not share their counts."""
    first, right = models(student, reference, 2, corpus(draw, 5, 3))
    models(student, reference, 2, corpus(draw, 7))
    same_probs(first, right, [(BOS,)])


@ngram_lm
def test_bos_outside_the_vocabulary(student, reference, draw):
    """bos may lie outside 0..V−1; over the vocabulary the probabilities sum to 1 all the same."""
    ours, right = models(student, reference, 3, corpus(draw, 5, 3), alpha=0.5, bos=-1)
    same_probs(ours, right, [(), (-1, -1)], words=range(V))


@ngram_lm
def test_fit_leaves_sentences_alone(student, reference, draw):
    """The sentences are as they were after fit: bos and eos are added to a copy."""
    sentences = corpus(draw, 5, 3, 7)
    lm, right = student.NGramLM(2, V, bos=BOS, eos=EOS), reference.NGramLM(2, V, bos=BOS, eos=EOS)
    close(student.call(lm.fit, sentences).echo[0][0], sentences, what="the list of sentences after fit")
    right.fit(sentences)
    same_probs(lm, right, [()])


@ngram_lm
def test_picture(student, reference, draw):
    """The picture's curves are the perplexities of models with n = 1 to 6, on seen and on unseen sentences."""
    if not student.has("figure_data"):
        return
    seen, unseen = corpus(draw, 7, 5, 3), corpus(draw, 5, 2)
    curves = np.empty((2, 6))
    for n in range(1, 7):
        lm = reference.NGramLM(n, V, 0.01, bos=BOS, eos=EOS)
        lm.fit(seen)
        for row, sentences in enumerate((seen, unseen)):
            logprobs = np.concatenate([lm.logprob(sentence) for sentence in sentences])
            curves[row, n - 1] = math.exp(-logprobs.mean())
    shown = student.figure_data(seen, unseen, V, BOS, EOS, measure=reference.perplexity)
    close(shown, curves, what="the array of the picture")


# ---------------------------------------------------------------- perplexity

perplexity = pytest.mark.exercise("perplexity")


def text(draw, *lengths):
    """Log-probabilities (B, T) of sentences of these lengths, and the mask of their tokens."""
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return -abs(draw.array(*mask.shape)) - 0.3, mask


def same_perplexity(student, reference, logprobs, mask, **options):
    close(student.perplexity(logprobs, mask, **options), reference.perplexity(logprobs, mask, **options))


@perplexity
@pytest.mark.weight(2)
def test_perplexity_of_one_sentence(student, reference, draw):
    """For a sentence without padding it is the exponential of the mean surprise; a single token is enough."""
    for length in (7, 1, 3):
        same_perplexity(student, reference, *text(draw, length))


@perplexity
@pytest.mark.weight(3)
def test_perplexity_of_many_sentences(student, reference, draw):
    """The mean is over all tokens of all sentences together, and over nothing else."""
    for lengths in ((2, 7, 5), (11, 1), (3, 3), (0, 5)):
        same_perplexity(student, reference, *text(draw, *lengths))
    logprobs, _ = text(draw, 7, 7, 7)
    same_perplexity(student, reference, logprobs, draw.mask(3, 7).numpy())


@perplexity
def test_perplexity_of_ignorance(student, draw):
    """A model that gives each of V tokens the probability 1/V has perplexity V."""
    _, mask = text(draw, 5, 2, 7)
    for vocab in (29, 2, 50257):
        close(student.perplexity(np.full(mask.shape, -math.log(vocab)), mask), float(vocab))


@perplexity
@pytest.mark.weight(2)
def test_perplexity_of_padding(student, reference, draw):
    """What the padding holds has no effect, be it 1e30, −inf or NaN."""
    logprobs, mask = text(draw, 3, 7, 5)
    expected = reference.perplexity(logprobs, mask)
    for junk in (0.0, -1e30, 1e30, -np.inf, np.nan):
        close(student.perplexity(np.where(mask, logprobs, junk), mask), expected)


@perplexity
@pytest.mark.weight(2)
def test_perplexity_bases(student, reference, draw):
    """Logarithms of another base give the same perplexity, if the base is named."""
    logprobs, mask = text(draw, 3, 5)
    expected = reference.perplexity(logprobs, mask)
    for base in ("e", 2, 10, 2.5):
        unit = 1.0 if base == "e" else math.log(base)
        close(student.perplexity(logprobs / unit, mask, base=base), expected, what=f"the perplexity for base {base}")


@perplexity
def test_perplexity_of_nothing(student, draw):
    """If no token counts there is no perplexity: ValueError."""
    logprobs, mask = text(draw, 3, 5)
    if not math.isfinite(student.perplexity(logprobs, mask)):
        raise Disagreement("the perplexity of ordinary tokens is not finite")
    raises(ValueError, student.perplexity, logprobs, np.zeros_like(mask))


@perplexity
@pytest.mark.names("product_of_probabilities")  # the sum instead of the mean has failed the tests before
def test_perplexity_of_long_texts(student, reference, draw):
    """Thousands of tokens neither overflow nor vanish; a probability of 0 makes it infinite."""
    logprobs, mask = text(draw, 2000, 1500)
    same_perplexity(student, reference, 10 * logprobs, mask)
    logprobs[0, 3] = -np.inf
    close(student.perplexity(logprobs, mask), math.inf)


@perplexity
def test_perplexity_of_float32(student, reference, draw):
    """float32 log-probabilities are fine."""
    logprobs, mask = text(draw, 5, 3)
    logprobs = logprobs.astype(np.float32)
    close(student.perplexity(logprobs, mask), reference.perplexity(logprobs, mask), rtol=1e-5)


@perplexity
def test_perplexity_leaves_arguments_alone(student, reference, draw):
    """Log-probabilities and mask are as they were after the call."""
    logprobs, mask = text(draw, 5, 3)
    called = student.call(student.perplexity, logprobs, mask)
    close(called.value, reference.perplexity(logprobs, mask))
    close(called.echo[0], (logprobs, mask), rtol=0, atol=0, what="the pair of arguments")
