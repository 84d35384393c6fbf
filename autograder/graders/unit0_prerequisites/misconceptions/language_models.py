"""Known wrong answers to the page `language_models`."""

import numpy as np

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- ngram_lm


@misconception("ngram_lm", symbol="NGramLM")
class cross_sentence(correct.NGramLM):
    """The sentences were counted as one long text, so that the first word of one follows the end of another.

    Nobody said these pairs. Every sentence begins anew, after its own n − 1 bos.
    """

    def fit(self, sentences):
        stream = [self.bos] * (self.n - 1)
        for sentence in sentences:
            stream += [*sentence, self.eos]
        for end in range(self.n - 1, len(stream)):
            self.counts[tuple(stream[end - self.n + 1 : end])][stream[end]] += 1


@misconception("ngram_lm", symbol="NGramLM")
class one_bos_only(correct.NGramLM):
    """There is only one bos before each sentence. For n > 2 the first word has then no full context.

    With n = 3 the first word is predicted from (bos, bos), the second from (bos, word): n − 1 copies are needed.
    Otherwise the first n − 2 words of every sentence are never counted.
    """

    def fit(self, sentences):
        for sentence in sentences:
            padded = [self.bos] * min(1, self.n - 1) + [*sentence, self.eos]
            for end in range(self.n - 1, len(padded)):
                self.counts[tuple(padded[end - self.n + 1 : end])][padded[end]] += 1


@misconception("ngram_lm", symbol="NGramLM")
class alpha_denominator(correct.NGramLM):
    """The denominator grew by alpha only. But each of the V tokens got alpha, so V times as much was handed out.

    Sum the probabilities over the vocabulary: they must give 1.
    """

    def prob(self, context, w):
        lm = correct.NGramLM(self.n, 1, self.alpha, bos=self.bos, eos=self.eos)
        lm.counts = self.counts
        return lm.prob(context, w)


@misconception("ngram_lm", symbol="NGramLM")
class types_not_vocab(correct.NGramLM):
    """V was taken to be the number of different tokens that occurred. It is the size of the vocabulary.

    Tokens that never occurred get their alpha as well; otherwise the probabilities sum to more than 1.
    """

    def prob(self, context, w):
        seen = {token for counter in self.counts.values() for token in counter}
        lm = correct.NGramLM(self.n, len(seen), self.alpha, bos=self.bos, eos=self.eos)
        lm.counts = self.counts
        return lm.prob(context, w)


@misconception("ngram_lm", symbol="NGramLM")
class context_right_trunc(correct.NGramLM):
    """A context that is too long was cut at the wrong end: the oldest tokens were kept.

    What comes next depends on the tokens just before it, the last n − 1.
    """

    def prob(self, context, w):
        return super().prob(tuple(context)[: self.n - 1], w)


@misconception("ngram_lm", symbol="NGramLM")
class eos_dropped(correct.NGramLM):
    """The end of the sentence is never predicted.

    Then no sentence can stop, and long ones are as probable as short ones. eos is counted like any other token, and
    logprob has one entry more than there are words.
    """

    def fit(self, sentences):
        for sentence in sentences:
            padded = [self.bos] * (self.n - 1) + list(sentence)
            for end in range(self.n - 1, len(padded)):
                self.counts[tuple(padded[end - self.n + 1 : end])][padded[end]] += 1

    def logprob(self, tokens):
        return super().logprob(tokens)[:-1]


@misconception("ngram_lm", symbol="NGramLM")
class short_context_not_filled(correct.NGramLM):
    """A context shorter than n − 1 was looked up as it is, and never found.

    The sentence has then only just begun: bos stands before it, as often as tokens are missing. P(w | ()) is the
    probability that a sentence begins with w.
    """

    def prob(self, context, w):
        if len(context) >= self.n - 1:
            return super().prob(context, w)
        return 1 / self.vocab_size if self.alpha else 0.0

    def logprob(self, tokens):
        return super().logprob(tokens) if self.n == 1 else _logprob(correct.NGramLM.prob, self, tokens)


@misconception("ngram_lm", symbol="NGramLM")
class fit_forgets(correct.NGramLM):
    """A second call of fit begins anew, and what was counted before is lost.

    The table belongs to the constructor; fit adds to it.
    """

    def fit(self, sentences):
        self.counts.clear()
        super().fit(sentences)


@misconception("ngram_lm", symbol="NGramLM")
class new_context_is_impossible(correct.NGramLM):
    """After a context that was never seen every token gets 0, in spite of alpha.

    Each of the V tokens was given alpha there as well: (0 + alpha) / (0 + alpha V) = 1 / V. Only without smoothing is
    the answer 0.
    """

    def prob(self, context, w):
        if sum(correct.NGramLM.prob(_unsmoothed(self), context, token) for token in range(self.vocab_size)) == 0:
            return 0.0
        return super().prob(context, w)


@misconception("ngram_lm", symbol="NGramLM")
class minus_zero_slice(correct.NGramLM):
    """With n = 1 the context was cut by `[-0:]`, which is all of it, and so it was never found.

    With n = 1 nothing comes before: the context is () whatever was passed.
    """

    def prob(self, context, w):
        if self.n == 1 and len(context):
            return 1 / self.vocab_size if self.alpha else 0.0
        return super().prob(context, w)


def _unsmoothed(lm):
    """The same counts without smoothing."""
    plain = correct.NGramLM(lm.n, lm.vocab_size, bos=lm.bos, eos=lm.eos)
    plain.counts = lm.counts
    return plain


def _logprob(prob, lm, tokens):
    """The logarithms that `prob` gives, each context written out with its bos."""
    line = [lm.bos] * (lm.n - 1) + [*tokens, lm.eos]
    with np.errstate(divide="ignore"):
        return np.log([prob(lm, tuple(line[end - lm.n + 1 : end]), line[end]) for end in range(lm.n - 1, len(line))])


# ---------------------------------------------------------------- perplexity


def _surprise(token_logprobs, mask):
    """The mean surprise. Raises ValueError where there is none."""
    if not mask.any():
        raise ValueError("no token counts")
    return -token_logprobs[mask].mean()


def _base(base):
    return np.e if base == "e" else float(base)


@misconception("perplexity", symbol="perplexity")
def base_mismatch(token_logprobs, mask, base="e"):
    """The logarithms have one base and the power another: 2 to the power of natural logarithms, or the like.

    The power must undo the logarithm. 2^bits, e^nats, 10^(decimal logarithms).
    """
    return float(2.0 ** _surprise(token_logprobs, mask))


@misconception("perplexity", symbol="perplexity")
def mean_of_sentence_ppl(token_logprobs, mask, base="e"):
    """This is the mean of the sentences' perplexities. Short sentences then weigh as much as long ones.

    One mean, over all tokens of all sentences together, and one exponential at the very end.
    """
    _surprise(token_logprobs, mask)
    rows = [_base(base) ** _surprise(row, kept) for row, kept in zip(token_logprobs, mask, strict=True) if kept.any()]
    return float(np.mean(rows))


@misconception("perplexity", symbol="perplexity")
def pads_counted(token_logprobs, mask, base="e"):
    """The sum was divided by all entries of the rectangle, padding included, which makes the model look better.

    Divide by the number of tokens that count.
    """
    return float(_base(base) ** (_surprise(token_logprobs, mask) * mask.sum() / mask.size))


@misconception("perplexity", symbol="perplexity")
def mean_inverse_prob(token_logprobs, mask, base="e"):
    """This is the arithmetic mean of 1/p. It is ruled by the few worst tokens.

    Perplexity is the geometric mean: average the logarithms, and take the exponential of the average.
    """
    _surprise(token_logprobs, mask)
    return float((_base(base) ** -token_logprobs[mask]).mean())


@misconception("perplexity", symbol="perplexity")
def sum_not_mean(token_logprobs, mask, base="e"):
    """This is the exponential of the sum of all surprises, one over the probability of the whole text.

    It grows with every token. Perplexity is per token: take the mean first.
    """
    return float(_base(base) ** (_surprise(token_logprobs, mask) * mask.sum()))


@misconception("perplexity", symbol="perplexity")
def base_unused(token_logprobs, mask, base="e"):
    """The argument base was not used: the power is always that of e.

    If the logarithms are binary ones, only 2 to the power of their mean undoes them.
    """
    return float(np.exp(_surprise(token_logprobs, mask)))


@misconception("perplexity", symbol="perplexity")
def mean_of_sentence_means(token_logprobs, mask, base="e"):
    """The surprise was averaged within each sentence, and then over the sentences: short ones weigh as much as long.

    One mean, over all tokens of all sentences together.
    """
    _surprise(token_logprobs, mask)
    means = [_surprise(row, kept) for row, kept in zip(token_logprobs, mask, strict=True) if kept.any()]
    return float(_base(base) ** np.mean(means))


@misconception("perplexity", symbol="perplexity")
def padding_times_zero(token_logprobs, mask, base="e"):
    """The padding was multiplied by 0, and 0 · inf is NaN, as is 0 · NaN.

    What stands in the padding must not enter the computation at all: choose the tokens that count first.
    """
    _surprise(token_logprobs, mask)
    with np.errstate(invalid="ignore"):
        return float(_base(base) ** (-(token_logprobs * mask).sum() / mask.sum()))


@misconception("perplexity", symbol="perplexity")
def product_of_probabilities(token_logprobs, mask, base="e"):
    """The probabilities themselves were multiplied. For a long text the product is rounded to 0, and its root is lost.

    Stay with the logarithms, where the product is a sum, until their mean is taken.
    """
    surprise = _surprise(token_logprobs, mask)
    with np.errstate(divide="ignore"):
        product = np.prod(_base(base) ** token_logprobs[mask].astype(np.float64))
        return float(np.float64(product) ** (-1 / mask.sum())) if surprise < np.inf else float("inf")
