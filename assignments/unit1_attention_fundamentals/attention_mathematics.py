# %% [markdown]
# # The mathematics of attention: from scores to weights
#
# *Unit 1, page 2 of 4. Before: [why attention](intuition.ipynb). Next: [attention from
# scratch](attention_from_scratch.ipynb). Papers: [Bahdanau et al. 2014](https://arxiv.org/abs/1409.0473), section 3.1;
# [Vaswani et al. 2017, Attention Is All You Need](https://arxiv.org/abs/1706.03762), section 3.2.1 and its footnote 4.*
#
# The last page ended with an array of scores: how well does key $j$ fit query $i$? Scores can be any numbers. To take a
# weighted average of the source we need **weights**: not negative, and with a sum of 1 for each query. The softmax does
# that:
#
# $$w_{ij} = \frac{e^{s_{ij}}}{\sum_{j'} e^{s_{ij'}}}$$
#
# The sum runs over the **keys**, the last axis: each query has one unit of attention and shares it among the keys. Two
# properties will be used all the time. Adding a constant to all scores of a row changes nothing, so only *differences*
# of scores matter. And the constant may be chosen: with the row's maximum subtracted, no exponential exceeds 1 and
# nothing can overflow ([unit 0](../unit0_prerequisites/numerics.ipynb)).
#
# This page answers two questions. What becomes of the softmax if some keys must not be seen? And how large should
# scores be?

# %% [markdown]
# ![Two rows of scores go through a mask, exponentials and a division: the first becomes one third, two thirds and zero,
# the second, in which nothing is allowed, three zeros](diagrams/attention_mathematics.svg)

# %% [markdown]
# ## Keys that must not be seen
#
# Sentences in a batch are padded, and no query may attend to padding. In a language model, a word may not attend to the
# words after it. Both are said by a **mask**: a boolean array over (query, key) pairs in which **True means "may
# attend"**, in this course as in `torch.nn.functional.scaled_dot_product_attention`. What is wanted is the softmax
# *over the allowed keys only*, and weight zero for the others:
#
# $$w_{ij} = \frac{m_{ij}\, e^{s_{ij}}}{\sum_{j'} m_{ij'}\, e^{s_{ij'}}}$$
#
# ### An example to check by hand
#
# Scores $(\ln 2, \ln 4, 5)$ and mask (yes, yes, no). The allowed exponentials are 2 and 4, so the weights are
# $(\frac13, \frac23, 0)$. Nearly right is wrong here, and each of these is a bug that has been shipped:
#
# | idea | weights | what is wrong |
# |---|---|---|
# | softmax over everything, then zero the third | $(0.013, 0.026, 0)$ | the row has lost 96 % of its attention |
# | set the score to 0 | $(\frac27, \frac47, \frac17)$ | 0 is a score like any other, and $e^0 = 1$ |
# | set the score to a low number such as $-100$ | $(\frac13, \frac23, 10^{-44})$ | fine, until others are low too |
# | set the score to $-\infty$ | $(\frac13, \frac23, 0)$ | right, but read on |
#
# The third one fails in a row whose allowed scores are $-300$ and $-301$: next to those, $-100$ is a *high* score, and
# the forbidden key takes everything. Whichever finite number you choose, there are scores below it.
#
# With $-\infty$ one case is left: **a query that may attend to nothing**. Its row is $-\infty$ throughout, and
# $-\infty - (-\infty)$ is NaN, as is $0/0$. Such rows are not an error of the caller. A batch may contain an empty
# sentence, and two masks combined may leave nothing. The rule of this course, and of torch, is that **such a row gets
# weights 0**: a query that may look at nothing sees nothing. (It is the only row whose sum is not 1.)
#
# Note also what a mask promises: a forbidden key has *no influence whatsoever*. Its score may be garbage, $10^{30}$ for
# example, and neither the weight nor anybody else's may show it. So the garbage must be gone before the maximum is
# taken.

# %%
import math

import numpy as np


# %% [markdown]
# ## Exercise `masked_softmax`: softmax over the keys that may be seen (10 points)
#
# A mask often has fewer axes than the scores, or axes of length 1: (Tk,) for one sentence, (B, 1, 1, Tk) for padding.
# NumPy broadcasts it against the scores.

# %%
def masked_softmax(scores: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Softmax over the last axis, restricted to the keys that each query may see.

    Args:
        scores: (..., Tq, Tk), floating point, any number of leading axes, none included; Tk ≥ 1. All entries are
            finite, but they may be very large or very small, and forbidden ones may be garbage such as 1e30.
        mask: bool, True = may attend; of any shape that broadcasts to that of scores, such as (Tk,), (Tq, Tk), or
            (B, 1, 1, Tk) for scores of shape (B, H, Tq, Tk). None means that everything may be seen.

    Returns:
        weights of the shape and dtype of scores. Each row sums to 1 over the allowed keys; a forbidden key has weight
        exactly 0.0, whatever its score and however low the allowed scores are. A row in which nothing is allowed is all
        zeros. No NaN, no overflow. No argument is changed.

    Write it yourself with NumPy: `scipy.special.softmax`, torch, and the ready-made `autograder.given.masked_softmax`
    of the next page may not be used.

    >>> scores = np.array([[math.log(2), math.log(4), 5.0]])
    >>> masked_softmax(scores, np.array([True, True, False])).round(4).tolist()
    [[0.3333, 0.6667, 0.0]]
    >>> masked_softmax(scores, np.array([False, False, False])).tolist()
    [[0.0, 0.0, 0.0]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## How large should scores be?
#
# Two keys whose scores differ by $\Delta$ get the weights $\frac{1}{1 + e^{-\Delta}}$ and $\frac1{1 + e^{\Delta}}$.
# With $\Delta = 1$ that is 0.73 and 0.27: a preference. With $\Delta = 32$ it is $0.99999999999999$ and $10^{-14}$: a
# dictator. The softmax is then *saturated*, and there is a second problem beside the loss of variety. The gradient of a
# weight with respect to its own score is $w(1 - w)$ ([unit 0](../unit0_prerequisites/numerics.ipynb)), here $10^{-14}$.
# If the model has picked the wrong key, hardly any gradient comes back to tell it so.
#
# So what size do dot products have? Take a query and a key whose $d$ entries are independent with mean 0 and variance
# 1. Each product $q_a k_a$ has mean $0 \cdot 0 = 0$ and variance $E[q_a^2]\, E[k_a^2] = 1$, and the variances of
# independent terms add up:
#
# $$\mathrm{Var}(q^\top k) = \sum_{a=1}^{d} \mathrm{Var}(q_a k_a) = d$$
#
# The *typical size* of a score is the square root of that, $\sqrt d$. At $d = 1024$ scores differ by 32 and more: the
# dictator from above, in a model that has not learned anything yet. This is what the footnote in the transformer paper
# says, and the remedy is in the same sentence: **divide the scores by $\sqrt d$**. A factor $c$ changes the variance by
# $c^2$, so the variance becomes $d / (\sqrt d)^2 = 1$, at every width. (Dividing by $d$ would be too much: the variance
# would be $1/d$, all scores nearly equal, and the attention of a wide model nearly blind.)
#
# Additive scores do not have this problem in the same way, since every tanh is bounded. Multiplicative scores were
# found to fall behind them at large widths, and this is why.
#
# ## An experiment
#
# You need not believe the algebra: draw random queries and keys and measure. Three numbers describe what happens.
#
# 1. The **variance** of the scores.
# 2. The **entropy** of the weights, $-\sum_j w_j \ln w_j$ in nats: $\ln T_k$ if all keys get the same, 0 if one key
#    gets everything. A weight of 0 counts 0, since $w \ln w \to 0$ as $w \to 0$; but the computer sees $0 \cdot
#    (-\infty)$ there.
# 3. The **largest weight**.
#
# For the last two the scores have to be arranged in rows, one per softmax. The statistics are cleanest if all scores
# are independent, so each score gets a query *and* a key of its own, and each run of 16 scores is made a row, as if one
# query had 16 keys to choose from.
#
# | drawn | shape |
# |---|---|
# | queries and keys, standard normal | $(n, d)$ each, $n$ a multiple of 16 |
# | scores $s_i = q_i \cdot k_i$, perhaps divided by $\sqrt d$ | $(n,)$ |
# | the same as rows | $(n/16, 16)$ |
# | weights: softmax of each row | $(n/16, 16)$ |
#
# A word on **random numbers**. A function that draws from NumPy's global state (`np.random.randn`) gives another result
# whenever somebody else has drawn something before it, and changes *their* results in turn. So every function of this
# course that needs randomness gets a generator `rng` and draws from nothing else: the same seed, the same result.

# %% [markdown]
# ## Exercise `why_scale`: measure what the scale does (8 points)
#
# With many keys, or a very large $d$, some weights are exactly 0 in floating point. See that the entropy survives that.

# %%
KEYS = 16  # keys per query, in this experiment


# %%
def score_stats(d: int, n: int, scaled: bool, rng: np.random.Generator) -> dict[str, float]:
    """Draw random queries and keys, and describe their dot products and the attention that comes of them.

    Args:
        d: width of queries and keys, ≥ 1; may be as large as 150 000 (then n is small: n · d stays below 10⁷).
        n: number of independent (query, key) pairs, a positive multiple of 16: n queries and n keys, each of d
            independent standard normal numbers. Score i is the dot product of query i and key i.
        scaled: whether the scores are divided by √d.
        rng: the source of all randomness. The global random state stays untouched. The order of your draws is up to
            you; the same seed must give the same result.

    Returns: a dict of three floats,
        "var": the variance of the n scores (after scaling, if scaled); whether the sum of squares is divided by n or
            by n − 1 makes no difference here;
        "entropy": the n scores are cut into n/16 rows of 16, and each row becomes weights by a softmax; this is the
            mean over the rows of −Σ w ln w, natural logarithm, with 0 ln 0 = 0 (never NaN);
        "max_prob": the mean over the rows of the largest weight.

    >>> stats = score_stats(64, 16000, False, np.random.default_rng(0))
    >>> 60 < stats["var"] < 68, stats["entropy"] < 0.6, stats["max_prob"] > 0.7
    (True, True, True)
    >>> stats = score_stats(64, 16000, True, np.random.default_rng(0))
    >>> 0.9 < stats["var"] < 1.1, stats["entropy"] > 2.2, stats["max_prob"] < 0.4
    (True, True, True)
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# The entropy of the attention of 16 keys against the width, with and without the scale. The dashed line is $\ln 16$,
# attention that is perfectly even. Without the scale a random model of width 1024 starts with entropy 0.1: it looks at
# one random key. With the scale all widths start alike, with an entropy of about 2.35, that is $e^{2.35} \approx 10$ of
# the 16 keys in view. The right panel shows the largest weight.
#
# What to keep in mind: $\sqrt d$ is right for entries that are *independent and of variance 1*, as they are when
# training starts. Training may move the scores anywhere, and some models learn the scale or normalise queries and keys.
#
# Next: scores, weights and values put together, [attention from scratch](attention_from_scratch.ipynb).

# %%
WIDTHS = [4, 16, 64, 256, 1024]


def figure_data() -> np.ndarray:
    """(2, 5): the mean entropy at each of WIDTHS; row 0 without the scale, row 1 with it."""
    return _measure("entropy")


def _measure(what: str) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.array([[score_stats(d, 640, scaled, rng)[what] for d in WIDTHS] for scaled in (False, True)])


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
    for ax, what, title in zip(axes, ["entropy", "max_prob"], ["entropy (nats)", "largest weight"], strict=True):
        data = figure_data() if what == "entropy" else _measure(what)
        for row, label, marker in zip(data, ["scores q·k", "scores q·k / √d"], ["o", "s"], strict=True):
            ax.plot(WIDTHS, row, marker=marker, label=label)
        ax.set_xscale("log", base=2)
        ax.set_xticks(WIDTHS, WIDTHS)
        ax.set_xlabel("width d of queries and keys")
        ax.set_ylabel(title)
        ax.set_ylim(bottom=0)
        ax.set_title(f"{title} of the attention to {KEYS} keys")
    axes[0].axhline(math.log(KEYS), linestyle="--", color="grey", label="even attention: ln 16")
    axes[0].legend(loc="center right")
    axes[1].axhline(1 / KEYS, linestyle="--", color="grey")
    fig.savefig("why_scale.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), section 3.2.1 and its
#   footnote on the scale.
# - Lilian Weng, [Attention? Attention!](https://lilianweng.github.io/posts/2018-06-24-attention/), the family of
#   scores.
