# %% [markdown]
# # Splitting the keys
#
# *Unit 7, page 3 of 4. Before: [tiled attention](tiled_attention.ipynb). Next: [Triton kernels](triton_kernels.ipynb).
# Reading: [Dao et al. 2023, Flash-Decoding for long-context
# inference](https://pytorch.org/blog/flash-decoding/); [Liu, Zaharia and Abbeel 2023, Ring
# Attention](https://arxiv.org/abs/2310.01889), section 3, for the same merge across many machines.*
#
# A language model that writes has one query at a time: that of the newest token. It meets the keys and values of all
# tokens so far, perhaps a hundred thousand of them. There is hardly any arithmetic to do, one product of a row with a
# long matrix and one back, but every key and every value has to be fetched once. The speed of the memory decides.
#
# And there is a problem. Tiled attention gave each *block of queries* to a group of processors of its own, and each
# group went through the keys one block after another. With one query there is one block of queries. A GPU has more than
# a hundred such groups; with a single text and few heads, nearly all of them would stand by and watch one of them read.
#
# So the *keys* must be dealt out. Each group gets a piece of the cache, computes attention over its piece as if there
# were nothing else, and at the end the pieces are put together. That this is possible is the content of [the first
# page](online_softmax.ipynb): a piece has a summary, and summaries merge.
#
# ![One query meets three pieces of the cache at once; each gives an output and a logsumexp, and a merge weights the
# outputs by e to the logsumexp](diagrams/split_kv.svg)
#
# ## What a piece must say
#
# The output of a piece is *normalised*: its weights sum to 1 within the piece. Two such outputs cannot be added, nor
# averaged, because it is not known any more how much attention each piece deserves. One number per row tells: the
# logsumexp $L$ of its scores, which tiled attention returns anyhow. $e^{L}$ is the sum of the piece's exponentials, its
# mass. The whole is the mean of the pieces, weighted by mass:
#
# $$o = \frac{e^{L_1}\, o_1 + e^{L_2}\, o_2}{e^{L_1} + e^{L_2}}, \qquad L = \ln(e^{L_1} + e^{L_2})$$
#
# Never compute $e^{L}$ as it stands, of course. Shift by the larger of the two, as always.
#
# Compare with `merge` of the first page, which had $(m, \ell)$. Here $L = m + \ln \ell$ is the two in one, and that is
# enough, because the output has been divided by $\ell$ already.
#
# ### An example to check by hand
#
# Piece 1 holds one key, with score $\ln 3$ and value $(4, 0)$. Piece 2 holds two, both with score 0, and values $(0,
# 8)$ and $(0, 4)$.
#
# | | $o$ | $L$ | mass |
# |---|---|---|---|
# | piece 1 | $(4, 0)$ | $\ln 3$ | 3 |
# | piece 2 | $(0, 6)$ | $\ln 2$ | 2 |
# | together | $\frac35 (4, 0) + \frac25 (0, 6) = (2.4, 2.4)$ | $\ln 5$ | 5 |
#
# The plain formula, over all three keys, has the weights $\frac35, \frac15, \frac15$: the same. The average of the two
# outputs would have been $(2, 3)$. Weights *proportional to $L$* instead of $e^L$ give nonsense too, and a negative
# logsumexp shows it best.
#
# ### Pieces of nothing
#
# With more pieces than keys, or with texts of different length in one batch, a piece may be empty. Its logsumexp is
# $-\infty$ and its mass 0, so whatever its output holds must not matter. Two empty pieces make an empty piece, with $L
# = -\infty$ and output 0. As on the first page, $-\infty - (-\infty)$ lies in wait.
#
# ### Precision
#
# Outputs often travel in bfloat16, to save traffic. Their *merging* should not be done in it: with 8 bits of mantissa,
# a logsumexp of 40 is known to within an eighth, and $e^{1/8}$ is an error of 13 %. That is why logsumexps are float32
# even where everything else is half as long, and why the weights are made, and applied, in float32.

# %%
import math

import torch
from torch import Tensor


# %% [markdown]
# ## Exercise `split_kv_merge`: attention over pieces of the cache (14 points)

# %%
def merge_attention(o1: Tensor, lse1: Tensor, o2: Tensor, lse2: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over the keys of two pieces together, from the results of the pieces.

    Args:
        o1, o2: (..., D), any number of leading axes, none included; each the output of attention over the keys of one
            piece, weights summing to 1 within the piece. float64, float32, float16 or bfloat16.
        lse1, lse2: (...), the natural logsumexp of the scores of each piece; float64 with float64 outputs, else
            float32. -inf marks a piece without keys; its output may then hold any finite numbers. The two may be as far
            apart as ±1e4.

    Returns:
        o: (..., D), dtype of o1: the output over both pieces. Computed in float32 where the dtype is shorter than that,
            and rounded once, at the end. 0 where both pieces are empty.
        lse: (...), dtype of lse1: the logsumexp over both; -inf where both are empty.
        merge_attention(a, b) equals merge_attention(b, a), and with three pieces it does not matter which two are
        merged first. No NaN, no overflow. No argument is changed.

    >>> o, lse = merge_attention(
    ...     torch.tensor([4.0, 0.0]), torch.tensor(math.log(3)), torch.tensor([0.0, 6.0]), torch.tensor(math.log(2))
    ... )
    >>> [round(x, 4) for x in o.tolist()], round(math.exp(lse), 4)
    ([2.4, 2.4], 5.0)
    >>> nothing = torch.tensor(-math.inf)
    >>> o, lse = merge_attention(torch.tensor([4.0, 0.0]), nothing, torch.tensor([0.0, 6.0]), nothing)
    >>> o.tolist(), lse.item()
    ([0.0, 0.0], -inf)
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def decode_split(q: Tensor, k: Tensor, v: Tensor, n_splits: int) -> tuple[Tensor, Tensor]:
    """Attention of one query over a cache that is cut into pieces, each piece worked on by itself.

    Args:
        q: (B, H, 1, D), floating point: the query of the newest token.
        k: (B, H, Tk, D). v: (B, H, Tk, Dv). Dtype as q; Dv may differ from D. The query sees all keys.
        n_splits: the number of pieces, at least 1. It need not divide Tk and may be larger than Tk, in which case some
            pieces are empty. How the keys are dealt out is up to you.

    Returns:
        o: (B, H, 1, Dv), dtype of q: softmax(q kᵀ / √D) v, the same for every n_splits, beyond rounding.
        lse: (B, H, 1): the natural logsumexp of the scaled scores; float64 for float64 inputs, else float32.
        Tk = 0 gives o = 0 and lse = -inf. float16 and bfloat16 are computed in float32 inside. No argument is changed.

    Each piece is computed from q and its own keys and values alone, and gives (o, lse); the pieces meet in
    merge_attention and nowhere else. `F.scaled_dot_product_attention` and `torch.nn.attention` may not be used;
    `torch.softmax` and `torch.logsumexp` of the scores of a piece may.

    >>> q = torch.tensor([[[[1.0]]]])
    >>> k = torch.tensor([[[[math.log(3.0)], [0.0], [0.0]]]])
    >>> v = torch.tensor([[[[4.0, 0.0], [0.0, 8.0], [0.0, 4.0]]]])
    >>> for n_splits in (1, 2, 5):
    ...     o, lse = decode_split(q, k, v, n_splits)
    ...     print([round(x, 4) for x in o[0, 0, 0].tolist()], round(math.exp(lse), 4))
    [2.4, 2.4] 5.0
    [2.4, 2.4] 5.0
    [2.4, 2.4] 5.0
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# One query and a cache of 64 keys in eight pieces. Left: how the mass is distributed over the pieces. Right: the error
# of two ways to put the pieces together, against the plain formula, while the scores get more and more uneven (a factor
# in front of the query). The average is right only as long as all pieces have the same mass; the merge is right to
# rounding throughout.
#
# Why does nobody split the keys when there are thousands of queries? Because then there is work enough for everybody,
# and the pieces cost something: their outputs and logsumexps are written, read again and merged. Dealing out more is
# not better; there should be about as many pieces as it takes to keep every processor busy. You will meet that choice
# again in `triton_decode`, on [the next page](triton_kernels.ipynb).

# %%
SHARPNESS = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]


def figure_data() -> Tensor:
    """(2, 6): the largest error of averaging eight pieces, and of merging them, at each of SHARPNESS."""
    q, k, v = _inputs()
    errors = []
    for factor in SHARPNESS:
        expected = torch.softmax(factor * q @ k.mT / 4, dim=-1) @ v
        pieces = [decode_split(factor * q, a, b, 1) for a, b in zip(k.chunk(8, 2), v.chunk(8, 2), strict=True)]
        average = torch.stack([o for o, _ in pieces]).mean(dim=0)
        merged, _ = decode_split(factor * q, k, v, 8)
        errors.append([(average - expected).abs().max(), (merged - expected).abs().max()])
    return torch.tensor(errors).T


def _inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    draw = (torch.randn(1, 1, T, 16, dtype=torch.float64, generator=generator) for T in (1, 64, 64))
    return tuple(draw)


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    q, k, v = _inputs()
    lse = torch.stack([decode_split(q, a, b, 1)[1] for a, b in zip(k.chunk(8, 2), v.chunk(8, 2), strict=True)])
    averaged, merged = figure_data()
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    left.bar(range(8), torch.softmax(lse.flatten(), 0))
    left.axhline(1 / 8, linestyle="--", color="grey", label="what an average takes them for")
    left.set_xlabel("piece")
    left.set_ylabel("share of the attention, exp(L) / sum")
    left.legend()
    right.semilogy(SHARPNESS, averaged.clamp(min=1e-17), "o-", label="average of the outputs")
    right.semilogy(SHARPNESS, merged.clamp(min=1e-17), "s-", label="weighted by exp(L)")
    right.set_xlabel("factor on the query")
    right.set_ylabel("largest error of the output")
    right.legend()
    fig.suptitle("Putting eight pieces together")
    fig.savefig("split_kv.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - PyTorch, [Flash-Decoding](https://pytorch.org/blog/flash-decoding/), with an animation.
