# %% [markdown]
# # Language models and perplexity
#
# *Unit 0, page 3 of 3. Before: [networks and optimisers](networks.ipynb). Next: [why attention
# exists](../unit1_attention_fundamentals/intuition.ipynb). Papers: [Shannon 1948, A Mathematical Theory of
# Communication](https://doi.org/10.1002/j.1538-7305.1948.tb01338.x), section 3, in which the first n-gram model writes
# its first sentences; [Chen and Goodman 1996](https://arxiv.org/abs/cmp-lg/9606011) on smoothing.*
#
# A language model says how probable a text is. It does so one token at a time: given what has been said so far, what
# comes next? All of this course is about better and better answers to that one question. On this page the model is the
# simplest that works at all, it *counts*; and there is a number that tells how good it is, the same for counting and
# for GPT.

# %% [markdown]
# ![Two sentences, the pairs of tokens in them, the table of counts, and the probability of b after a, without and with
# smoothing](diagrams/language_models.svg)

# %% [markdown]
# ## One token at a time
#
# The probability of a sentence is a product, exactly and without any assumption:
#
# $$P(w_1 \dots w_T) = \prod_{t} P(w_t \mid w_1 \dots w_{t-1})$$
#
# The trouble is the condition. Almost every long beginning is new, so it cannot be looked up in a table. An **n-gram
# model** pretends that only the last $n-1$ tokens matter. That is wrong (in "the keys to the old cabinet **are**" the
# verb answers to a word five places back), but now the table is small enough to be filled by counting:
#
# $$P(w \mid c) = \frac{\#(c\,w)}{\#(c)}, \qquad c = \text{the last } n-1 \text{ tokens}$$
#
# A sentence needs two more signs to be complete.
#
# - **A beginning.** The first token has no past. So one puts $n-1$ copies of a token *bos* (begin of sentence) in
#   front; with $n = 3$ the first token is predicted from (bos, bos), the second from (bos, $w_1$). One copy is not
#   enough for $n > 2$.
# - **An end.** The model must be able to stop. So every sentence ends with *eos* (end of sentence), which is predicted
#   like any other token. Without it "the" would be as good a sentence as any, and the probabilities of all sentences
#   together would not sum to 1.
#
# Each sentence is counted by itself. Glue the sentences into one long text and you count pairs that nobody ever said:
# the last word of one and the first of the next.
#
# ### Counting nothing
#
# A table filled by counting is sure that whatever it has not seen is impossible. One unseen pair and a whole text gets
# probability 0. The simplest remedy (Lidstone; Laplace for $\alpha = 1$) pretends that every token was seen $\alpha$
# more times after every context:
#
# $$P(w \mid c) = \frac{\#(c\,w) + \alpha}{\#(c) + \alpha V}$$
#
# There are $V$ tokens that each got $\alpha$, so the denominator grows by $\alpha V$: only then do the probabilities
# sum to 1. $V$ is the size of the *vocabulary*, all that might come, not just what did.
#
# ### An example to check by hand
#
# Vocabulary: 0 = bos, 1 = eos, 2 = "a", 3 = "b", so $V = 4$. Two sentences, "a b" and "a a", and $n = 2$. With bos and
# eos they are `0 2 3 1` and `0 2 2 1`. The counts of what follows what:
#
# | after | eos | a | b | in all |
# |---|---|---|---|---|
# | bos | | 2 | | 2 |
# | a | 1 | 1 | 1 | 3 |
# | b | 1 | | | 1 |
#
# Without smoothing $P(b \mid a) = \frac13$, and "a b" has probability $1 \cdot \frac13 \cdot 1$. With $\alpha = 1$ we
# get $P(b \mid a) = \frac{1+1}{3+4} = \frac27$. After eos nothing was ever seen: every token then has
# $\frac{0+1}{0+4} = \frac14$, and without smoothing 0 (not $0/0$).

# %%
from collections import Counter, defaultdict

import numpy as np


# %% [markdown]
# ## Exercise `ngram_lm`: a model that counts (12 points)
#
# The constructor is given. Its table starts you off: `self.counts[context][token]` is 0 until you count something. You
# may add attributes of your own, or count in another way. Two traps of Python lie on the way. `x[-k:]` are the last k
# entries of x, except for k = 0, where it is all of x (and with $n = 1$ the context has length 0). And `math.log(0.0)`
# is an error, where `np.log(0.0)` is −inf with a warning.

# %%
class NGramLM:
    """An n-gram language model over token ids, with additive smoothing.

    Args:
        n: the order, ≥ 1: a token is predicted from the n − 1 tokens before it (n = 1: from nothing).
        vocab_size: V. The ids that can be predicted are 0..V−1; eos is one of them.
        alpha: what is added to every count, ≥ 0.
        bos: the id that stands n − 1 times before every sentence. It may be one of 0..V−1 (then it is a token like the
            others, only that it never comes next) or outside of them, such as −1.
        eos: the id that ends every sentence.

    Count yourself; `nltk` may not be used.
    """

    def __init__(self, n: int, vocab_size: int, alpha: float = 0.0, *, bos: int, eos: int) -> None:
        self.n, self.vocab_size, self.alpha, self.bos, self.eos = n, vocab_size, alpha, bos, eos
        self.counts: dict[tuple[int, ...], Counter] = defaultdict(Counter)

    def fit(self, sentences: list[list[int]]) -> None:
        """Count what follows what, in each sentence by itself.

        Args:
            sentences: lists of ids in 0..V−1, without bos and eos: those are added here. Sentences may be shorter
                than n, or empty (then only eos is predicted). They are not changed.

        Calling fit again adds to the counts. Returns nothing.

        >>> lm = NGramLM(2, 4, bos=0, eos=1)
        >>> lm.fit([[2, 3], [2, 2]])
        >>> lm.prob((0,), 2), lm.prob((3,), 1), lm.prob((3,), 2)
        (1.0, 1.0, 0.0)
        """
        # YOUR CODE HERE
        raise NotImplementedError()

    def prob(self, context: tuple[int, ...], w: int) -> float:
        """P(w | context) = (#(context w) + alpha) / (#(context) + alpha V).

        Args:
            context: the tokens before w, of any number. Only the *last* n − 1 count. If there are fewer, the sentence
                has only just begun: as many bos as are missing stand before them. (So () is the start of a sentence;
                bos may also be written out.)
            w: an id in 0..V−1.

        Returns:
            A number. Over all w it sums to 1, for a context that was never seen as well, if alpha > 0. With alpha = 0
            an unseen context gives 0.0 for every w.

        >>> lm = NGramLM(2, 4, alpha=1.0, bos=0, eos=1)
        >>> lm.fit([[2, 3], [2, 2]])
        >>> round(lm.prob((3, 2), 3), 4), lm.prob((1,), 3)  # 2/7; never seen
        (0.2857, 0.25)
        >>> lm.prob((), 2) == lm.prob((0,), 2) == 3 / 6
        True
        """
        # YOUR CODE HERE
        raise NotImplementedError()

    def logprob(self, tokens: list[int]) -> np.ndarray:
        """The natural logarithm of the probability of each token of a sentence, and of its end.

        Args:
            tokens: one sentence of T ≥ 0 ids, without bos and eos, as a list.

        Returns:
            float64 (T + 1,): entry t < T is ln P(tokens[t] | everything before it), entry T is ln P(eos | tokens). −inf
            where the probability is 0. (NumPy may warn; that does not matter.)

        >>> lm = NGramLM(2, 4, bos=0, eos=1)
        >>> lm.fit([[2, 3], [2, 2]])
        >>> np.exp(lm.logprob([2, 3])).round(4).tolist()
        [1.0, 0.3333, 1.0]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## How surprised was it?
#
# A model is good if it finds probable what people really write. Take a text that it was *not* fitted to, and average
# the surprise $-\ln P(w_t \mid \dots)$ over all tokens. This is the cross-entropy of [page 1](numerics.ipynb): a
# counting model and a network are measured with the same ruler. **Perplexity** is its exponential,
#
# $$\mathrm{ppl} = \exp\!\Big(-\frac1M \sum_{m=1}^{M} \ln P(w_m \mid \dots)\Big)$$
#
# and it is read as a number of choices: a model with perplexity 20 is as unsure, on average, as if it had to guess
# among 20 equally likely tokens. A model that knows nothing has perplexity $V$; one that is always right and sure of it
# has 1. (The $M$-th root of a product: it is the *geometric* mean of the $1/P$. The arithmetic one would be ruled by
# the few worst tokens.)
#
# By hand: probabilities 0.1, 0.5, 0.25. Their product is $0.0125 = \frac1{80}$, so
# $\mathrm{ppl} = 80^{1/3} \approx 4.309$.
#
# | a slip | what it gives instead |
# |---|---|
# | natural logarithms, but 2 to the power | 2.752 |
# | arithmetic mean of 10, 2 and 4 | 5.333 |
# | the exponential of the sum, not of the mean | 80 |
#
# ### Several sentences
#
# The mean is over **tokens**, all of them together. Sentences come in a rectangle, filled up with padding, and a mask
# says which entries are tokens (True counts, as always in this course). Two sentences with surprises $(1, 2)$ and
# $(3, 4, 5, 6)$ have mean $\frac{21}6 = 3.5$. Averaging sentence by sentence gives $\frac{1.5 + 4.5}2 = 3$, and
# dividing by all eight entries of the rectangle 2.625. Someone who compares such numbers between two papers compares
# nothing.
#
# What the padding holds must not matter, whatever it is. Careful: $0 \cdot \infty$ is not 0.
#
# ### Other logarithms
#
# In bits (base 2) the mean surprise is the number of yes-or-no questions per token. The perplexity does not depend on
# it, as long as the base of the power is the base of the logarithm: $2^{\text{bits}} = e^{\text{nats}}$.

# %% [markdown]
# ## Exercise `perplexity`: perplexity (6 points)

# %%
def perplexity(token_logprobs: np.ndarray, mask: np.ndarray, base: float | str = "e") -> float:
    """The exponential of the mean surprise of all tokens.

    Args:
        token_logprobs: float32 or float64 (B, T): the logarithms of the tokens' probabilities, natural ones unless base
            says otherwise. Each is ≤ 0; −inf means probability 0.
        mask: bool (B, T), True = a token that counts. Whatever stands elsewhere (1e30, −inf, NaN) has no effect.
        base: the base of the logarithms in token_logprobs: "e", or a number above 1, such as 2 or 10.

    Returns:
        One number ≥ 1 (a Python float or a NumPy number): the mean is over all tokens that count, of all sentences
        together. Infinite if one of them has probability 0. A text of many thousand tokens must not overflow on the
        way. No argument is changed.

    Raises:
        ValueError: if no token counts.

    >>> round(perplexity(np.log([[0.1, 0.5, 0.25, 1.0]]), np.array([[True, True, True, False]])), 3)
    4.309
    >>> perplexity(np.array([[-1.0, -2.0]]), np.array([[True, False]]), base=2)  # probability ½
    2.0
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# Here the tokens are letters, $V = 29$ of them with the space, bos and eos, and $\alpha = 0.01$. The model reads the
# short story below, and is measured on the story itself and on a few lines that it has not seen, for $n = 1$ to 6.
#
# On the story it has read, a longer memory is always better: with $n = 6$ it hesitates between one and a half letters,
# it nearly knows the text by heart. On new lines the curve turns. With $n = 3$ the table still holds most of what comes
# up; with $n = 6$ many contexts are new, and the model falls back on "anything, with probability $1/V$". The gap
# between the curves is **overfitting**. No amount of counting closes it: to use a longer past, a model has to notice
# that two contexts are *similar*, rather than equal. That is what networks can do, and what attention, from [the next
# unit](../unit1_attention_fundamentals/intuition.ipynb) on, is very good at. The perplexity of
# [GPT](../unit6_variants/gpt.ipynb) is computed with the function above.
#
# The page also prints what each model writes when it is asked to. One letter of memory gives a rattle of letters, three
# give syllables, six give the story, word for word.

# %%
STORY = """
the keeper of the lighthouse counted the ships
every evening she lit the lamp and waited for the first of them
some nights there were three ships and some nights there were none
when there were none she counted the waves instead
the waves never came to an end and so she never came to an end
one morning the lamp was cold and the glass was covered with salt
she took a cloth and a bucket and climbed the stairs again
there were ninety stairs and she knew the sound of each of them
the seventh was loose and the fortieth sang in the wind
from the top she saw a boat without a sail
it turned in the water like a leaf in a stream
she called and no one answered and she called again
then a hand was raised and a voice came over the water
they had lost the sail in the storm and the oars after the storm
she threw them a rope and the rope was too short
she tied the cloth to the rope and it was long enough
that evening there were two of them to count the ships
""".strip().splitlines()
NEW_LINES = """
the storm came again and the lamp was lit
she counted the stairs and the water and the wind
no one knew the name of the boat
""".strip().splitlines()
LETTERS = " abcdefghijklmnopqrstuvwxyz"
BOS, EOS = len(LETTERS), len(LETTERS) + 1
ORDERS = (1, 2, 3, 4, 5, 6)


def encode(lines: list[str]) -> list[list[int]]:
    """Letters to ids."""
    return [[LETTERS.index(letter) for letter in line] for line in lines]


SEEN, UNSEEN, V = encode(STORY), encode(NEW_LINES), len(LETTERS) + 2


def figure_data(seen=SEEN, unseen=UNSEEN, vocab_size=V, bos=BOS, eos=EOS, measure=perplexity) -> np.ndarray:
    """The perplexity (2, 6) for each n in ORDERS: row 0 of the sentences that were counted, row 1 of others."""
    curves = np.empty((2, len(ORDERS)))
    for column, n in enumerate(ORDERS):
        lm = NGramLM(n, vocab_size, alpha=0.01, bos=bos, eos=eos)
        lm.fit(seen)
        for row, sentences in enumerate((seen, unseen)):
            logprobs = [lm.logprob(sentence) for sentence in sentences]
            length = max(map(len, logprobs))
            mask = np.arange(length) < np.array([[len(row)] for row in logprobs])
            padded = np.stack([np.pad(row, (0, length - len(row))) for row in logprobs])
            curves[row, column] = measure(padded, mask)
    return curves


def write(lm: NGramLM, rng: np.random.Generator, longest: int = 60) -> str:
    """A line that the model makes up."""
    ids: list[int] = []
    while len(ids) < longest:
        probabilities = np.array([lm.prob(tuple(ids), w) for w in range(lm.vocab_size)])
        ids.append(int(rng.choice(lm.vocab_size, p=probabilities / probabilities.sum())))
        if ids[-1] in (BOS, EOS):
            break
    return "".join(LETTERS[i] for i in ids if i < len(LETTERS))


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    for n in ORDERS:
        lm = NGramLM(n, V, bos=BOS, eos=EOS)
        lm.fit(SEEN)
        print(f"n = {n}: {write(lm, np.random.default_rng(n))}")
    curves = figure_data()
    fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    ax.plot(ORDERS, curves[0], marker="o", label="the story it was fitted to")
    ax.plot(ORDERS, curves[1], marker="o", label="new lines")
    ax.axhline(V, color="grey", linestyle=":", label="knowing nothing: V")
    ax.set_xlabel("n (letters, the predicted one included)")
    ax.set_ylabel("perplexity per letter")
    ax.set_ylim(bottom=0)
    ax.legend()
    fig.savefig("ppl_vs_n.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Jurafsky and Martin, [Speech and Language Processing](https://web.stanford.edu/~jurafsky/slp3/), the chapter on
#   n-gram language models.
# - Bengio et al. 2003, [A neural probabilistic language model](https://www.jmlr.org/papers/v3/bengio03a.html).
# - Stanford [CS224N](https://web.stanford.edu/class/cs224n/), the lectures on language models.
