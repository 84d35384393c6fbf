# %% [markdown]
# # Generation
#
# *Unit 5, page 8 of 9, about 2 hours. Before: [the whole transformer](transformer.ipynb). Next:
# [training](training.ipynb). Papers: [Sutskever et al. 2014](https://arxiv.org/abs/1409.3215), section 3.2, for beam
# search in a neural translator; [Wu et al. 2016, Google's Neural Machine Translation
# System](https://arxiv.org/abs/1609.08144), section 7, for the length; [Stahlberg and Byrne 2019, On NMT Search Errors
# and Model Errors](https://arxiv.org/abs/1908.10090), for what happens if one searches too well.*
#
# A trained model answers one question: given the source and what has been written, how likely is each next symbol? From
# these answers a whole sequence has to be made. In training the model saw the right symbols; now it must live with its
# own, and a symbol that has been written is not taken back.
#
# ![In training the decoder is given the right symbols, all at once; in decoding its own, one after the
# other](diagrams/teacher_forcing.svg)
#
# We look for the sequence with the highest probability,
#
# $$\hat y = \arg\max_y \sum_t \log P(y_t \mid y_0 \dots y_{t-1}, \text{src}),$$
#
# and there are $V^T$ of them. This page has two ways not to try them all.
#
# ## Greedy decoding
#
# Take the likeliest symbol, append it, ask again. Until EOS comes, or patience ends:
#
# | step | input | the model's favourite | written |
# |---|---|---|---|
# | 0 | BOS | the | the |
# | 1 | BOS the | cat | the cat |
# | 2 | BOS the cat | EOS | the cat EOS |
#
# Of all the logits (B, T, V) that the model returns for an input of T symbols, one step needs those at the **last**
# place: what follows everything that has been written. The other places repeat what is known already. (Recomputing them
# in every step is a waste, to which [unit 6](../unit6_variants/gpt.ipynb) has an answer, the cache.)
#
# In a batch each row ends when *it* has written EOS. A row that has ended is filled with padding while the others go
# on; it must neither go on writing nor stop its neighbours. And the model belongs to somebody else, who may be in the
# middle of training it: decode in **eval mode** (dropout would make the model say something else at each call), without
# gradients, and hand it back in the mode in which it came.

# %%
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


# %% [markdown]
# ## Exercise `greedy_decode`: greedy decoding (10 points)
#
# The model may be any module that takes a source and an input and returns logits; your `Transformer` is one.

# %%
def greedy_decode(model: nn.Module, src: Tensor, src_pad: int, bos: int, eos: int, max_len: int) -> Tensor:
    """Write a target for each source, always the likeliest symbol.

    Args:
        model: model(src, inp) gives logits (B, T, V) of any float dtype, for src int64 (B, S) and inp int64 (B, T); the
            logits at place t say what follows inp[:, : t + 1]. Rows do not influence each other. It may contain dropout
            and may come in train mode: it is to decode in eval mode, and comes back in the mode in which it came
            (model.training). Call it like this and in no other way. It need not be causal, so show it nothing but what
            has been written: in step t = 0, 1, ... an input of T = t + 1 symbols, bos and the t symbols before. (What
            stands in rows that have ended does not matter, and rows may be left out.)
        src: int64 (B, S), B ≥ 1.
        src_pad: the symbol that fills rows up, in src and in the result.
        bos, eos: the symbols that begin and end a sequence. src_pad and eos are different.
        max_len: how many symbols to write at most, EOS included; at least 1.

    Returns:
        int64 (B, L), without bos. Each row has the symbols in the order in which they were written, up to and including
        its first eos, and then src_pad. L is the length of the longest row: writing stops as soon as every row has its
        eos, or after max_len symbols, and the model is not asked again after that. Where several symbols are equally
        likely, the one with the lowest number is taken. src is not changed, and nothing is drawn at random.

    >>> class Countdown(nn.Module):  # after BOS (9) it says the source's first symbol, then one less each time
    ...     def forward(self, src, inp):
    ...         following = torch.where(inp == 9, src[:, :1], inp - 1)
    ...         return nn.functional.one_hot(following.clamp(min=0), 10).float()
    >>> greedy_decode(Countdown(), torch.tensor([[3], [1]]), src_pad=7, bos=9, eos=0, max_len=5).tolist()
    [[3, 2, 1, 0], [1, 0, 7, 7]]
    >>> greedy_decode(Countdown(), torch.tensor([[3], [1]]), src_pad=7, bos=9, eos=0, max_len=2).tolist()
    [[3, 2], [1, 0]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Where greed leads astray
#
# A sentence that begins with the likeliest word need not be the likeliest sentence. Two symbols a and b, and a model
# that says
#
# | after | a | b | EOS |
# |---|---|---|---|
# | BOS | **0.6** | 0.4 | 0 |
# | a | 0.3 | 0.2 | **0.5** |
# | b | 0.05 | 0.05 | **0.9** |
#
# Greedy decoding takes a, then EOS: probability $0.6 \cdot 0.5 = 0.30$. But b EOS has $0.4 \cdot 0.9 = 0.36$. The
# first symbol looked better than it was, and there was no way back. (Readers know this from *garden-path sentences*:
# "The old man the boat".)
#
# ## Beam search
#
# Beam search keeps not one but $K$ beginnings, the **beam**, and goes on with all of them. From each it makes all $V$
# extensions, and of these $K \cdot V$ **candidates** together the best $K$ survive, no matter whose children they are.
# In the example with $K = 2$:
#
# | step | candidates | the beam |
# |---|---|---|
# | 0 | a 0.6, b 0.4 | a 0.6, b 0.4 |
# | 1 | b EOS **0.36**, a EOS **0.30**, a a 0.18, a b 0.12, b a 0.02, b b 0.02 | b EOS, a EOS |
#
# ![The example as a tree: of the six extensions of a and b the two best are kept, b EOS and a
# EOS](diagrams/beam_tree.svg)
#
# Both hypotheses of the beam have ended, and the search is over. Four details decide whether it works:
#
# - **Logarithms.** Probabilities of sequences are products of many small numbers: 12 factors of $10^{-30}$ are 0 in
#   float64. The sum of their logarithms is $-829$, which is no problem at all. (See
#   [log-softmax](../unit0_prerequisites/numerics.ipynb).)
# - **One beginning.** At the start there is a single hypothesis, the empty one. A beam of $K$ equal beginnings stays
#   $K$ equal hypotheses: greedy decoding, done $K$ times.
# - **Ended hypotheses stay, and compete.** A hypothesis that has reached EOS is not extended any more, but it keeps its
#   place in the beam as long as it is good enough. If it were set free, the search would drop the best answer found so
#   far; if it were extended, sentences would go on after their end.
# - **Length.** Each symbol costs probability, so short sequences win. With exact search it gets absurd: Stahlberg and
#   Byrne found a translator that preferred the *empty* translation to every other one for more than half of its
#   sentences. A common remedy is to compare the log-probability *per symbol*, or something between the two:
#
# $$\mathrm{score}(y) = \frac{1}{n^\alpha} \sum_{t<n} \log P(y_t \mid \dots), \qquad n = \text{number of symbols of } y,
# \text{ EOS included}$$
#
# With $\alpha = 0$ that is the log-probability, and with $\alpha = 1$ the mean. The sum is negative, so *dividing* by
# something larger brings it nearer to 0: length is rewarded. By hand: two symbols with $\ln\frac12$ each have the score
# $-1.386$ for $\alpha = 0$, and $-0.693$ for $\alpha = 1$.

# %% [markdown]
# ## Exercise `beam_search`: beam search (20 points)
#
# The function knows nothing of models and sources: all it is given is a function that rates continuations. (To use it
# with a transformer, one writes a small function that repeats the source for each prefix, calls the model, and returns
# the log-softmax at the last place.)

# %%
def beam_search(
    logprob_fn: Callable[[Tensor], Tensor], bos: int, eos: int, beam: int, max_len: int, alpha: float = 0.0
) -> list[tuple[list[int], float]]:
    """The best sequences that a beam of a given width finds, best first.

    Args:
        logprob_fn: rates continuations. For prefixes, int64 (K, t), each beginning with bos, it returns (K, V) float64:
            the log-probability of each symbol as the next one. K ≥ 1 may be any number, and several calls for one step
            are fine. The numbers are finite; they may be as low as -1e4, and need not add up to a probability of 1 (a
            caller may have taken symbols away). Prefixes that have ended (have eos somewhere behind bos) are not to be
            asked about.
        bos, eos: the symbols that begin and end a sequence. They may be the same number.
        beam: how many hypotheses are kept, at least 1.
        max_len: the largest number of symbols of a hypothesis, eos included and bos not; at least 1.
        alpha: exponent of the length in the score.

    A hypothesis is a sequence of n symbols behind bos. It has ended if its last symbol is eos. Its score is the sum of
    its symbols' log-probabilities, divided by n ** alpha. The search begins with the empty hypothesis alone. A step
    makes candidates, namely every hypothesis of the beam that has ended, as it is, and every extension by one of the V
    symbols of every hypothesis that has not; of all these together the `beam` with the highest scores (or all, if there
    are fewer) are the new beam. The search is over when every hypothesis in the beam has ended, or after max_len steps.

    Returns:
        The hypotheses of the last beam, ended or not, as a list of pairs (symbols, score), highest score first. symbols
        is a list of int without bos, and with eos if it has ended; score is a float. Equal scores do not occur.

    >>> after = {0: [0.6, 0.4, 1e-9], 1: [0.3, 0.2, 0.5], 2: [0.05, 0.05, 0.9]}  # BOS, a, b -> a, b, EOS
    >>> def logprob_fn(prefixes):  # BOS 0, a 1, b 2, EOS 3; nothing is followed by BOS
    ...     return torch.tensor([[1e-9, *after[last]] for last in prefixes[:, -1].tolist()], dtype=torch.float64).log()
    >>> for symbols, score in beam_search(logprob_fn, bos=0, eos=3, beam=2, max_len=4):
    ...     print(symbols, round(math.exp(score), 4))
    [2, 3] 0.36
    [1, 3] 0.3
    >>> beam_search(logprob_fn, bos=0, eos=3, beam=1, max_len=4)[0][0]  # greedy
    [1, 3]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# Left, the search as a tree, for a language much like the one above, with a beam of 3 and three steps. Each node shows
# the probability of its path. Blue ones were kept in the beam, the thin grey ends are candidates that fell out of it,
# and the thick path is the answer.
#
# Right, an experiment. For 40 random little languages (five symbols, each depending on the two before) it shows how
# often the best hypothesis of the beam is the best sequence of all, which is found here by trying all of them. Greedy
# decoding, a beam of 1, misses it often, a beam of 8 hardly ever, at 8 times the price.
#
# Is a wider beam always better? It finds sequences of higher *probability*. Whether they are better sequences is up to
# the model, and translators get worse with beams beyond a handful: the probable is not the good, and for stories or
# conversation hardly anybody searches at all. One *draws* from the distribution instead, which is a matter of [unit
# 6](../unit6_variants/gpt.ipynb). For translation, summaries, speech, where there is a right answer, beams of 4 or so
# are the rule.

# %%
NAMES = ["BOS", "a", "b", "EOS"]
AFTER = {0: [1e-9, 0.55, 0.44, 0.01], 1: [1e-9, 0.4, 0.35, 0.25], 2: [1e-9, 0.2, 0.05, 0.75]}


def example(prefixes: Tensor) -> Tensor:
    """Log-probabilities of a language of two symbols, by the last symbol."""
    return torch.tensor([AFTER[last] for last in prefixes[:, -1].tolist()], dtype=torch.float64).log()


def language(seed: int) -> Callable[[Tensor], Tensor]:
    """A random language of 5 symbols (0 is BOS and EOS): what follows depends on the last two symbols."""
    table = torch.randn(5, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    table = table.log_softmax(dim=-1)

    def logprob_fn(prefixes: Tensor) -> Tensor:
        before = prefixes[:, -2] if prefixes.shape[1] > 1 else torch.zeros_like(prefixes[:, -1])
        return table[before, prefixes[:, -1]]

    return logprob_fn


def figure_data(languages: int = 40) -> Tensor:
    """(5,): how often beams of 1, 2, 4, 8 and 16 find the most probable sequence of up to 5 symbols."""
    found = torch.zeros(5, dtype=torch.float64)
    for seed in range(languages):
        logprob_fn = language(seed)
        best = beam_search(logprob_fn, 0, 0, 5**5, 5)[0][0]  # a beam that nothing falls out of
        found += torch.tensor([beam_search(logprob_fn, 0, 0, 2**n, 5)[0][0] == best for n in range(5)])
    return found / languages


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    asked: list[list[int]] = []

    def watched(prefixes: Tensor) -> Tensor:
        asked.extend(prefixes.tolist())
        return example(prefixes)

    returned = beam_search(watched, 0, 3, beam=3, max_len=3)
    kept = {tuple(prefix) for prefix in asked} | {(0, *written) for written, _ in returned}
    answer = (0, *returned[0][0])
    nodes = sorted({(*prefix, symbol) for prefix in asked for symbol in (1, 2, 3)} | {(0,)})
    leaves = [
        node for node in nodes if not any(len(other) > len(node) and other[: len(node)] == node for other in nodes)
    ]
    height = {leaf: -float(n) for n, leaf in enumerate(leaves)}
    for node in sorted(nodes, key=len, reverse=True):
        children = [height[other] for other in nodes if len(other) == len(node) + 1 and other[: len(node)] == node]
        height.setdefault(node, sum(children) / max(1, len(children)))

    fig, (left, right) = plt.subplots(1, 2, figsize=(13, 5.4), layout="constrained", width_ratios=(8, 5))
    for node in nodes:
        here = (len(node) - 1, height[node])
        probability = math.exp(sum(example(torch.tensor([node[:t]]))[0, node[t]] for t in range(1, len(node))))
        on_path = answer[: len(node)] == node
        color = "tab:green" if on_path else "tab:blue" if node in kept else "lightgrey"
        if len(node) > 1:
            width = 3.5 if on_path else 1.6 if node in kept else 0.8
            left.plot(
                *zip((len(node) - 2, height[node[:-1]]), here, strict=True), color=color, linewidth=width, zorder=1
            )
        label = f"{NAMES[node[-1]]}  {probability:.2f}" if len(node) > 1 else "BOS"
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": color}
        left.text(*here, label, ha="center", va="center", fontsize=9, bbox=box, zorder=2)
    left.set_xlim(-0.3, 3.4)
    left.set_xticks(range(4), ["start", "step 0", "step 1", "step 2"])
    left.set_yticks([])
    left.set_title("a beam of 3 (green: the answer; grey: fell out)")
    beams = [1, 2, 4, 8, 16]
    right.plot(beams, figure_data(), "o-")
    right.set_xscale("log", base=2)
    right.set_xticks(beams, beams)
    right.set_xlabel("width of the beam")
    right.set_ylabel("share of 40 languages")
    right.set_ylim(0, 1.05)
    right.set_title("how often the best sequence of all is found")
    fig.savefig("beam_search.png", dpi=110)
    plt.show()
    for written, total in returned:
        print(f"{' '.join(NAMES[s] for s in written):12} probability {math.exp(total):.3f}")

# %% [markdown]
# ## Further reading
#
# - Holtzman et al. 2019, [The curious case of neural text degeneration](https://arxiv.org/abs/1904.09751); Wu et
#   al. 2016, [Google's NMT](https://arxiv.org/abs/1609.08144), section 7, for the length penalty.
