"""Hidden grader of the page `generation`."""

import itertools

import pytest
import torch
from torch import nn

from autograder.grading import agree, close, quiet_rng
from autograder.grading.compare import Disagreement, describe
from autograder.sandbox.callbacks import SeenModule

# ---------------------------------------------------------------- greedy_decode

greedy_decode = pytest.mark.exercise("greedy_decode")

PAD, BOS, EOS, VOCAB = 0, 1, 2, 11


class Speaker(nn.Module):
    """What it says at the last place is a random function of the source and of everything it is shown.

    At each earlier place it says something else, at random too: what is said there is of no use. In train mode it says
    something else again. EOS gets likelier from step to step, sooner or later by the first symbol of the source, and
    once it is written it is not said again.
    """

    def __init__(self, seed, dtype=torch.float64, eos=EOS):
        super().__init__()
        self.seed, self.dtype, self.eos = seed, dtype, eos
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, src, inp):
        rows = [self.row(s.tolist(), i.tolist()) for s, i in zip(src, inp, strict=True)]
        return torch.stack(rows).to(self.dtype)

    def row(self, source, written):
        seed = self.seed
        for symbol in (*source, -1, *written, int(self.training)):
            seed = (seed * 6364136223846793005 + symbol + 1442695040888963407) % 2**63
        logits = torch.randn(len(written), VOCAB, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        logits[:, self.eos] += -50.0 if self.eos in written else 1.5 * len(written) - source[0]
        return logits


def sources(draw, last=8):
    """Sources whose first symbols are 3, 5 and 8, so that the rows end at different times; in some order."""
    src = draw.integers(3, VOCAB, 3, 4)
    src[:, 0] = torch.tensor([3, 5, last])[draw.permutation(3)]
    src[1, 3] = PAD
    return src


def ragged(reference, draw, max_len, pad=PAD, bos=BOS, eos=EOS, dtype=torch.float64):
    """A model, sources, and the right answer.

    The rows end at different times, the first of them at its third symbol and the last at least two later,
    and before max_len; nobody says pad before the end. So what is wrong with the ends is wrong for every seed.
    """
    while True:
        model, src = Speaker(draw.seed(), dtype, eos).eval(), sources(draw)
        expected = reference.greedy_decode(model, src, pad, bos, eos, max_len)
        lengths = (expected == eos).double().argmax(dim=1) + 1
        written = torch.arange(expected.shape[1]) < lengths[:, None]
        well = (expected == eos).any(dim=1).all() and not (expected == pad)[written].any()
        if well and lengths.min() == 3 and 5 <= lengths.max() < max_len:
            return model, src, expected


@greedy_decode
def test_source_is_left_alone(student, reference, draw):
    """src is as it was after the call."""
    model, src, expected = ragged(reference, draw, 9)
    called = student.call(student.greedy_decode, model, src, PAD, BOS, EOS, 9)
    close(called.value, expected)
    close(called.echo[0][1], src, tolerance=(0, 0), what="src after the call")


@greedy_decode
@pytest.mark.weight(3)
def test_one_row(student, reference, draw):
    """Each symbol is the likeliest one after what has been written, at the last place of the logits."""
    for _ in range(3):
        model, src, _ = ragged(reference, draw, 9)
        row = src[int(draw.integers(0, 3))][None]
        expected = reference.greedy_decode(model, row, PAD, BOS, EOS, 9)
        close(student.greedy_decode(model, row, PAD, BOS, EOS, 9), expected)


@greedy_decode
@pytest.mark.weight(3)
def test_rows_end_by_themselves(student, reference, draw):
    """Each row ends at its own EOS and is padded behind it; the result is as wide as the longest row."""
    for _ in range(3):
        model, src, expected = ragged(reference, draw, 13)
        close(student.greedy_decode(model, src, PAD, BOS, EOS, 13), expected)


@greedy_decode
def test_ended_for_good(student):
    """A row that has ended stays ended, whatever the model says about it later; and only EOS ends it, not pad."""
    said = torch.tensor([[EOS, 5, 6, 7, 5], [7, 7, 5, 7, EOS], [6, PAD, 5, EOS, 6]])

    class Talkative(nn.Module):
        def forward(self, src, inp):
            rows = said[src[:, 0] - 3, : inp.shape[1]]  # a source's first symbol is 3, 4 or 5
            return nn.functional.one_hot(rows, VOCAB).double()

    expected = torch.tensor([[EOS, PAD, PAD, PAD, PAD], [7, 7, 5, 7, EOS], [6, PAD, 5, EOS, PAD]])
    close(student.greedy_decode(Talkative().eval(), torch.tensor([[3], [4], [5]]), PAD, BOS, EOS, 5), expected)


@greedy_decode
def test_max_len(student, reference, draw):
    """After max_len symbols writing stops, EOS or not; one symbol is an ordinary case."""
    for max_len in (1, 2, 3):
        model, src, _ = ragged(reference, draw, 9)
        expected = reference.greedy_decode(model, src, PAD, BOS, EOS, max_len)
        close(student.greedy_decode(model, src, PAD, BOS, EOS, max_len), expected)


@greedy_decode
def test_other_symbols(student, reference, draw):
    """pad, BOS and EOS have the numbers that they are given; BOS and pad may be one."""
    for pad, bos, eos in ((9, 4, 2), (10, 10, 2), (7, 0, 5)):
        model, src, expected = ragged(reference, draw, 9, pad, bos, eos)
        close(student.greedy_decode(model, src, pad, bos, eos, 9), expected)


def form(answer, rows):
    """The answer, which must be int64 (rows, L)."""
    if not isinstance(answer, torch.Tensor) or answer.dtype != torch.int64 or answer.ndim != 2 or len(answer) != rows:
        raise Disagreement(f"the answer is {describe(answer)}, expected an int64 tensor (B, L) with B = {rows}")
    return answer


@greedy_decode
def test_batch_and_single(student, reference, draw):
    """A batch gives each row what it gets by itself."""
    model, src, _ = ragged(reference, draw, 9)
    together = form(student.greedy_decode(model, src, PAD, BOS, EOS, 9), 3)
    for row, alone in enumerate(src):
        answer = form(student.greedy_decode(model, alone[None], PAD, BOS, EOS, 9), 1)
        close(answer[0], together[row, : answer.shape[-1]], what=f"row {row} by itself")
        rest = together[row, answer.shape[-1] :]
        close(rest, torch.full_like(rest, PAD), what=f"what follows row {row}")


@greedy_decode
def test_ties(student):
    """Of equally likely symbols the one with the lowest number is taken."""

    class Undecided(nn.Module):
        def forward(self, src, inp):
            logits = torch.zeros(*inp.shape, 7)
            logits[:, :, (3, 5, 6) if inp.shape[1] == 1 else (4, 6)] = 1.5
            return logits

    close(student.greedy_decode(Undecided().eval(), torch.tensor([[3]]), 0, 1, 2, 3), torch.tensor([[3, 4, 4]]))


@greedy_decode
@pytest.mark.weight(3)
def test_mode(student, reference, draw):
    """The model decodes in eval mode and comes back in the mode and with the parameters that it came with."""
    for training in (True, False):
        model, src, expected = ragged(reference, draw, 9)
        model.train(training)
        called = student.call(student.greedy_decode, model, src, PAD, BOS, EOS, 9)
        close(called.value, expected)
        seen = called.echo[0][0]
        if not isinstance(seen, SeenModule) or seen.training != training:
            raise Disagreement(f"a model in {'train' if training else 'eval'} mode came back in the other mode")
        close(seen.parameters, {"weight": torch.ones(1)}, tolerance=(0, 0), what="the model's parameters")


@greedy_decode
def test_not_asked_again(student):
    """When every row has its eos, the model is not asked again."""

    class Noting(nn.Module):
        def forward(self, src, inp):
            """The same at every place: row 0 ends after two symbols, and row 1 after four."""
            shown.append(inp.shape[1])
            said = torch.where(inp.shape[1] == src[:, 0], EOS, 5)
            return nn.functional.one_hot(said, VOCAB)[:, None].expand(-1, inp.shape[1], -1).double()

    shown = []
    form(student.greedy_decode(Noting().eval(), torch.tensor([[2, 7], [4, 7]]), PAD, BOS, EOS, 13), 2)
    if max(shown, default=0) > 4:
        raise Disagreement(f"all rows have their eos after 4 symbols; the model was asked about {max(shown)} symbols")


@greedy_decode
def test_dtypes_and_randomness(student, reference, draw):
    """Logits may be float32 or float16; the global random state stays as it is."""
    for dtype in (torch.float32, torch.float16):
        model, src, expected = ragged(reference, draw, 9, dtype=dtype)
        close(quiet_rng(student.greedy_decode, model, src, PAD, BOS, EOS, 9), expected)


# ---------------------------------------------------------------- beam_search

beam_search = pytest.mark.exercise("beam_search")


class Language:
    """A random language of V symbols in which what follows depends on the whole prefix. 0 is BOS, V - 1 is EOS."""

    def __init__(self, draw=None, V=5, level=0.0, spread=1.0, endings=0.0, seed=None):
        self.seed = draw.seed() if seed is None else seed
        self.V, self.level, self.spread, self.endings = V, level, spread, endings
        self._rated = {}

    def __call__(self, prefixes):
        return torch.stack([self.rate(tuple(row)) for row in prefixes.tolist()])

    def rate(self, prefix):
        if prefix not in self._rated:
            self._rated[prefix] = self._rate(prefix)
        return self._rated[prefix]

    def _rate(self, prefix):
        seed = self.seed
        for symbol in prefix:
            seed = (seed * 6364136223846793005 + symbol + 1442695040888963407) % 2**63
        noise = torch.randn(self.V, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        noise[-1] += self.endings / self.spread
        return (self.spread * noise).log_softmax(dim=0) + self.level


def listing(answer):
    """The answer as pairs of a list of int and a float."""
    if not isinstance(answer, list | tuple):
        raise Disagreement("the answer is no list")
    pairs = []
    for pair in answer:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Disagreement("the answer is no list of pairs (symbols, score)")
        symbols, score = (item.tolist() if hasattr(item, "tolist") else item for item in pair)
        if not isinstance(symbols, list | tuple) or not isinstance(score, float | int):
            raise Disagreement("a pair of the answer is not made of a list of symbols and a number")
        pairs.append((list(symbols), float(score)))
    return pairs


def same(student, reference, language, beam, max_len, **options):
    """The student's hypotheses and scores are the reference's, in this order. Returns them."""
    bos, eos = options.pop("bos", 0), options.pop("eos", language.V - 1)
    expected = reference.beam_search(language, bos, eos, beam, max_len, **options)
    found = listing(student.beam_search(language, bos, eos, beam, max_len, **options))
    if found and [symbols for symbols, _ in found] == [[bos, *symbols] for symbols, _ in expected]:
        raise Disagreement("the hypotheses begin with bos, which is not part of them")
    if len(found) != len(expected):
        raise Disagreement(f"{len(found)} hypotheses came back, expected {len(expected)}")
    for place, ((symbols, score), (wanted, right)) in enumerate(zip(found, expected, strict=True)):
        if symbols != wanted:
            raise Disagreement(f"hypothesis {place} of {len(found)} is {symbols}, which is not in this place")
        close(score, right, what=f"the score of hypothesis {place}")
    return found


@beam_search
@pytest.mark.weight(2)
def test_first_step(student, reference, draw):
    """The search begins with one empty hypothesis: after one step the beam holds different symbols, at most V."""
    for beam in (1, 3, 5, 7):
        same(student, reference, Language(draw), beam, 1)


@beam_search
@pytest.mark.weight(2)
def test_beam_of_one_is_greedy(student, reference, draw):
    """With a beam of 1 it is greedy decoding, for any alpha, to an end or until max_len."""
    for alpha, ends in ((0.0, False), (0.7, True)):
        while True:
            language = Language(draw, V=7, spread=2.0)
            ((symbols, _),) = reference.beam_search(language, 0, 6, 1, 6)
            if (symbols[-1] == 6) == ends and len(symbols) > 2 and len(symbols) < 6 + (not ends):
                break
        ((symbols, _),) = same(student, reference, language, 1, 6, alpha=alpha)
        for t, symbol in enumerate(symbols):
            if symbol != int(language.rate((0, *symbols[:t])).argmax()):
                raise Disagreement(f"symbol {t} is not the likeliest one after those before it")


@beam_search
@pytest.mark.weight(3)
def test_beams_without_an_end(student, reference, draw):
    """Of all extensions of all hypotheses the best survive, no matter whose they are (here nothing ever ends)."""
    for beam in (2, 3, 5):
        same(student, reference, Language(draw, endings=-300.0), beam, 5)


@beam_search
@pytest.mark.weight(3)
def test_ended_hypotheses_compete(student, reference, draw):
    """A hypothesis that has ended stays in the beam as it is while it is good enough, and is not extended."""
    # one in which each of the usual mistakes has an answer of its own: what fails here is told apart
    same(student, reference, Language(seed=9, endings=0.5), 4, 5)
    for beam in (2, 3, 5):
        for endings in (0.0, 1.0):
            same(student, reference, Language(draw, endings=endings), beam, 6)


@beam_search
@pytest.mark.weight(2)
def test_ended_are_not_asked_about(student, reference, draw):
    """The function is asked only about prefixes that begin with bos and have not ended, in int64.

    Whether these are the best hypotheses is for other tests; here each score is what the function said.
    """
    while True:
        language = Language(draw, endings=1.0)
        hypotheses = [symbols for symbols, _ in reference.beam_search(language, 0, 4, 3, 2)]
        one_ended = len({symbols[-1] == 4 for symbols in hypotheses}) == 2  # where another has not
        if one_ended and 4 not in language.rate((0,)).topk(3).indices:  # nobody stops after one symbol
            break

    def strict(prefixes):
        if prefixes.dtype != torch.int64 or prefixes.ndim != 2 or (prefixes[:, 0] != 0).any():
            raise ValueError("expected int64 prefixes (K, t) that begin with bos")
        if (prefixes == language.V - 1).any():
            raise ValueError("a prefix that has ended")
        return language(prefixes)

    found = listing(student.beam_search(strict, 0, 4, 3, 6))
    if not found or max(len(symbols) for symbols, _ in found) < 2:
        raise Disagreement("the search has ended after one symbol at most")
    for place, (symbols, score) in enumerate(found):
        if not all(isinstance(symbol, int) and 0 <= symbol < 5 for symbol in symbols):
            raise Disagreement(f"hypothesis {place} is {symbols}, which are not symbols of this language")
        said = sum(float(language.rate((0, *symbols[:t]))[symbol]) for t, symbol in enumerate(symbols))
        close(score, said, what=f"the score of hypothesis {place}")


@beam_search
@pytest.mark.weight(3)
def test_length_normalisation(student, reference, draw):
    """The score is the sum divided by n ** alpha, n counting EOS but not bos; it ranks the candidates of each step."""
    same(student, reference, Language(seed=1, endings=0.5), 5, 5, alpha=1.0)  # as above
    for alpha in (0.4, 1.0, 1.7):
        for beam in (2, 5):
            same(student, reference, Language(draw, endings=0.5), beam, 5, alpha=alpha)


@beam_search
@pytest.mark.weight(2)
def test_everything_in_the_beam(student, draw):
    """A beam that nothing falls out of finds the best of all sequences, with and without alpha."""
    for alpha, ends in ((0.0, False), (0.8, True)):
        language, best = hidden_best(draw, alpha, ends)
        symbols, score = listing(student.beam_search(language, 0, 3, 4**4, 4, alpha=alpha))[0]
        close(symbols, list(best[0]), what="the best hypothesis")
        close(score, best[1] / len(best[0]) ** alpha, what="its score")


def hidden_best(draw, alpha, ends):
    """A language whose best sequence of up to 4 symbols has 4, or ends before, and that sequence.

    Whoever begins with any symbol and goes on with the likeliest ones does not find it, and no shorter sequence that
    has ended was the best before it.
    """

    def score(pair):
        return pair[1] / len(pair[0]) ** alpha

    while True:
        language = Language(draw, V=4, endings=0.7 if ends else -0.5)
        best = max(everything(language, 4), key=score)
        early = [max(everything(language, n), key=score)[0] for n in (1, 2, 3)]
        misleading = any(symbols[-1] == 3 and symbols != best[0] for symbols in early)
        greedy = all(
            symbol == int(language.rate((0, *best[0][:t])).argmax()) for t, symbol in enumerate(best[0]) if t > 0
        )
        if not greedy and not misleading and (1 < len(best[0]) < 4 and best[0][-1] == 3 if ends else best[0][-1] != 3):
            return language, best


def everything(language, L):
    """Every sequence that ends with EOS within L symbols, or has L symbols without one, and its log-probability."""
    growing = [((), 0.0)]
    for n in range(1, L + 1):
        grown = [
            ((*symbols, symbol), total + logprob)
            for symbols, total in growing
            for symbol, logprob in enumerate(language.rate((0, *symbols)).tolist())
        ]
        yield from (pair for pair in grown if pair[0][-1] == language.V - 1 or n == L)
        growing = [pair for pair in grown if pair[0][-1] != language.V - 1]


@beam_search
def test_greed_leads_astray(student, draw):
    """Where the likeliest first symbol leads nowhere, a beam of 2 finds the better sequence."""

    def garden(prefixes):
        rows = {0: (-50.0, p, q, -50.0), 1: (-50.0, -1.4, -1.6, -0.7), 2: (-50.0, -3.0, -3.5, -0.1)}
        return torch.tensor([rows[last] for last in prefixes[:, -1].tolist()], dtype=torch.float64)

    p, q = -0.5 - float(draw.array(1)[0] ** 2) / 100, -0.9
    found = listing(student.beam_search(garden, 0, 3, 2, 5))
    close([symbols for symbols, _ in found], [[2, 3], [1, 3]], what="the list of hypotheses")
    close([score for _, score in found], [q - 0.1, p - 0.7], what="the list of scores")
    close([symbols for symbols, _ in listing(student.beam_search(garden, 0, 3, 1, 5))], [[1, 3]], what="a beam of 1")


@beam_search
@pytest.mark.weight(2)
def test_tiny_probabilities(student, reference, draw):
    """Sums of logarithms do not underflow: 13 symbols of probability 1e-30 each, or of 1e-4000."""
    for level in (-69.0, -9000.0):
        same(student, reference, Language(draw, level=level, endings=-300.0), 3, 13)
        same(student, reference, Language(draw, level=level, endings=-300.0), 3, 5, alpha=1.0)


@beam_search
def test_other_numbers(student, reference, draw):
    """bos and eos have the numbers that they are given, one for both perhaps; the argument alpha is 0 by default."""
    for _ in range(4):  # one language alone may not care what becomes of the ended
        same(student, reference, Language(draw, V=6), 3, 4, bos=4, eos=0)
        same(student, reference, Language(draw, V=3), 4, 5, bos=2, eos=1)
        same(student, reference, Language(draw, V=5), 3, 4, bos=2, eos=2)


@beam_search
def test_figure(student, reference):
    """The picture's array: how often beams of 1, 2, 4, 8 and 16 find the best sequence, for the first 3 languages."""
    if not student.has("figure_data"):
        return
    found = torch.zeros(5, dtype=torch.float64)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        table = torch.randn(5, 5, 5, generator=generator, dtype=torch.float64).log_softmax(dim=-1)

        def language(prefixes, table=table):
            before = prefixes[:, -2] if prefixes.shape[1] > 1 else torch.zeros_like(prefixes[:, -1])
            return table[before, prefixes[:, -1]]

        best = exact(table, 5)
        found += torch.tensor([reference.beam_search(language, 0, 0, 2**n, 5)[0][0] == best for n in range(5)])
    agree(student.figure_data, lambda n: found / n, 3)


def exact(table, L):
    """The most probable sequence of up to L symbols, by trying all; 0 begins and ends."""
    logprobs = table.tolist()

    def rate(symbols):
        path = (0, 0, *symbols)
        return sum(logprobs[a][b][c] for a, b, c in zip(path, path[1:], path[2:], strict=False))

    ended = ((*body, 0) for n in range(L) for body in itertools.product(range(1, 5), repeat=n))
    return list(max(itertools.chain(ended, itertools.product(range(1, 5), repeat=L)), key=rate))
