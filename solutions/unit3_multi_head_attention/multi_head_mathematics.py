# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The mathematics of several heads
#
# *Unit 3, page 1 of 3. Before: [attention patterns](../unit2_self_attention/attention_patterns.ipynb). Next:
# [multi-head attention in PyTorch](multi_head_attention.ipynb). Paper: [Vaswani et al.
# 2017](https://arxiv.org/abs/1706.03762), section 3.2.2.*

# %% [markdown]
# ![Two tokens of width 4 are cut into two heads of width 2, each with a softmax of its own; their answers are put side
# by side and mixed by W_O; below, the wrong cut, in which tokens become heads](diagrams/multi_head_mathematics.svg)

# %% [markdown]
# ## One head, one question
#
# A query shares **one** unit of attention among the keys. In "the animal did not cross the street because it was tired"
# the word "it" needs two things at once: the noun it stands for, and the adjective that says something about it. One
# row of weights can favour the one, or the other, or average both, and an average of two vectors is neither of them.
#
# The remedy is to run several attentions side by side, each with queries, keys and values of its own, and to let a last
# matrix put their answers together. Each of them is called a **head**. So that $H$ heads cost no more than one, each
# works at a width of only $D_h = D / H$:
#
# $$\mathrm{head}_h = \mathrm{softmax}\!\left(\frac{Q_h K_h^\top}{\sqrt{D_h}}\right) V_h, \qquad
# Q_h = X_q W_{Q,h}^\top + b_{Q,h}, \quad
# K_h = X_{kv} W_{K,h}^\top + b_{K,h}, \quad
# V_h = X_{kv} W_{V,h}^\top + b_{V,h}$$
#
# $$\mathrm{MultiHead} = [\,\mathrm{head}_1;\ \dots;\ \mathrm{head}_H\,]\; W_O^\top + b_O$$
#
# | tensor | shape | note |
# |---|---|---|
# | $X_q$, $X_{kv}$ | (B, Tq, D), (B, Tk, D) | the same tensor in self-attention; two in an encoder-decoder model |
# | $W_{Q,h}$, $W_{K,h}$, $W_{V,h}$ | (Dh, D) | stored (out, in), as `nn.Linear` does |
# | scores of all heads | (B, H, Tq, Tk) | each head has its own softmax: H rows of weights for each query |
# | heads side by side | (B, Tq, H·Dh) = (B, Tq, D) | concatenated, **not** averaged |
# | $W_O$ | (D, D) | mixes the heads; without it they would never meet |
#
# Mind the root. A score is now a sum of $D_h$ products, so $\sqrt{D_h}$ is what brings its variance back to 1
# ([unit 1](../unit1_attention_fundamentals/attention_mathematics.ipynb)). That $D$ is what the rest of the model calls
# its width does not matter here.

# %% [markdown]
# ## All heads at once
#
# Nobody computes the heads one after the other. The matrices $W_{Q,1}, \dots, W_{Q,H}$ are stacked on top of each other
# into one $W_Q$ of shape (D, D): its rows $h D_h, \dots, (h+1) D_h - 1$ (from 0 on) belong to head $h$. One matrix
# product then gives the queries of all heads, as one vector of width $D$ for each token, and what is left is
# bookkeeping: cut the vector into $H$ pieces, and bring the piece number to the front, so that it is one more axis over
# which attention repeats itself, just like the batch.
#
# $$(B, T, D) \;\xrightarrow{\text{cut}}\; (B, T, H, D_h) \;\xrightarrow{\text{swap}}\; (B, H, T, D_h)$$
#
# ### An example to check by hand
#
# Two tokens of width 4 and two heads. Token 0 is $(0, 1, 2, 3)$ and token 1 is $(4, 5, 6, 7)$:
#
# $$\begin{pmatrix} 0 & 1 & 2 & 3 \\ 4 & 5 & 6 & 7 \end{pmatrix} \;\longrightarrow\;
# \text{head 0: } \begin{pmatrix} 0 & 1 \\ 4 & 5 \end{pmatrix}, \quad
# \text{head 1: } \begin{pmatrix} 2 & 3 \\ 6 & 7 \end{pmatrix}$$
#
# Head 0 has the first half of *every* token. Going from (2, 4) to (2, 2, 2) without swapping anything would give head 0
# the rows $(0, 1)$ and $(2, 3)$: all of token 0, and nothing of token 1. The shape is the same; the tokens have become
# heads. A model with this bug trains, only badly.

# %%
import math

import numpy as np
import torch
from torch import Tensor

# %% [markdown]
# ## Exercise `split_merge_heads`: splitting and merging heads (8 points)
#
# A tensor is a row of numbers in memory plus a recipe for reading it (its strides). Swapping two axes changes the
# recipe only, and afterwards the numbers no longer lie in the order in which the indices run. `view` never moves
# numbers; where that is not enough, it raises. Try both functions on an input that has been transposed before.


# %% exercise="split_merge_heads"
def split_heads(x: Tensor, H: int) -> Tensor:
    """Cut the last axis into H heads: (B, T, H·Dh) -> (B, H, T, Dh).

    Args:
        x: (B, T, D), any dtype, of any memory layout (it may be a transposed or strided view, not contiguous).
        H: number of heads, at least 1.

    Returns:
        (B, H, T, Dh) with Dh = D / H, in the dtype of x: out[b, h, t, i] = x[b, t, h·Dh + i]. Head h gets the block
        h·Dh ... (h+1)·Dh − 1 of every token. It may be a view of x; x itself is not changed, gradients pass through.

    Raises:
        ValueError: if H does not divide D.

    >>> split_heads(torch.arange(8).reshape(1, 2, 4), 2).tolist()
    [[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]]
    """
    ### BEGIN SOLUTION
    B, T, D = x.shape
    if D % H:
        raise ValueError(f"a width of {D} cannot be cut into {H} heads of equal width")
    return x.reshape(B, T, H, D // H).transpose(1, 2)
    ### END SOLUTION


def merge_heads(x: Tensor) -> Tensor:
    """Put the heads side by side again, the inverse of split_heads: (B, H, T, Dh) -> (B, T, H·Dh).

    Args:
        x: (B, H, T, Dh), any dtype, of any memory layout.

    Returns:
        (B, T, H·Dh) in the dtype of x: out[b, t, h·Dh + i] = x[b, h, t, i]. x is not changed, gradients pass through.

    >>> merge_heads(torch.tensor([[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]])).tolist()
    [[[0, 1, 2, 3], [4, 5, 6, 7]]]
    """
    ### BEGIN SOLUTION
    B, H, T, Dh = x.shape
    return x.transpose(1, 2).reshape(B, T, H * Dh)
    ### END SOLUTION


# %% [markdown]
# ## Multi-head attention, step by step
#
# With that, multi-head attention is five lines of mathematics:
#
# 1. project: three matrix products, (B, Tq, D), (B, Tk, D), (B, Tk, D);
# 2. split each into heads;
# 3. attend in every head: the scaled dot-product attention of unit 2 on (B, H, ·, Dh);
# 4. merge;
# 5. project once more with $W_O$ and $b_O$.
#
# **Masks.** A mask says who may look at whom, and normally says it to all heads alike: shape (Tq, Tk), or (B, 1, Tq,
# Tk) with an axis of length 1 where the scores have the heads. It may also be (B, H, Tq, Tk), a mask for each head. A
# query that may look at nothing gets weight 0 everywhere, so every head returns 0 and the layer returns $b_O$.
#
# **The order of heads is arbitrary.** Swap the blocks of two heads in $W_Q$, $W_K$, $W_V$ (and their biases), and the
# matching *columns* of $W_O$: the layer computes the same. So "head 3" has a meaning within one trained model only.
#
# ### An example to check by hand
#
# Two tokens, $D = 2$, $H = 2$, hence $D_h = 1$ and a root of 1. All four matrices are the identity, all biases 0, and
# with $a = \sqrt{\ln 3} \approx 1.0481$
#
# $$X = \begin{pmatrix} 0 & a \\ a & 0 \end{pmatrix}$$
#
# Head 0 reads the first column. Token 0 asks with 0, sees two scores of 0, and shares equally: $\frac12 \cdot 0 +
# \frac12 a = 0.524$. Token 1 asks with $a$; its scores are $0$ and $a^2 = \ln 3$, the weights $\frac14$ and $\frac34$,
# the result $\frac34 a = 0.786$. Head 1 reads the second column, where the tokens have changed roles:
#
# | | head 0: weights | head 0: result | head 1: weights | head 1: result |
# |---|---|---|---|---|
# | token 0 | $\frac12, \frac12$ | 0.524 | $\frac34, \frac14$ | 0.786 |
# | token 1 | $\frac14, \frac34$ | 0.786 | $\frac12, \frac12$ | 0.524 |
#
# Side by side, the outputs are $(0.524, 0.786)$ and $(0.786, 0.524)$. The same token looks at the two tokens
# differently in the two heads: that is the whole point.

# %% [markdown]
# ## Exercise `mha_numpy`: multi-head attention in NumPy (14 points)
#
# In NumPy, since nothing is hidden there. Splitting and merging are two lines each, or one `einsum`; you need not have
# solved the exercise above. A mistake in a shape will tell you so. The quiet ones are: the wrong width under the root,
# a bias left out, a mask that reaches one head only, heads that are averaged.


# %% exercise="mha_numpy"
def multi_head_attention(
    xq: np.ndarray,
    xkv: np.ndarray,
    Wq: np.ndarray,
    Wk: np.ndarray,
    Wv: np.ndarray,
    Wo: np.ndarray,
    bq: np.ndarray,
    bk: np.ndarray,
    bv: np.ndarray,
    bo: np.ndarray,
    H: int,
    mask: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Multi-head attention of xq over xkv.

    Args:
        xq: (B, Tq, D), float32 or float64: what queries are made from. The other arrays, but the mask, have its dtype.
        xkv: (B, Tk, D): what keys and values are made from. Tq and Tk may differ; for self-attention, pass one
            array twice.
        Wq, Wk, Wv, Wo: (D, D) in (out, in) layout, so a projection is x Wᵀ + b. Rows h·Dh ... (h+1)·Dh − 1 of Wq, Wk
            and Wv, and the same columns of Wo, belong to head h.
        bq, bk, bv, bo: (D,).
        H: number of heads; it divides D, and Dh = D / H.
        mask: bool, True = may attend, of any shape that broadcasts to (B, H, Tq, Tk). None: everything is allowed.

    Returns:
        (out, weights). out (B, Tq, D) = concat(heads) Woᵀ + bo. weights (B, H, Tq, Tk): the softmax over the keys of
        q·k / √Dh, for each head; a masked pair has weight exactly 0. Both have the dtype of xq.

    The ready-made MultiHeadAttention of `autograder.given` may not be used.

    A query with nothing to attend to (a row of the mask without a True) has weights 0, and its output is bo; there is
    no NaN. Scores may be large: ±1000 must not overflow. No argument is changed.

    >>> a, one, zero = math.sqrt(math.log(3.0)), np.eye(2), np.zeros(2)
    >>> x = np.array([[[0.0, a], [a, 0.0]]])
    >>> out, weights = multi_head_attention(x, x, one, one, one, one, zero, zero, zero, zero, 2)
    >>> out.round(3).tolist()
    [[[0.524, 0.786], [0.786, 0.524]]]
    >>> weights.round(2).tolist()  # head 0: queries by keys, then head 1
    [[[[0.5, 0.5], [0.25, 0.75]], [[0.75, 0.25], [0.5, 0.5]]]]
    """
    ### BEGIN SOLUTION
    B, Tq, D = xq.shape

    def heads(x: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (x @ W.T + b).reshape(B, -1, H, D // H).swapaxes(1, 2)  # (B, H, T, Dh)

    q, k, v = heads(xq, Wq, bq), heads(xkv, Wk, bk), heads(xkv, Wv, bv)
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(D // H)  # (B, H, Tq, Tk)
    allowed = np.broadcast_to(True if mask is None else mask, scores.shape)
    highest = np.max(scores, axis=-1, keepdims=True, where=allowed, initial=-np.inf)
    highest = np.where(np.isfinite(highest), highest, 0.0)  # rows with nothing allowed
    weights = np.exp(scores - highest, where=allowed, out=np.zeros_like(scores))
    total = weights.sum(axis=-1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    out = (weights @ v).swapaxes(1, 2).reshape(B, Tq, D) @ Wo.T + bo
    return out.astype(xq.dtype), weights.astype(xq.dtype)
    ### END SOLUTION


# %% [markdown]
# ## The picture
#
# Six tokens, each with a colour and a shape, written as two one-hot vectors of width 3 side by side. With queries and
# keys that just copy the token, head 0 owns the colours and head 1 the shapes, since those are their blocks. So head 0
# finds the tokens of the same colour and head 1 those of the same shape. (If your picture shows something else, look at
# which numbers a head gets.)
#
# On the right, one head has all six numbers. It can add up "same colour" and "same shape", and it looks hardest at the
# token that agrees in both: itself. But it cannot tell the two reasons apart, and no matrix that comes after it can
# either. The [third page](why_multiple_heads.ipynb) makes this precise.

# %%
TOKENS = ["red square", "blue disc", "red disc", "green star", "blue star", "green square"]


def figure_data() -> np.ndarray:
    """Attention weights (3, 6, 6), queries by keys: the colour head, the shape head, a single head of full width."""
    colours, shapes = ["red", "blue", "green"], ["square", "disc", "star"]
    x = np.zeros((1, len(TOKENS), 6))
    for t, token in enumerate(TOKENS):
        colour, shape = token.split()
        x[0, t, colours.index(colour)] = 1.0
        x[0, t, 3 + shapes.index(shape)] = 1.0
    one, zero = np.eye(6), np.zeros(6)
    panels = []
    for heads in (2, 1):
        sharpness = 3.0 * math.sqrt(6 // heads)  # so that an agreement raises a score by 3
        panels.append(multi_head_attention(x, x, sharpness * one, one, one, one, zero, zero, zero, zero, heads)[1][0])
    return np.concatenate(panels)


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 3, figsize=(13, 5), layout="constrained", sharey=True)
    titles = ["head 0 of 2: the same colour", "head 1 of 2: the same shape", "one head of full width: a sum of both"]
    for ax, title, weights in zip(axes, titles, figure_data(), strict=True):
        picture = ax.imshow(weights, vmin=0.0, vmax=1.0)
        ax.set_title(title)
        ax.set_xticks(range(len(TOKENS)), TOKENS, rotation=45, ha="right")
        ax.set_yticks(range(len(TOKENS)), TOKENS)
        ax.set_xlabel("key")
    axes[0].set_ylabel("query")
    fig.colorbar(picture, ax=axes, label="attention weight", shrink=0.8)
    fig.savefig("heads_by_feature.png", dpi=110)
    plt.show()

    numbers = torch.arange(8).reshape(1, 2, 4)
    print("two tokens:", numbers.tolist(), "as two heads:", split_heads(numbers, 2).tolist())
    print("and back:", merge_heads(split_heads(numbers, 2)).tolist())

# %% [markdown]
# ## Further reading
#
# - Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), section 3.2.2.
# - Elhage et al. 2021, [A mathematical framework for transformer
#   circuits](https://transformer-circuits.pub/2021/framework/index.html): what a head reads and writes.
