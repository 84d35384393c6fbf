# %% [markdown]
# # Attention from scratch
#
# *Unit 1, page 3 of 4. Before: [the mathematics of attention](attention_mathematics.ipynb). Next: [through the
# bottleneck](bottleneck.ipynb). Paper: [Vaswani et al. 2017, Attention Is All You
# Need](https://arxiv.org/abs/1706.03762), section 3.2.1.*
#
# The two pages before made the parts: scores say how well a key fits a query, and a softmax turns the scores of a query
# into weights. What is left is to use the weights. On this page the parts become one function, in plain NumPy, and then
# you compute its gradient with your own hands. Nobody does that for a living any more, but whoever has done it once
# knows what every attention layer in every model does on its way back, and where it can break.

# %% [markdown]
# ![A query is compared with three keys; scores become the weights one quarter, one quarter and one half, which blend
# the three values into the output](diagrams/attention_from_scratch.svg)

# %% [markdown]
# ## Three roles
#
# So far the thing that is compared (the key) and the thing that is averaged were the same vector: an encoder state.
# They need not be. A library has catalogue cards and books; you compare your question with the *cards* and take home
# the *books*. So each source position has two vectors, a **key** and a **value**, perhaps of different widths:
#
# | symbol | role | shape |
# |---|---|---|
# | $Q$ | queries: what is wanted | $(T_q, D_k)$ |
# | $K$ | keys: what each position is found by | $(T_k, D_k)$ |
# | $V$ | values: what each position hands over | $(T_k, D_v)$ |
#
# $$S = c\, Q K^\top, \qquad P = \mathrm{softmax}(S) \ \text{over the keys}, \qquad O = P V, \qquad c =
# \frac{1}{\sqrt{D_k}}$$
#
# Row $i$ of $O$ is $\sum_j P_{ij} V_j$: a weighted average of the values, with the weights of query $i$. Three facts
# follow from "weighted average", and all of them make good tests:
#
# - **An average stays between the extremes.** No entry of the output lies above the largest value of its column, or
#   below the smallest. Attention cannot invent, it can only blend.
# - **Nobody asked for the order of the source.** Shuffle keys and values together and the output does not change. What
#   that means for word order is the subject of [unit 4](../unit4_positional_encoding/sinusoidal.ipynb).
# - **One key, no choice.** With $T_k = 1$ the output is that value, whatever the scores are.
#
# ### More axes
#
# In a batch there is one such problem per sentence, with heads ([unit
# 3](../unit3_multi_head_attention/multi_head_mathematics.ipynb)) one per sentence and head. Those axes stand on the
# left and take no part: $(\ldots, T_q, D_k)$. NumPy's `@` multiplies the *last two* axes and lets the others come
# along. To transpose the last two axes, `np.swapaxes(K, -1, -2)` does what you want; `K.T` reverses *all* of them,
# which is the same thing for a matrix and nonsense for a batch.
#
# ### An example to check by hand
#
# One query, three keys, $D_k = 4$ and so $c = \frac12$:
#
# $$q = (2, 0, 0, 0), \quad k_0 = (0, 0, 0, 0), \quad k_1 = (0, 1, 0, 0), \quad k_2 = (\ln 2, 0, 0, 0)$$
#
# The products are $0, 0, 2 \ln 2$, the scores $0, 0, \ln 2$, their exponentials $1, 1, 2$, and the weights $\frac14,
# \frac14, \frac12$. With the values $(8, 0)$, $(0, 8)$ and $(2, 2)$ the output is $(2, 0) + (0, 2) + (1, 1) = (3, 3)$.
#
# Without $c$ the weights would be $\frac16, \frac16, \frac46$, and nobody would notice: the output looks as reasonable
# as the right one. A missing scale is never seen by looking.

# %%
import math

import numpy as np

from autograder.given import masked_softmax


# %% [markdown]
# ## Exercise `qkv_attention`: queries, keys and values (14 points)
#
# `masked_softmax(scores, mask)`, the function of the [page before](attention_mathematics.ipynb), is imported above, so
# that you can do this page without that one: forbidden keys get weight 0, and so does everything in a row in which
# nothing is allowed. You may use it, or your own.

# %%
def attention(
    Q: np.ndarray, K: np.ndarray, V: np.ndarray, mask: np.ndarray | None = None, scale: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scaled dot-product attention: softmax(Q Kᵀ · scale) V, over the keys that each query may see.

    Args:
        Q: queries (..., Tq, Dk), floating point. K: keys (..., Tk, Dk). V: values (..., Tk, Dv). The leading axes are
            the same for all three; there may be any number of them, none included. Dv may differ from Dk and Tk from
            Tq. One dtype for all.
        mask: bool, True = may attend; of any shape that broadcasts to (..., Tq, Tk), such as (Tq, Tk) or, for Q of
            shape (B, H, Tq, Dk), (B, 1, 1, Tk). None means that everything may be seen.
        scale: what the products are multiplied by; None means 1/√Dk. 0 is a scale too.

    Returns:
        out (..., Tq, Dv): the blended values. weights (..., Tq, Tk): the softmax, rows sum to 1, exactly 0 where the
        mask forbids. Both have the dtype of Q.

    A query that may attend to nothing, because its whole row is masked or because Tk = 0, gets weights 0 and output 0.
    What a forbidden key or value holds (finite, perhaps 1e30) leaves no trace. No argument is changed.

    Write it with NumPy; torch's and other libraries' attention and softmax functions may not be used, nor may the
    ready-made attention of `autograder.given`. Its `masked_softmax` may.

    >>> Q = np.array([[2.0, 0.0, 0.0, 0.0]])
    >>> K = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [math.log(2), 0.0, 0.0, 0.0]])
    >>> V = np.array([[8.0, 0.0], [0.0, 8.0], [2.0, 2.0]])
    >>> out, weights = attention(Q, K, V)
    >>> out.round(4).tolist(), weights.round(4).tolist()
    ([[3.0, 3.0]], [[0.25, 0.25, 0.5]])
    >>> attention(Q, K, V, mask=np.array([[False, True, False]]))[0].tolist()
    [[0.0, 8.0]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The way back
#
# Somewhere after the attention there is a loss $L$, and its gradient with respect to the output arrives: $dO$, of the
# shape of $O$, with $dO_{id} = \partial L / \partial O_{id}$. The question is what $dQ$, $dK$ and $dV$ are. (Such a
# function, from the gradient of the output to the gradients of the inputs, is called a *vector-Jacobian product*, vjp
# for short. Nobody ever builds the Jacobian itself, whose size is the product of the sizes of output and input.)
#
# Two rules are enough. Take the three steps of the forward pass in reverse order and apply them.
#
# **A matrix product.** If $Y = A B$, then
#
# $$dA = dY\, B^\top, \qquad dB = A^\top dY$$
#
# There is no need to remember which is which: only one order has the right shapes.
#
# **A softmax.** If $p = \mathrm{softmax}(s)$ for one row, then raising $s_j$ raises $p_j$ *and lowers all the others*,
# since the sum stays 1. Writing it out ([unit 0](../unit0_prerequisites/numerics.ipynb) does) gives
#
# $$\frac{\partial p_i}{\partial s_j} = p_i (\delta_{ij} - p_j) \qquad \text{and so} \qquad ds_j = p_j \Big( dp_j -
# \sum_i p_i\, dp_i \Big)$$
#
# Read it: $dp_j$ says how much the loss would like weight $j$ to grow, the sum is the average wish, weighted by the
# present attention. A score rises if its wish is *above average*. If all wishes are equal nothing moves, and with a
# single key nothing can. The factor $p_j$ in front says that a key without attention gets no gradient: this is the
# saturation of the last page, and it is also why a masked key, with $p_j$ exactly 0, gets exactly nothing.
#
# Do not forget the scale $c$: it is part of $S = c\, Q K^\top$, once.
#
# ### An example to check by hand
#
# One query, two keys, all widths 1, so $c = 1$. With $q = 1$, $k = (0, \ln 3)$ and $v = (0, 4)$ the weights are
# $(\frac14, \frac34)$ and the output is 3. Let $dO = 1$. Then
#
# - each value counts as much as its weight: $dv = (\frac14, \frac34)$;
# - the wishes are $dp = dO \cdot v = (0, 4)$, their average is $\frac14 \cdot 0 + \frac34 \cdot 4 = 3$;
# - $ds = (\frac14 (0 - 3),\ \frac34 (4 - 3)) = (-\frac34, \frac34)$: it sums to 0, as it must;
# - $dq = \sum_j ds_j k_j = \frac34 \ln 3 \approx 0.8240$, and $dk = ds \cdot q = (-\frac34, \frac34)$.
#
# To make the output larger: move key 1 towards the query and key 0 away from it. The output itself is the average wish,
# and that is no accident; [unit 7](../unit7_attention_core/tiled_attention.ipynb) builds on it.

# %% [markdown]
# ## Exercise `attention_vjp`: its gradient, by hand (14 points)
#
# Check yourself with differences: change one entry of `Q` by $\pm 10^{-6}$ and see how far `(dO * out).sum()` moves.

# %%
def attention_vjp(
    dO: np.ndarray, Q: np.ndarray, K: np.ndarray, V: np.ndarray, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of Σ dO · O with respect to Q, K and V, for O = softmax(Q Kᵀ / √Dk) V over the allowed keys.

    Args:
        dO: (..., Tq, Dv), the gradient that arrives at the output.
        Q: (..., Tq, Dk). K: (..., Tk, Dk). V: (..., Tk, Dv), with Tk ≥ 1. All four have one dtype and the same leading
            axes, of which there may be none.
        mask: bool, True = may attend, broadcastable to (..., Tq, Tk); None means that everything may be seen.

    Returns:
        dQ, dK, dV, of the shapes and dtype of Q, K and V.

    A query that may attend to nothing has output 0 whatever the inputs are: its row of dQ is exactly 0, and it adds
    nothing to dK and dV. A key that no query may see gets exactly 0 in dK and dV. There is no NaN, also where forbidden
    keys and values hold something like 1e30. No argument is changed.

    Write it with NumPy, without automatic differentiation.

    >>> dO, Q = np.array([[1.0]]), np.array([[1.0]])
    >>> K, V = np.array([[0.0], [math.log(3)]]), np.array([[0.0], [4.0]])
    >>> [g.round(4).tolist() for g in attention_vjp(dO, Q, K, V)]
    [[[0.824]], [[-0.75], [0.75]], [[0.25], [0.75]]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# Attention as a way to *look up a function*. Twelve points $(x_j, y_j)$ of a noisy curve are given: the $x_j$ are
# turned into keys, the $y_j$ are the values. The queries are places $x$ at which we would like to know $y$. Let the
# features be such that the product of query and key is $x\, x_j - x_j^2 / 2$. That is $-(x - x_j)^2 / 2$, plus a term
# that belongs to the query alone and that the softmax cancels. So near keys fit better, and the answer is an average of
# the near points: a method from statistics (kernel regression, 1964) turns out to be attention.
#
# The `scale` says how picky the look-up is. At 0 every query gets the mean of all values. A large scale gives the value
# of the nearest key alone, the hard dictionary. In between, the curve. On the right, the weights of the middle case:
# each row is a query, and its attention moves along the keys. Nowhere does a curve leave the range of the points.
#
# Next: the same function inside a model that learns what to look up, [through the bottleneck](bottleneck.ipynb).

# %%
SCALES = [0.0, 150.0, 5000.0]


def figure_data() -> np.ndarray:
    """(3, 101): the value looked up at 101 places from 0 to 1, at each of SCALES."""
    return np.stack([out[:, 0] for out, _ in _look_up()])


def _points() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = (np.arange(12) + rng.uniform(0.1, 0.9, 12)) / 12
    return x, np.sin(2 * math.pi * x) + 0.15 * rng.standard_normal(12)


def _look_up() -> list[tuple[np.ndarray, np.ndarray]]:
    """Output (101, 1) and weights (101, 12) at each of SCALES."""
    x, y = _points()
    places = np.linspace(0, 1, 101)
    Q = np.stack([places, np.ones_like(places)], axis=-1)  # (101, 2)
    K = np.stack([x, -(x**2) / 2], axis=-1)  # (12, 2)
    return [attention(Q, K, y[:, None], scale=scale) for scale in SCALES]


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    x, y = _points()
    for curve, scale in zip(figure_data(), SCALES, strict=True):
        left.plot(np.linspace(0, 1, 101), curve, label=f"scale {scale:g}")
    left.plot(x, y, "ko", label="keys and their values")
    left.set_xlabel("x of the query")
    left.set_ylabel("value looked up")
    left.set_title("a soft look-up")
    left.legend()
    weights = _look_up()[1][1]
    fig.colorbar(right.imshow(weights, aspect="auto", extent=(-0.5, 11.5, 1, 0)), ax=right, label="attention weight")
    right.set_xlabel("key j")
    right.set_ylabel("x of the query")
    right.set_title(f"the weights at scale {SCALES[1]:g}")
    fig.savefig("soft_lookup.png", dpi=120)
    plt.show()

    # The gradient of the look-up at x = 0.5 with respect to the values: the weights themselves.
    out, weights = attention(np.ones((1, 4)), np.eye(5, 4), np.arange(5.0)[:, None])
    dQ, dK, dV = attention_vjp(np.ones((1, 1)), np.ones((1, 4)), np.eye(5, 4), np.arange(5.0)[:, None])
    print("weights:", weights.round(3), " gradient with respect to the values:", dV.T.round(3))

# %% [markdown]
# ## Further reading
#
# - 3Blue1Brown, [Attention in transformers, step by step](https://www.3blue1brown.com/lessons/attention), a visual
#   lecture.
# - Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), equation 1.
