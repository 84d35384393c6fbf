"""Two flat counters, of n-grams and of contexts; logprob slides over the padded sentence."""

import math
from collections import Counter

import numpy as np


class NGramLM:
    def __init__(self, n, vocab_size, alpha=0.0, *, bos, eos):
        self.n, self.V, self.alpha, self.bos, self.eos = n, vocab_size, alpha, bos, eos
        self.grams, self.pasts = Counter(), Counter()

    def _pad(self, sentence):
        return (self.bos,) * (self.n - 1) + tuple(sentence) + (self.eos,)

    def fit(self, sentences):
        for sentence in sentences:
            padded = self._pad(sentence)
            for gram in zip(*(padded[i:] for i in range(self.n)), strict=False):
                self.grams[gram] += 1
                self.pasts[gram[:-1]] += 1

    def prob(self, context, w):
        past = list(context)[-(self.n - 1) :] if self.n > 1 else []
        past = tuple([self.bos] * (self.n - 1 - len(past)) + past)
        below = self.pasts[past] + self.alpha * self.V
        return 0.0 if below == 0 else (self.grams[(*past, w)] + self.alpha) / below

    def logprob(self, tokens):
        padded = self._pad(tokens)
        values = []
        for i in range(self.n - 1, len(padded)):
            p = self.prob(padded[i - self.n + 1 : i], padded[i])
            values.append(math.log(p) if p > 0 else float("-inf"))
        return np.array(values)
