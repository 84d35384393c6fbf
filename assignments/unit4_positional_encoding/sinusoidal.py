# %% [markdown]
# # Sinusoidal positions
#
# *Unit 4, page 1 of 4. Before: [why several heads](../unit3_multi_head_attention/why_multiple_heads.ipynb). Next:
# [learned positions](learned.ipynb). Paper: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.5.*
#
# ## Attention does not know what comes first
#
# Permute the tokens of a sentence, and self-attention gives the same outputs in permuted order: you wrote the test that
# proves it ([unit 2](../unit2_self_attention/self_attention.ipynb)). "Dog bites man" and "man bites dog" are the same
# bag of words to it. So the position has to be put into the numbers, and the simplest way is to **add to each token's
# vector a second vector that says where the token stands**.
#
# What should that vector look like? The number $p$ itself grows without end and drowns the token. $p / T$ means
# something else in every sentence. Binary digits are better: bounded, and different for every $p$. The lowest digit
# flips at every step, the next one at every second step, and so on. Replace each digit, which jumps, by something that
# turns smoothly, the hand of a clock, and you have the encoding of the original transformer.

# %% [markdown]
# ![Three clocks at six positions: the hand of the first turns fast, that of the second slowly, that of the third hardly
# at all; the sine and cosine of each hand become one pair of numbers of the encoding](diagrams/sinusoidal.svg)

# %% [markdown]
# ## The clocks
#
# A vector of width $D$ has room for $D/2$ hands, since a hand needs two numbers: how far it points up and how far to
# the right. Hand $i$ turns by the angle $\omega_i$ from one position to the next,
#
# $$\omega_i = \mathrm{base}^{-2i/D}, \qquad i = 0, \dots, \tfrac{D}{2} - 1, \qquad \mathrm{base} = 10\,000$$
#
# so hand 0 turns by one radian, and the last one nearly $10\,000$ times slower. Position $p$ is encoded by all hands:
#
# $$\mathrm{PE}[p, 2i] = \sin(p\, \omega_i), \qquad \mathrm{PE}[p, 2i+1] = \cos(p\, \omega_i)$$
#
# Mind the exponent. It is $2i/D$ where $i$ counts *pairs*, and $2i$ is the number of the pair's first column. If your
# loop variable runs over the even columns 0, 2, 4, ... already, doubling it again makes every hand but the first too
# slow.
#
# ### An example to check by hand
#
# For $D = 2$ there is one hand, with $\omega_0 = 1$. Two positions:
#
# $$\mathrm{PE} = \begin{pmatrix} \sin 0 & \cos 0 \\ \sin 1 & \cos 1 \end{pmatrix} =
# \begin{pmatrix} 0 & 1 \\ 0.841 & 0.540 \end{pmatrix}$$
#
# For $D = 4$ there is a second one, a hundred times slower: $\omega_1 = 10\,000^{-2/4} = 0.01$.
#
# ### Two layouts
#
# The paper's formula puts the sine and the cosine of a hand next to each other: the **interleaved** layout, which this
# page asks for. Some libraries write all sines first and then all cosines, the **half** layout. Row 1 for $D = 4$:
#
# | layout | column 0 | column 1 | column 2 | column 3 |
# |---|---|---|---|---|
# | interleaved (asked for here) | $\sin 1 = 0.841$ | $\cos 1 = 0.540$ | $\sin 0.01 = 0.010$ | $\cos 0.01 = 1.000$ |
# | half (not asked for here) | $\sin 1 = 0.841$ | $\sin 0.01 = 0.010$ | $\cos 1 = 0.540$ | $\cos 0.01 = 1.000$ |
#
# To a model that learns from scratch they are the same up to the order of its columns. To weights that were trained
# with the other one they are noise.
#
# ### Float64, since angles are differences
#
# The sine of 100 000 depends on what is left of 100 000 after 15 915 full turns. Float32 keeps about seven digits, and
# the turns use them up: at position 100 000 the angle may be off by several thousandths, and in bfloat16 nothing of it
# is left. So compute angles in float64, and round the finished sines if you must.

# %%
import numpy as np


# %% [markdown]
# ## Exercise `sinusoidal_encoding`: the sinusoidal encoding (10 points)
#
# `autograder.given.sinusoidal_encoding`, which later pages use, is not allowed here: it is what you are to write.

# %%
def sinusoidal_encoding(max_len: int, d_model: int, base: float = 1e4) -> np.ndarray:
    """The encoding of the positions 0 ... max_len - 1.

    Args:
        max_len: number of positions, at least 0.
        d_model: D, the width; it must be even, and 2 is the smallest.
        base: any number above 1; the frequencies are base ** (-2i / D) for the pairs i = 0 ... D/2 - 1.

    Returns:
        float64 array of shape (max_len, D), in the interleaved layout: out[p, 2i] = sin(p · base ** (-2i / D)) and
        out[p, 2i + 1] = cos of the same angle. Accurate to 1e-9 up to position 100 000, so the angles are float64 too.

    Raises:
        ValueError: if d_model is odd.

    >>> sinusoidal_encoding(2, 2).round(3).tolist()  # one row for each position: (sin 0, cos 0) and (sin 1, cos 1)
    [[0.0, 1.0], [0.841, 0.54]]
    >>> sinusoidal_encoding(2, 4)[1].round(3).tolist()  # sin, cos of the fast hand, then sin, cos of the slow one
    [0.841, 0.54, 0.01, 1.0]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Moving by k is a rotation
#
# Why sines *and* cosines? Sines alone would distinguish positions almost as well. The authors' reason was a property
# that you can check with two school formulas. For one hand, let $a = p\,\omega$ and $\delta = k\,\omega$:
#
# $$\sin(a + \delta) = \cos\delta \cdot \sin a + \sin\delta \cdot \cos a, \qquad
# \cos(a + \delta) = -\sin\delta \cdot \sin a + \cos\delta \cdot \cos a$$
#
# So the pair at position $p + k$ is a fixed 2 by 2 matrix times the pair at position $p$, **whatever $p$ is**:
#
# $$\begin{pmatrix} \mathrm{PE}[p+k, 2i] \\ \mathrm{PE}[p+k, 2i+1] \end{pmatrix} =
# \begin{pmatrix} \cos k\omega_i & \sin k\omega_i \\ -\sin k\omega_i & \cos k\omega_i \end{pmatrix}
# \begin{pmatrix} \mathrm{PE}[p, 2i] \\ \mathrm{PE}[p, 2i+1] \end{pmatrix}$$
#
# and the whole vector is multiplied by a matrix with $D/2$ such blocks along its diagonal. "Three tokens earlier" is
# one linear map that a projection of the model can learn once and use everywhere.
#
# Blocks along the diagonal follow from the interleaved layout. In the half layout the two numbers of a pair stand $D/2$
# columns apart, and so do the entries of its block.
#
# ### An example to check by hand
#
# $D = 2$, $k = 1$, from position 0, which is $(\sin 0, \cos 0) = (0, 1)$:
#
# $$\begin{pmatrix} 0.540 & 0.841 \\ -0.841 & 0.540 \end{pmatrix} \begin{pmatrix} 0 \\ 1 \end{pmatrix} =
# \begin{pmatrix} 0.841 \\ 0.540 \end{pmatrix} = \begin{pmatrix} \sin 1 \\ \cos 1 \end{pmatrix}$$
#
# With the signs of the two sines exchanged the result is $(-0.841, 0.540)$: position $-1$.
#
# ### What follows
#
# A rotation keeps lengths and angles, so the scalar product of two encodings does not depend on where they stand, only
# on how far apart:
#
# $$\mathrm{PE}[p] \cdot \mathrm{PE}[p + k] = \sum_i \cos(k\, \omega_i)$$
#
# It is largest at $k = 0$, where it is $D/2$, and the same for $k$ and $-k$. Keep these blocks in mind: the [last
# page](relative.ipynb) of this unit rotates queries and keys by them and does without any addition.

# %% [markdown]
# ## Exercise `sinusoidal_shift`: the matrix that moves by k (8 points)
#
# It knows nothing of $p$. If your matrix is right at one position only, it is not the one that is asked for.

# %%
def shift_matrix(k: int, d_model: int, base: float = 1e4) -> np.ndarray:
    """The matrix that takes the encoding of any position p to that of position p + k.

    Args:
        k: how far to move, a whole number; it may be 0 or negative.
        d_model: D, the width; it must be even.
        base: as in sinusoidal_encoding.

    Returns:
        float64 array M of shape (D, D) with PE[p + k] = M @ PE[p] for all p, where PE is the encoding in interleaved
        layout with that base, and a position may be negative too (the formula does not mind). M is a rotation: it is
        orthogonal, shift_matrix(0, D) is the identity, and moving by a and then by b is moving by a + b. Entries are
        accurate to 1e-9 for |k| up to 1000.

    Raises:
        ValueError: if d_model is odd.

    >>> shift_matrix(1, 2).round(3).tolist()  # rows: cos 1, sin 1; -sin 1, cos 1
    [[0.54, 0.841], [-0.841, 0.54]]
    >>> (shift_matrix(1, 2) @ [0.0, 1.0]).round(3).tolist()  # from position 0 to position 1
    [0.841, 0.54]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The pictures
#
# Left, the encoding of 64 positions in 32 columns: each pair of columns is one hand, fast on the left, slow on the
# right, like the digits of a counter written from left to right. Right, the scalar product of every position with every
# other. It is constant along each diagonal (the matrix is a *Toeplitz* matrix), since only the distance counts, and it
# falls off to both sides, in ripples: positions that are near each other look alike. (The three curves beside it are
# one curve, seen from three positions.) It does not say which of two positions comes first; for that a model needs its
# projections, or the shift above.
#
# Next: why not let the model find its own encoding? [Learned positions](learned.ipynb).

# %%
def figure_data(name: str = "heat_map") -> np.ndarray:
    """ "heat_map": the encoding (64, 32), positions by columns. "gram": scalar products (64, 64) of all positions."""
    encoding = sinusoidal_encoding(64, 32)
    return encoding if name == "heat_map" else encoding @ encoding.T


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(6.5, 5.5), layout="constrained")
    picture = ax.imshow(figure_data("heat_map"), vmin=-1.0, vmax=1.0, cmap="RdBu_r", aspect="auto")
    ax.set_xlabel("column: sine and cosine of hand 0, of hand 1, ...")
    ax.set_ylabel("position")
    fig.colorbar(picture, ax=ax)
    fig.savefig("pe_heatmap.png", dpi=110)

    fig, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    products = figure_data("gram")
    picture = axes[0].imshow(products)
    axes[0].set_xlabel("position")
    axes[0].set_ylabel("position")
    fig.colorbar(picture, ax=axes[0], label="scalar product")
    for place, width in ((8, 7), (32, 4), (50, 1.5)):
        axes[1].plot(np.arange(64) - place, products[place], linewidth=width, label=f"from position {place}")
    axes[1].set_xlabel("distance")
    axes[1].set_ylabel("scalar product")
    axes[1].legend()
    fig.savefig("pe_dot.png", dpi=110)
    plt.show()

    by_five = shift_matrix(5, 32)
    error = np.abs(figure_data("heat_map")[5:] - figure_data("heat_map")[:-5] @ by_five.T).max()
    print(f"from every position to the one 5 further by one matrix: largest error {error:.1e}")

# %% [markdown]
# ## Further reading
#
# - Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), section 3.5.
# - Amirhossein Kazemnejad, [The positional
#   encoding](https://kazemnejad.com/blog/transformer_architecture_positional_encoding/), a visual guide.
