# %% [markdown]
# # The softmax of a stream
#
# *Unit 7, page 1 of 4. Before: all of [unit 2](../unit2_self_attention/scaled_dot_product.ipynb), and logsumexp in
# [unit 0](../unit0_prerequisites/numerics.ipynb). Next: [tiled attention](tiled_attention.ipynb). Paper: [Milakov and
# Gimelshein 2018, Online normalizer calculation for softmax](https://arxiv.org/abs/1805.02867).*
#
# Attention has one expensive habit. To give $T$ queries their outputs it writes down a table of $T \times T$ scores,
# reads it back for the softmax, writes down $T \times T$ weights, and reads those back for the last product. At $T =
# 16384$ in float16 one such table takes 512 MiB *per head*. The arithmetic units of a GPU spend that time waiting for
# memory.
#
# The tables are there for one reason only: a softmax seems to need its whole row before it can give out the first
# weight. This page removes that reason. It is the smallest page of the unit, and the idea on it is the one that every
# fast attention kernel is built on.
#
# ![A row of three scores arrives in two blocks. Maximum and sum are carried from block to block; when the second block
# raises the maximum, the old sum is multiplied by three quarters before one is added](diagrams/online_softmax.svg)
#
# ## Three passes, two passes, one pass
#
# A safe softmax of a row $x$ needs two numbers ([unit 0](../unit0_prerequisites/numerics.ipynb)): the largest entry, so
# that nothing overflows, and the sum of the shifted exponentials.
#
# $$m = \max_j x_j \qquad\quad \ell = \sum_j e^{x_j - m} \qquad\quad \mathrm{softmax}(x)_j = \frac{e^{x_j - m}}{\ell}$$
#
# Done by the book, this reads the row three times: once for $m$, once for $\ell$, once for the result. The second
# pass cannot begin before the first has ended, because every term of $\ell$ contains the final $m$. Or so it seems.
#
# Suppose half of the row has gone by, and you hold the $m$ and $\ell$ *of that half*. Now comes an entry $y$ that is
# larger than $m$. Everything in $\ell$ was shifted by the wrong number. But by the *same* wrong number, and a factor
# puts that right:
#
# $$e^{x_j - y} = e^{x_j - m} \cdot e^{m - y} \qquad\Longrightarrow\qquad
# \ell_{\text{new}} = \ell \cdot e^{m - y} + 1, \qquad m_{\text{new}} = y$$
#
# No entry has to be looked at again. With a whole block $y$ of new entries instead of one:
#
# $$m' = \max(m, \max_j y_j), \qquad \ell' = \ell \cdot e^{m - m'} + \sum_j e^{y_j - m'}$$
#
# The factor $e^{m - m'}$ is never above 1, since the maximum can only grow. That is what to look at when you are not
# sure about the direction: the *old* sum is scaled *down*.
#
# ### An example to check by hand
#
# The row $(0, \ln 3, \ln 4)$ arrives as two blocks, $(0, \ln 3)$ and $(\ln 4)$.
#
# | after | $m$ | $\ell$ | $m + \ln \ell$ |
# |---|---|---|---|
# | block 1 | $\ln 3$ | $\frac13 + 1 = \frac43$ | $\ln 3 + \ln \frac43 = \ln 4$ |
# | block 2 | $\ln 4$ | $\frac43 e^{\ln 3 - \ln 4} + 1 = \frac43 \cdot \frac34 + 1 = 2$ | $\ln 4 + \ln 2 = \ln 8$ |
#
# After block 1 the last column is the logsumexp of $(0, \ln 3)$, after block 2 that of the row, $\ln(1 + 3 + 4)$.
# Without the factor the second $\ell$ would have been $\frac43 + 1$.
#
# ## Merging
#
# The pair $(m, \ell)$ is a *summary* of a piece of the row. Two summaries can be made into one without any of the
# entries: that is what the formula above does, if you read $\sum_j e^{y_j - m'}$ as the second piece's own $\ell$,
# rescaled:
#
# $$m' = \max(m_1, m_2), \qquad \ell' = \ell_1 \, e^{m_1 - m'} + \ell_2 \, e^{m_2 - m'}$$
#
# It does not matter which piece comes first, nor how the row was cut, nor in which order three pieces are brought
# together. (A mathematician says: a commutative monoid, with $(-\infty, 0)$, the summary of nothing, as its neutral
# element.) So the pieces may be worked on one after the other, as in the [next page](tiled_attention.ipynb), or at the
# same time on a hundred processors and merged at the end, as in [split-KV decoding](split_kv.ipynb).
#
# ### The summary of nothing
#
# Two ways to have seen nothing yet: a block of length 0, and a block of masked scores, all $-\infty$. Both have $m =
# -\infty$ and $\ell = 0$, and then the formula asks for
#
# $$e^{m - m'} = e^{-\infty - (-\infty)} = \text{NaN}.$$
#
# The right answer to "by what must a sum of nothing be scaled" is: anything finite, it is 0. So shift by 0 where $m'$
# is $-\infty$. Note that this must be decided *for each row*: in a batch of rows, some have begun and others have not.

# %%
from collections.abc import Iterable

import numpy as np

Summary = tuple[np.ndarray, np.ndarray]


# %% [markdown]
# ## Exercise `online_softmax`: the softmax of a stream (12 points)
#
# The blocks come from an *iterator*: you see each of them once, and what has gone by is gone, unless you have kept it.
# Do not keep it. The stream of one of the checks is much longer than the memory it is given.

# %%
def online_softmax(blocks: Iterable[np.ndarray]) -> Summary:
    """The largest entry of each row, and the sum of its shifted exponentials, from one pass over a stream of blocks.

    Args:
        blocks: an iterable of arrays (..., n_i), at least one: a list as well as a generator, so use `for` or `iter`,
            and go through it once only. All have the same leading axes (any number, none included) and the same dtype,
            float64 or float32; the lengths n_i differ and may be 0.
            Laid side by side along the last axis they are the rows. Entries are finite or -inf (a masked score); they
            may be as large as ±1e4, and the first blocks of a row, or all of them, may be nothing but -inf.

    Returns:
        (m, l), both of shape (...) and of the blocks' dtype (without leading axes a NumPy scalar will do):
        m is the largest entry of each row, exactly; -inf for a row without finite entries.
        l is Σ exp(x − m) over the row, 0 for a row without finite entries.
        So m + log(l) is the logsumexp of the row, and exp(x − m) / l its softmax. How the rows were cut into blocks
        makes no difference beyond rounding. No NaN, no overflow.

    Look at each block once and do not hold on to it: at any time, keep a few numbers per row and the block at hand. No
    block is changed.

    >>> m, l = online_softmax(iter([np.array([0.0, np.log(3)]), np.array([np.log(4)])]))
    >>> round(float(np.exp(m)), 4), round(float(l), 4)
    (4.0, 2.0)
    >>> m, l = online_softmax([np.array([[-np.inf], [-np.inf]]), np.array([[5.0], [-np.inf]])])
    >>> m.tolist(), l.tolist()
    ([5.0, -inf], [1.0, 0.0])
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def merge(a: Summary, b: Summary) -> Summary:
    """The summary of two pieces of each row, from the summaries of the pieces.

    Args:
        a, b: pairs (m, l) as online_softmax returns them, all four arrays of one shape and dtype. m may be -inf, with
            l = 0: the summary of nothing.

    Returns:
        (m, l) of the two pieces together, of the same shape and dtype: m the larger of the two, l = Σ exp(x − m) over
        the entries of both. merge(a, b) equals merge(b, a); merging with the summary of nothing changes nothing; the
        merge of nothing with nothing is (-inf, 0), not NaN. No argument is changed.

    >>> nothing = np.array(-np.inf), np.array(0.0)
    >>> m, l = merge((np.array(0.0), np.array(1.0)), (np.array(np.log(4)), np.array(1.5)))
    >>> round(float(np.exp(m)), 4), round(float(l), 4)  # 1 · 1/4 + 1.5
    (4.0, 1.75)
    >>> [float(x) for x in merge(nothing, nothing)]
    [-inf, 0.0]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# A row of 96 scores goes by in blocks of 4. Above: the scores, and the running maximum, a staircase that only climbs.
# Below: the running sum $\ell$. Wherever the staircase climbs, all that was summed before is shrunk to the new maximum,
# and where it climbs by much the sum falls. Scores far below hardly impress it. The dashed line is $m + \ln \ell$,
# which climbs steadily to the logsumexp of the whole row (the dot, computed the ordinary way).
#
# What is missing for attention? The weights alone are not wanted; what is wanted is their product with the values. That
# product is a sum over the keys like $\ell$, and can be rescaled like $\ell$. [The next page](tiled_attention.ipynb)
# carries it along.

# %%
BLOCK = 4


def figure_data() -> np.ndarray:
    """(3, 24): after each block of a row of 96 scores, the running m, l and m + log(l)."""
    row = _row()
    after = []
    for end in range(BLOCK, len(row) + 1, BLOCK):
        m, l = online_softmax(iter(np.split(row[:end], range(BLOCK, end, BLOCK))))
        after.append([m, l, m + np.log(l)])
    return np.array(after).T


def _row() -> np.ndarray:
    rng = np.random.default_rng(3)
    return 1.5 * rng.standard_normal(96) + np.linspace(-2, 2, 96)


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    m, l, lse = figure_data()
    row, ends = _row(), BLOCK * np.arange(1, 25)
    fig, (above, below) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
    above.plot(np.arange(1, 97), row, ".", color="grey", label="scores")
    above.step(ends, m, where="post", color="tab:blue", label="running maximum m")
    above.plot(ends, lse, "--", color="tab:red", label="m + ln l")
    above.plot(96, row.max() + np.log(np.exp(row - row.max()).sum()), "o", color="tab:red", label="logsumexp")
    above.set_ylabel("score")
    above.legend(loc="lower right")
    below.step(ends, l, where="post", color="tab:green")
    for climbed in ends[1:][np.diff(m) > 0]:
        for ax in (above, below):
            ax.axvline(climbed, color="tab:blue", linestyle=":", linewidth=0.8)
    below.set_ylabel("running sum l")
    below.set_xlabel("entries seen (dotted: the maximum climbs, the sum is rescaled)")
    fig.suptitle("The softmax of a stream")
    fig.savefig("online_softmax_trace.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Milakov and Gimelshein 2018, [Online normalizer calculation for softmax](https://arxiv.org/abs/1805.02867).
