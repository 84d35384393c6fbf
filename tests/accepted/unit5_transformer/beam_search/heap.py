"""A small class for hypotheses; heapq.nlargest; one call per hypothesis."""

import heapq
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Hypothesis:
    symbols: tuple
    logprobs: tuple
    alpha: float
    eos: int

    @property
    def ended(self):
        return bool(self.symbols) and self.symbols[-1] == self.eos

    @property
    def score(self):
        return sum(self.logprobs) / len(self.symbols) ** self.alpha

    def children(self, logprob_fn, bos):
        if self.ended:
            return [self]
        row = logprob_fn(torch.tensor([(bos, *self.symbols)]))[0]
        logprobs = enumerate(row.tolist())
        return [Hypothesis((*self.symbols, s), (*self.logprobs, x), self.alpha, self.eos) for s, x in logprobs]


def beam_search(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    hypotheses = [Hypothesis((), (), alpha, eos)]
    for _ in range(max_len):
        candidates = [child for h in hypotheses for child in h.children(logprob_fn, bos)]
        hypotheses = heapq.nlargest(beam, candidates, key=lambda h: h.score)
    return [(list(h.symbols), h.score) for h in hypotheses]
