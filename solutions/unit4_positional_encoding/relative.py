# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Relative positions
#
# *Unit 4, page 4 of 4. Before: [the embedding](embedding.ipynb). Next: unit 5, the transformer. Papers: [Shaw et al.
# 2018](https://arxiv.org/abs/1803.02155); [Su et al. 2021, RoFormer](https://arxiv.org/abs/2104.09864), section 3;
# [Press et al. 2022, Train Short, Test Long](https://arxiv.org/abs/2108.12409), section 3; [Raffel et al. 2020,
# T5](https://arxiv.org/abs/1910.10683), section 2.1.*
#
# ## Not where, but how far
#
# What "the" refers to depends on the word two places further, wherever in the text the two stand. Absolute positions
# have to learn that anew for each place. And they are put in once, at the bottom of the model, and must survive all the
# layers above. The alternative is to leave the tokens alone and to put positions where they are needed: into each
# comparison of a query with a key, and there only as the **distance** between the two.

# %% [markdown]
# ![Attention from the tokens to the output, with three places where positions can enter: added to the tokens, by
# rotating queries and keys, or as a bias on the scores; the values have none](diagrams/relative.svg)

# %% [markdown]
# There are two places for that. RoPE turns queries and keys before they are compared. ALiBi and T5 add a number to the
# score afterwards. In none of the three do positions reach the values: what a token says does not change with its
# place.
#
# ## Rotary position embedding: RoPE
#
# On the [first page](sinusoidal.ipynb) a rotation of each pair of numbers took an encoding $k$ positions further. RoPE
# throws the encoding away and keeps the rotation. Cut a query of width $D_h$ into $D_h/2$ pairs $(x, y)$, and turn pair
# $i$ of the query at position $m$ by the angle $m\,\omega_i$:
#
# $$R_m: \begin{pmatrix} x \\ y \end{pmatrix} \mapsto \begin{pmatrix} \cos m\omega_i & -\sin m\omega_i \\
# \sin m\omega_i & \cos m\omega_i \end{pmatrix} \begin{pmatrix} x \\ y \end{pmatrix}, \qquad
# \omega_i = \mathrm{base}^{-2i/D_h}$$
#
# Do the same to each key, at its own position $n$. Scalar products do not change if both vectors are turned alike, so
# all that is left in a score is the difference of the two angles:
#
# $$(R_m q) \cdot (R_n k) = q \cdot (R_{n-m}\, k)$$
#
# Lengths stay, position 0 changes nothing, nothing is learned, and there is no longest text built in. (On the first
# page the pair was (sine, cosine), and the minus sign stood in the other corner. Here the pair is any two numbers, read
# as a point, turned counter-clockwise.)
#
# ### Which two numbers are a pair?
#
# Two layouts are in use, and checkpoints exist for both:
#
# | layout | pairs of a vector $(x_0, x_1, x_2, x_3)$ | found in |
# |---|---|---|
# | `"interleaved"` | $(x_0, x_1)$ and $(x_2, x_3)$: neighbours | the paper, GPT-J, Meta's own Llama code |
# | `"half"` | $(x_0, x_2)$ and $(x_1, x_3)$: pair $i$ is $(x_i, x_{i + D_h/2})$ | GPT-NeoX, Llama in transformers |
#
# Pair $i$ turns with $\omega_i$ in both. By hand, position 1, $D_h = 4$, base 10 000, so $\omega = (1, 0.01)$:
#
# | vector | interleaved | half |
# |---|---|---|
# | $(1, 0, 0, 0)$ | $(0.540, 0.841, 0, 0)$ | $(0.540, 0, 0.841, 0)$ |
# | $(0, 1, 0, 0)$ | $(-0.841, 0.540, 0, 0)$ | $(0, 1.000, 0, 0.010)$ |
#
# The same vectors have other scores in the other layout. But the layouts differ by nothing more than the order of the
# entries, and that order is made by the rows of $W_Q$ and $W_K$. So a checkpoint is converted by **permuting rows**, in
# each head by itself: for `"half"`, first all that were the first of a pair, and then all that were the second. For a
# head with $D_h = 6$ and rows $r_0 \dots r_5$:
#
# $$(r_0, r_1, r_2, r_3, r_4, r_5) \;\xrightarrow{\text{to half}}\; (r_0, r_2, r_4, r_1, r_3, r_5)$$
#
# $W_V$ is left alone. Forget the permutation, and the model loads without an error and writes nonsense.
#
# ### What goes wrong
#
# **Positions are an argument.** They are not always $0, 1, 2, \dots$: with a cache the new token is number 1000; with
# padding on the left every text of the batch begins somewhere else; documents packed into one row start again at 0.
#
# **Angles need precision.** A query in bfloat16 is fine; a *position* in bfloat16 is not: it has 8 binary digits, so
# 1999 becomes 2000, and everything after the point is lost. Compute angles in float32 at least, take sine and cosine,
# and only then go back. If the input is float64, so are the angles.
#
# **The argument is still needed.** In self-attention with tied projections, or where q, k and v are views of one
# tensor, writing the rotated numbers into the argument rotates the *values* as well.

# %%
import math

import numpy as np
import torch
from torch import Tensor, nn

# %% [markdown]
# ## Exercise `rope`: rotary position embedding (16 points)
#
# Two functions, one cell. Everything is there in the picture of a point that is turned; complex numbers are welcome
# too.


# %% exercise="rope"
def apply_rope(x: Tensor, positions: Tensor, base: float = 1e4, layout: str = "interleaved") -> Tensor:
    """Turn each vector by its position.

    Args:
        x: (..., T, Dh), queries or keys, for example (B, H, T, Dh); any float dtype and memory layout. Dh is even.
        positions: int64, of any shape that broadcasts to x.shape[:-1]: (T,) for all alike, (B, 1, T) for each text of
            (B, H, T, Dh). Any numbers from 0 on, in any order; not only 0 ... T − 1.
        base: pair i of Dh / 2 turns by positions · base ** (-2i / Dh).
        layout: "interleaved": pair i is (x[..., 2i], x[..., 2i + 1]). "half": pair i is (x[..., i], x[..., i + Dh/2]).
            Others do not occur.

    Returns:
        A new tensor of x's shape and dtype: the pair (x, y) becomes (x cos a − y sin a, x sin a + y cos a), at the
        places where it was. x is not changed, not even in part: it may serve as values afterwards. Differentiable in x.
        Angles are float64 where x is, and accurate to 1e-9 up to position 100 000; for other dtypes they have at least
        the precision of float32, whatever the dtype of x.

    Raises:
        ValueError: if Dh is odd.

    >>> x = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    >>> position = torch.tensor([1, 1])
    >>> [[round(value, 3) for value in row] for row in apply_rope(x, position).tolist()]
    [[0.54, 0.841, 0.0, 0.0], [-0.841, 0.54, 0.0, 0.0]]
    >>> [[round(value, 3) for value in row] for row in apply_rope(x, position, layout="half").tolist()]
    [[0.54, 0.0, 0.841, 0.0], [0.0, 1.0, 0.0, 0.01]]
    """
    ### BEGIN SOLUTION
    Dh = x.shape[-1]
    if Dh % 2:
        raise ValueError(f"a head of width {Dh} cannot be cut into pairs")
    exact = torch.promote_types(x.dtype, torch.float32)
    pair = torch.arange(Dh // 2, device=x.device, dtype=torch.float64)
    angles = (positions[..., None] * base ** (-2 * pair / Dh)).to(exact)  # (..., T, Dh / 2)
    cos, sin = angles.cos(), angles.sin()
    if layout == "interleaved":
        first, second = x[..., 0::2], x[..., 1::2]
        return torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1).flatten(-2).to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1).to(x.dtype)
    ### END SOLUTION


def permute_qk_weights(W: Tensor, H: int, to: str = "half") -> Tensor:
    """Reorder the rows of a query or key projection, so that the other layout of RoPE gives the same scores.

    Args:
        W: (H·Dh, D), the rows of head h being h·Dh ... (h+1)·Dh − 1. Dh is even.
        H: number of heads.
        to: "half": W was made for "interleaved"; in each head come its rows 0, 2, 4, ... and then its rows 1, 3, 5, ...
            "interleaved": W was made for "half"; the same back. Others do not occur.

    Returns:
        (H·Dh, D), a new tensor or a view, in the dtype of W, differentiable; W is not changed. With q = x Wqᵀ and
        k = x Wkᵀ cut into heads, the scores q·k after "interleaved" rotation are those that the two permuted matrices
        give after "half" rotation.

    >>> W = torch.arange(6)[:, None]  # one head, Dh = 6, D = 1: row r holds the number r
    >>> permute_qk_weights(W, 1)[:, 0].tolist()
    [0, 2, 4, 1, 3, 5]
    >>> permute_qk_weights(W, 1, to="interleaved")[:, 0].tolist()
    [0, 3, 1, 4, 2, 5]
    """
    ### BEGIN SOLUTION
    heads = W.unflatten(0, (H, -1, 2) if to == "half" else (H, 2, -1))
    return heads.transpose(1, 2).flatten(0, 2)
    ### END SOLUTION


# %% [markdown]
# ## ALiBi: attention with linear biases
#
# The simplest answer of all: the further away, the less. Nothing is added to the tokens and nothing is turned; each
# score gets a penalty in proportion to the distance,
#
# $$\mathrm{score}_{h,i,j} = \frac{q_i \cdot k_j}{\sqrt{D_h}} - s_h \cdot \mathrm{distance}(i, j)$$
#
# with a slope $s_h$ for each head that is fixed before training. A head with a steep slope sees its neighbours, one
# with a flat slope nearly everything. Models trained so on short texts keep working on longer ones, which was the
# point.
#
# **Slopes.** For $H$ a power of two they are the geometric sequence that starts at $2^{-8/H}$ and has that ratio: $s_h
# = 2^{-8h/H}$ for $h = 1, \dots, H$. With eight heads $\frac12, \frac14, \dots, \frac1{256}$. For other $H$ the authors
# do *not* put $H$ into that formula. Let $n$ be the largest power of two below $H$. The first $n$ slopes are those of
# $n$ heads; the rest are every second one, from the first on, of the slopes of $2n$ heads. For $H = 6$, $n = 4$:
#
# | | slopes |
# |---|---|
# | of 4 heads | $\frac14, \frac1{16}, \frac1{64}, \frac1{256}$ |
# | of 8 heads | $\boldsymbol{\frac12}, \frac14, \boldsymbol{\frac18}, \frac1{16}, \dots$: every second one |
# | of 6 heads | $\frac14, \frac1{16}, \frac1{64}, \frac1{256}, \frac12, \frac18$ |
#
# **Distance.** The last query stands at the last key, as it does when a model writes with a cache: the alignment of
# [`causal_mask`](../unit2_self_attention/scaled_dot_product.ipynb), at the bottom right. So query $i$ stands at
# position $i + (T_k - T_q)$, and $\mathrm{distance}(i, j) = i + (T_k - T_q) - j$. Keys of the future are the causal
# mask's affair. With slope $\frac12$, two queries and three keys:
#
# $$-\tfrac12 \begin{pmatrix} 1 & 0 & \cdot \\ 2 & 1 & 0 \end{pmatrix} =
# \begin{pmatrix} -0.5 & 0 & \cdot \\ -1 & -0.5 & 0 \end{pmatrix}$$
#
# (BLOOM stores $s_h \cdot j$ instead, one number for each key and none for the query. The two differ by the same number
# in a whole row, and a softmax does not see that.)

# %% [markdown]
# ## Exercise `alibi`: attention with linear biases (10 points)


# %% exercise="alibi"
def alibi_slopes(H: int) -> Tensor:
    """The slopes of H heads.

    Args:
        H: at least 1, a power of two or not.

    Returns:
        (H,) positive numbers, float32 or float64, accurate to 1e-6 (relative): with n the largest power of two that is
        at most H, first 2 ** (-8h / n) for h = 1 ... n; then 2 ** (-8h / (2n)) for h = 1, 3, 5, ... until there are H.

    >>> alibi_slopes(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> alibi_slopes(6).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]
    """
    ### BEGIN SOLUTION
    n = 2 ** (H.bit_length() - 1)
    exponents = [h / n for h in range(1, n + 1)] + [h / (2 * n) for h in range(1, 2 * n, 2)]
    return torch.tensor([2 ** (-8 * exponent) for exponent in exponents[:H]])
    ### END SOLUTION


def alibi_bias(
    H: int, Tq: int, Tk: int, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """What is added to the scores: minus slope times distance.

    Args:
        H, Tq, Tk: number of heads, queries and keys. Query i stands at position i + Tk − Tq, key j at position j.
        device, dtype: of the result; any float dtype.

    Returns:
        (H, Tq, Tk): out[h, i, j] = −slopes[h] · (i + Tk − Tq − j) for each key that the query may see, j ≤ i + Tk − Tq.
        What stands at the other places, which a causal mask hides, is up to you: they are not checked. So the last
        query has 0 at the last key, and what is checked is never positive. Accurate to 1e-6 (relative), or as far as
        dtype goes.

    >>> alibi_bias(8, 2, 3)[0].tril(1).tolist()  # slope 1/2; two queries, three keys
    [[-0.5, -0.0, 0.0], [-1.0, -0.5, -0.0]]
    """
    ### BEGIN SOLUTION
    distance = torch.arange(Tq)[:, None] + (Tk - Tq) - torch.arange(Tk)  # (Tq, Tk), negative for the future
    return (-alibi_slopes(H)[:, None, None] * distance).to(device=device, dtype=dtype)
    ### END SOLUTION


# %% [markdown]
# ## T5: one learned number for each distance
#
# Instead of a straight line, let the model learn what each distance is worth: a table of numbers, one row for each
# distance and one column for each head, added to the scores. To be good for any length it must be finite, so distances
# are sorted into **buckets**: near ones get a bucket each, farther ones share, the more the farther, and beyond
# `max_distance` all share the last one. Whether something is 3 or 4 tokens away matters; 103 or 104 does not.
#
# The distance comes with a sign, $\mathrm{rel} = \mathrm{key\ position} - \mathrm{query\ position}$ (T5 says memory
# minus query): negative for keys of the past. With $B$ buckets for one direction, of which the first $E = \lfloor B/2
# \rfloor$ are exact, distance $n \ge 0$ goes to
#
# $$\mathrm{bucket}(n) = \begin{cases} n & n < E \\
# \min\!\Big(B - 1,\; E + \Big\lfloor \dfrac{\ln(n/E)}{\ln(\mathrm{max\_distance}/E)}\,(B - E) \Big\rfloor\Big)
# & n \ge E \end{cases}$$
#
# - **Unidirectional** (a decoder): $B$ is `num_buckets`, $n = -\mathrm{rel}$ for the past, and everything in the future
#   goes to bucket 0, where $n = 0$ is: the causal mask hides it anyway.
# - **Bidirectional** (an encoder): half of the buckets for each direction, so $B$ is `num_buckets` / 2, and $n =
#   |\mathrm{rel}|$. The past and rel = 0 have buckets $0 \dots B-1$; the future, rel > 0, has bucket$(n) + B$.
#
# ### An example to check by hand
#
# 8 buckets, max_distance 16, unidirectional: $B = 8$, $E = 4$. Distances 0 to 3 are exact. From there on the logarithm
# runs from 0 at $n = 4$ to 4 at $n = 16$:
#
# | $n$ | 3 | 4 | 5 | 6 | 8 | 11 | 12 | 16 | 1000 |
# |---|---|---|---|---|---|---|---|---|---|
# | $4 \ln(n/4) / \ln 4$ | – | 0 | 0.64 | 1.17 | 2 | 2.92 | 3.17 | 4 | 15.9 |
# | bucket | 3 | 4 | 4 | 5 | 6 | 6 | 7 | 7 | 7 |
#
# The fraction is cut off, not rounded. Bidirectional with 8 buckets, $B = 4$, $E = 2$: one step back is bucket 1, one
# step ahead bucket $1 + 4 = 5$.

# %% [markdown]
# ## Exercise `t5_relative_bias`: learned biases in buckets (14 points)
#
# The constructor is given.


# %% exercise="t5_relative_bias"
def relative_position_bucket(
    rel: Tensor, bidirectional: bool, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    """The bucket of each relative position.

    Args:
        rel: int64 of any shape: position of the key minus position of the query.
        bidirectional: whether half of the buckets are for the future (rel > 0). If not, the future is in bucket 0.
        num_buckets: of both directions together; even, and at least 4.
        max_distance: more than half of one direction's buckets; from here on all share the last bucket.

    Returns:
        int64, of the shape of rel, each in 0 ... num_buckets − 1, by the formula above. rel is not changed. (Where the
        logarithm meets a whole number, as at n = 16, 32 and 64 with the defaults, that number counts; written as above
        it comes out so in float32 and in float64.)

    The ready-made functions of `autograder.given` may not be used.

    >>> relative_position_bucket(torch.tensor([0, -3, -4, -5, -6, -8, -11, -12, -1000, 7]), False, 8, 16).tolist()
    [0, 3, 4, 4, 5, 6, 6, 7, 7, 0]
    >>> relative_position_bucket(torch.tensor([-1, 0, 1]), True, 8, 16).tolist()  # past, present, future
    [1, 0, 5]
    """
    ### BEGIN SOLUTION
    if bidirectional:
        B = num_buckets // 2
        first = (rel > 0).long() * B
        n = rel.abs()
    else:
        B = num_buckets
        first = torch.zeros_like(rel)
        n = (-rel).clamp(min=0)
    E = B // 2
    far = E + (torch.log(n.clamp(min=E) / E) / math.log(max_distance / E) * (B - E)).long()
    return first + torch.where(n < E, n, far.clamp(max=B - 1))
    ### END SOLUTION


class RelativeBias(nn.Module):
    """A learned bias for the scores of each head, by the bucket of the distance.

    Args:
        num_buckets, max_distance, bidirectional: as in relative_position_bucket.
        H: number of heads.

    Parameter, as named in the state dict, and the only one: weight (num_buckets, H). Should you prefer another
    structure inside, add a method `load_reference(self, state_dict)` that copies such a dict into yours, and replaces
    what was there.
    """

    def __init__(self, num_buckets: int, max_distance: int, H: int, bidirectional: bool) -> None:
        super().__init__()
        self.num_buckets, self.max_distance, self.bidirectional = num_buckets, max_distance, bidirectional
        self.weight = nn.Parameter(torch.zeros(num_buckets, H))

    def forward(self, Tq: int, Tk: int, offset: int = 0) -> Tensor:
        """The bias for Tq queries and Tk keys.

        Args:
            Tq, Tk: number of queries and keys, at least 1.
            offset: position of the first query: query i stands at position offset + i, key j at position j. (With a
                cache of n tokens, the new one is query 0 with offset n.)

        Returns:
            (1, H, Tq, Tk) in the dtype of weight, to be added to scores (B, H, Tq, Tk): out[0, h, i, j] =
            weight[bucket(j − (offset + i)), h]. Differentiable in weight. The ready-made RelativeBias of
            autograder.given may not be used.

        >>> bias = RelativeBias(8, 16, 1, False)
        >>> _ = bias.load_state_dict({"weight": torch.arange(8.0)[:, None]})
        >>> bias(2, 3, offset=1)[0, 0].tolist()  # queries 1 and 2 of three tokens: the distances, as they are small
        [[1.0, 0.0, 0.0], [2.0, 1.0, 0.0]]
        """
        ### BEGIN SOLUTION
        device = self.weight.device
        query = offset + torch.arange(Tq, device=device)
        rel = torch.arange(Tk, device=device) - query[:, None]  # (Tq, Tk)
        bucket = relative_position_bucket(rel, self.bidirectional, self.num_buckets, self.max_distance)
        return self.weight[bucket].permute(2, 0, 1)[None]  # (Tq, Tk, H) -> (1, H, Tq, Tk)
        ### END SOLUTION


# %% [markdown]
# ## The pictures
#
# **Rotation.** Left, where the point $(1, 0)$ of each of three pairs goes from position 0 to 15: the first pair runs
# around the circle more than twice, the last hardly leaves its place. Right, the score of a fixed query and a fixed key
# by their distance, for queries at three positions: one curve.
#
# **Biases.** ALiBi's penalty for the first four of eight heads, from steep to flat. And T5's buckets: a map of the
# distances with narrow stripes near the diagonal and broad ones far from it, with and without a future.
#
# | | enters at | learned | longer texts | cost |
# |---|---|---|---|---|
# | sinusoidal | tokens | no | defined, poor | one sum |
# | learned table | tokens | yes | not defined | one sum |
# | RoPE | queries and keys, every layer | no | defined, poor without further tricks | two rotations in each layer |
# | ALiBi | scores, every layer | no | good | one sum of (H, Tq, Tk) |
# | T5 | scores, every layer (one table for all) | yes | defined: the last bucket | the same, and a look-up |
#
# That was unit 4. All the parts of a transformer are now on the table; unit 5 puts them together.


# %%
def figure_data(name: str = "rotation") -> np.ndarray:
    """What the pictures show.

    "rotation": (3, 16, 2), the point (1, 0) of three pairs at positions 0 to 15, with base 100.
    "scores": (3, 41), rotated query times rotated key, for queries at 30, 50, 70 and keys at distance -20 to 20.
    "alibi": (4, 12, 12), the biases of the first four of eight heads; NaN where a causal mask hides the key.
    "t5": (2, 48, 48), buckets of queries by keys, bidirectional and not.
    """
    if name == "rotation":
        points = torch.tensor([1.0, 0.0] * 3).double().expand(16, 6)
        return apply_rope(points, torch.arange(16), base=100.0).unflatten(-1, (3, 2)).transpose(0, 1).numpy()
    if name == "scores":
        q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        rows = []
        for m in (30, 50, 70):
            keys = apply_rope(k.expand(41, 16), m + torch.arange(-20, 21))
            rows.append(keys @ apply_rope(q[None], torch.tensor([m]))[0])
        return torch.stack(rows).numpy()
    if name == "alibi":
        seen = torch.ones(12, 12, dtype=torch.bool).tril()
        return alibi_bias(8, 12, 12)[:4].masked_fill(~seen, math.nan).numpy()
    rel = torch.arange(48) - torch.arange(48)[:, None]
    return torch.stack([relative_position_bucket(rel, both, 16, 32) for both in (True, False)]).numpy()


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 4, figsize=(15, 3.9), layout="constrained", width_ratios=[1, 1, 1, 1.7])
    for i, path in enumerate(figure_data("rotation")):
        picture = axes[i].scatter(path[:, 0], path[:, 1], c=np.arange(16), s=40)
        axes[i].add_patch(plt.Circle((0, 0), 1, fill=False, color="grey", linewidth=0.7))
        axes[i].set(title=f"pair {i}", aspect="equal", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2))
    fig.colorbar(picture, ax=axes[:3], label="position", shrink=0.8)
    for place, curve, width in zip((30, 50, 70), figure_data("scores"), (7, 4, 1.5), strict=True):
        axes[3].plot(np.arange(-20, 21), curve, linewidth=width, label=f"query at {place}")
    axes[3].set(xlabel="position of the key minus that of the query", title="score")
    axes[3].legend()
    fig.savefig("rope_rotation.png", dpi=110)

    fig, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained", sharey=True)
    for head, (ax, penalty) in enumerate(zip(axes, figure_data("alibi"), strict=True)):
        picture = ax.imshow(penalty, vmin=-4, vmax=0)
        ax.set(title=f"head {head}: slope {alibi_slopes(8)[head]:g}", xlabel="key")
    axes[0].set_ylabel("query")
    fig.colorbar(picture, ax=axes, label="added to the score", extend="min")
    fig.savefig("alibi_bias.png", dpi=110)

    fig, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", sharey=True)
    for ax, buckets, title in zip(axes, figure_data("t5"), ["bidirectional", "unidirectional"], strict=True):
        picture = ax.imshow(buckets, vmin=0, vmax=15, cmap="tab20")
        ax.set(title=title, xlabel="key")
    axes[0].set_ylabel("query")
    fig.colorbar(picture, ax=axes, label="bucket")
    fig.savefig("t5_buckets.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Shaw et al. 2018, [Relative position representations](https://arxiv.org/abs/1803.02155); Su et al. 2021,
#   [RoFormer](https://arxiv.org/abs/2104.09864); Press et al. 2021, [ALiBi](https://arxiv.org/abs/2108.12409).
# - EleutherAI, [Rotary embeddings: a relative revolution](https://blog.eleuther.ai/rotary-embeddings/).
