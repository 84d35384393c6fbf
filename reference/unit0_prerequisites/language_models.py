"""Reference of the page `language_models`: the corpus is kept and searched anew for every question."""

import math

import numpy as np


class NGramLM:
    """Keeps the padded sentences; a count is a walk through all of them."""

    def __init__(self, n: int, vocab_size: int, alpha: float = 0.0, *, bos: int, eos: int) -> None:
        self.n, self.vocab_size, self.alpha, self.bos, self.eos = n, vocab_size, alpha, bos, eos
        self.padded: list[list[int]] = []

    def fit(self, sentences: list[list[int]]) -> None:
        self.padded += [[self.bos] * (self.n - 1) + list(sentence) + [self.eos] for sentence in sentences]

    def prob(self, context: tuple[int, ...], w: int) -> float:
        past = list(context)
        while len(past) < self.n - 1:
            past.insert(0, self.bos)
        while len(past) > self.n - 1:
            past.pop(0)
        of_context = of_both = 0
        for sentence in self.padded:
            for start in range(len(sentence) - self.n + 1):
                if sentence[start : start + self.n - 1] == past:
                    of_context += 1
                    of_both += sentence[start + self.n - 1] == w
        if of_context == 0 and self.alpha == 0:
            return 0.0
        return (of_both + self.alpha) / (of_context + self.alpha * self.vocab_size)

    def logprob(self, tokens: list[int]) -> np.ndarray:
        result = []
        for t in range(len(tokens) + 1):
            p = self.prob(tuple(tokens[:t]), tokens[t] if t < len(tokens) else self.eos)
            result.append(math.log(p) if p > 0 else -math.inf)
        return np.array(result)


def perplexity(token_logprobs: np.ndarray, mask: np.ndarray, base: float | str = "e") -> float:
    """The surprises of the tokens one after the other, in nats."""
    nats_per_unit = 1.0 if base == "e" else math.log(base)
    surprises = []
    for b in range(mask.shape[0]):
        for t in range(mask.shape[1]):
            if mask[b, t]:
                surprises.append(-float(token_logprobs[b, t]) * nats_per_unit)
    if not surprises:
        raise ValueError("no token counts")
    return math.exp(math.fsum(surprises) / len(surprises))
