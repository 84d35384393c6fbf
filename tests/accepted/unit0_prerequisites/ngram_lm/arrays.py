"""A vector of counts over the vocabulary for each context; fit returns the model, as scikit-learn does."""

import numpy as np


class NGramLM:
    def __init__(self, n, vocab_size, alpha=0.0, *, bos, eos):
        self.order, self.size, self.extra = n - 1, vocab_size, alpha
        self.bos, self.eos = bos, eos
        self.rows = {}

    def fit(self, sentences):
        for sentence in sentences:
            past = [self.bos] * self.order
            for token in [*list(sentence), self.eos]:
                self.rows.setdefault(tuple(past), np.zeros(self.size))[token] += 1
                past = ([*past, token])[len(past) + 1 - self.order :]
        return self

    def _distribution(self, context):
        past = [self.bos] * self.order + list(context)
        row = self.rows.get(tuple(past[len(past) - self.order :]), np.zeros(self.size)) + self.extra
        return row / row.sum() if row.sum() else row

    def prob(self, context, w):
        return self._distribution(context)[w]

    def logprob(self, tokens):
        tokens = [*list(tokens), self.eos]
        with np.errstate(divide="ignore"):
            return np.log([self._distribution(tokens[:t])[tokens[t]] for t in range(len(tokens))])
