"""Reference of the page `generation`: one row at a time; the beam as a dictionary, rated one prefix at a time."""

import torch
from torch import Tensor, nn


def greedy_decode(model: nn.Module, src: Tensor, src_pad: int, bos: int, eos: int, max_len: int) -> Tensor:
    """Each source by itself."""
    mode = model.training
    model.train(False)
    rows = []
    for source in src:
        written = [bos]
        while len(written) <= max_len and (len(written) == 1 or written[-1] != eos):
            with torch.no_grad():
                logits = model(source[None], torch.tensor([written]))[0, len(written) - 1].tolist()
            written.append(logits.index(max(logits)))
        rows.append(written[1:])
    model.train(mode)
    longest = max(map(len, rows))
    return torch.tensor([row + [src_pad] * (longest - len(row)) for row in rows])


def beam_search(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The beam is a dictionary from tuples of symbols to the log-probabilities along them."""
    kept: dict[tuple[int, ...], list[float]] = {(): []}
    for _ in range(max_len):
        grown: dict[tuple[int, ...], list[float]] = {}
        for symbols, logprobs in kept.items():
            if symbols[-1:] == (eos,):
                grown[symbols] = logprobs
                continue
            following = logprob_fn(torch.tensor([[bos, *symbols]]))[0]
            for symbol in range(len(following)):
                grown[(*symbols, symbol)] = [*logprobs, float(following[symbol])]
        ranked = sorted(grown, key=lambda symbols: -_score(grown[symbols], alpha))
        kept = {symbols: grown[symbols] for symbols in ranked[:beam]}
    return [(list(symbols), _score(logprobs, alpha)) for symbols, logprobs in kept.items()]


def _score(logprobs: list[float], alpha: float) -> float:
    return sum(logprobs) * len(logprobs) ** -alpha
