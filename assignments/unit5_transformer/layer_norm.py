# %% [markdown]
# # Layer normalisation
#
# *Unit 5, page 1 of 9, about an hour and a half. Before: [positions](../unit4_positional_encoding/relative.ipynb).
# Next: [the feed-forward network](feed_forward.ipynb). Papers: [Ba, Kiros and Hinton 2016, Layer
# Normalization](https://arxiv.org/abs/1607.06450); [Zhang and Sennrich 2019, Root Mean Square Layer
# Normalization](https://arxiv.org/abs/1910.07467).*
#
# A transformer is a tall stack of layers, and every layer multiplies by matrices. Multiply a vector thirty times by
# matrices that make it 1.4 times as long, and it has grown by a factor of 24 000; with 0.7 it has shrunk to 0.00002.
# Somewhere on the way softmax saturates, gradients explode or vanish, and training stops before it began. The remedy is
# simple: between the layers, bring every vector back to a standard size. That is a **normalisation layer**, and a
# transformer has two or three in each block.

# %% [markdown]
# ![Three tokens by four features; layer norm goes along a row, batch norm would go along a column; each row comes out
# with mean 0 and variance 1, and gamma and beta have one number per feature](diagrams/layer_norm.svg)

# %% [markdown]
# ## Mean 0, variance 1, for each token by itself
#
# Take one token, a vector $x$ of $D$ numbers. Subtract their mean, divide by their standard deviation:
#
# $$\mu = \frac1D \sum_i x_i \qquad \sigma^2 = \frac1D \sum_i (x_i - \mu)^2 \qquad
# \hat x_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}} \qquad y_i = \gamma_i\, \hat x_i + \beta_i$$
#
# | | shape | |
# |---|---|---|
# | $x$, $\hat x$, $y$ | (..., D) | any number of axes in front: batch, tokens, heads |
# | $\mu$, $\sigma^2$, $s = \sqrt{\sigma^2 + \varepsilon}$ | (..., 1) | one number **per token** |
# | $\gamma$, $\beta$ | (D) | one number **per feature**, learned, shared by all tokens |
#
# - **Over which axis?** Over the *features* of one token, the last axis. Batch normalisation, its older relative, goes
#   over the examples instead. That ties the examples of a batch together, needs running averages for a batch of one,
#   and counts the padding. Layer norm knows nothing of other tokens: the same vector gives the same result in any
#   company.
# - **What $\gamma$ and $\beta$ are for.** The standard size need not be the best size for what comes next, so the layer
#   may stretch and shift each feature. They start at 1 and 0.
# - **Divide by $D$, not by $D - 1$.** The unbiased estimate of a variance, which `torch.std` gives by default, is
#   something else. At $D = 8$ the two standard deviations are 6.5 % apart, at $D = 512$ 0.1 %, and models trained with
#   one run with the other a little wrong.
# - **$\varepsilon$ stands under the root**, added to the *variance*. It is there for tokens whose features are all
#   equal. For vectors of size 1 nobody sees it; for vectors as small as $\sqrt\varepsilon$ it decides the result. Also,
#   $\sqrt{\sigma^2 + \varepsilon}$ and $\sigma + \varepsilon$ are different numbers.
#
# Scaling or shifting all features of a token changes nothing: $x$ and $3x + 7$ give the same $\hat x$ (as far as
# $\varepsilon$ is small against the variance). What is left is the *pattern*, a vector of length $\sqrt D$ that stands
# at a right angle to $(1, \dots, 1)$.
#
# **Numerically**, $\sigma^2$ must be computed from the differences $x_i - \mu$. The textbook formula $E[x^2] - E[x]^2$
# subtracts two large numbers that agree in most of their digits: with a mean of 10 000 and a standard deviation of 1,
# float32 has no digits left, and the "variance" often comes out negative.
#
# ### Backwards
#
# Let $dy_i$ be the derivative of the loss by $y_i$ (the notation of [unit 0](../unit0_prerequisites/networks.ipynb)).
# The parameters are easy: $\gamma_i$ acts on feature $i$ of *every* token, so its gradient is a sum over all of them:
#
# $$d\gamma_i = \sum_{\text{tokens}} dy_i\, \hat x_i \qquad d\beta_i = \sum_{\text{tokens}} dy_i$$
#
# For $x$ go back in two steps. First $d\hat x_i = \gamma_i\, dy_i$. Then remember that $x_i$ acts on $\hat x$ in
# **three** ways: directly, through $\mu$, and through $\sigma^2$. Changing $x_i$ by a little $\delta$ moves the mean by
# $\delta / D$ and the variance by $2 (x_i - \mu)\,\delta / D$. Collect the three:
#
# $$dx_i = \frac1s \left( d\hat x_i \;-\; \frac1D \sum_j d\hat x_j \;-\; \hat x_i \, \frac1D \sum_j d\hat x_j\, \hat x_j
# \right)$$
#
# Read it as two projections. Shifting all of $x$ changes nothing, so $dx$ must have no component along $(1, \dots, 1)$:
# the first sum takes it away. Stretching $x$ changes nothing, so $dx$ must have none along $\hat x$: the second sum
# takes that away. Drop them, and training follows a direction that has no effect.
#
# ### An example to check by hand
#
# One token, $D = 4$, $x = (1, 1, 3, 3)$, $\gamma = (1, 1, 1, 2)$, $\beta = (0, 0, 0, 10)$, $\varepsilon = 0$. Then $\mu
# = 2$, $\sigma^2 = 1$, $\hat x = (-1, -1, 1, 1)$ and $y = (-1, -1, 1, 12)$.
#
# Back, with $dy = (4, 0, 0, 0)$: $d\gamma = (-4, 0, 0, 0)$, $d\beta = (4, 0, 0, 0)$, $d\hat x = (4, 0, 0, 0)$. The two
# means are $\frac14 (4 + 0 + 0 + 0) = 1$ and $\frac14 (4 \cdot (-1)) = -1$, so $dx_i = d\hat x_i - 1 + \hat x_i$:
#
# $$dx = (4 - 1 - 1,\; 0 - 1 - 1,\; 0 - 1 + 1,\; 0 - 1 + 1) = (2, -2, 0, 0).$$
#
# Its sum is 0, and so is its product with $\hat x$. (With $D = 2$ you would get $dx = 0$: two numbers of mean 0 and
# variance 1 can only be $\pm 1$.)

# %%
import numpy as np
import torch
from torch import Tensor, nn


# %% [markdown]
# ## Exercise `layer_norm`: layer normalisation, forwards and backwards (14 points)
#
# Two functions, in NumPy. What the backward pass needs from the forward pass is handed over in `cache`, and what that
# is, is up to you. To check the backward pass, use central differences, as in [unit
# 0](../unit0_prerequisites/numerics.ipynb): they know nothing of your algebra.

# %%
def layer_norm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, object]:
    """Normalise over the last axis, then stretch and shift each feature: y = γ (x − μ) / √(σ² + ε) + β.

    Args:
        x: float32 or float64 (..., D), with any number of axes in front, none included; every axis has at least one
            entry. Mean and variance are those of the D features of one token (last axis only). The variance is the
            mean of the squared deviations (divided by D).
        gamma, beta: (D,), in the dtype of x: a factor and a summand for each feature.
        eps: added to the variance, under the root; ≥ 0, and > 0 where a token may be constant.

    Returns:
        (y, cache): y has the shape and dtype of x; cache is whatever layer_norm_backward needs (arrays, a tuple, a
        dict, an object of your own). With D = 1 every deviation is 0, so y is beta (for eps > 0). No argument is
        changed.

    The mean may be large against the deviations: float32 rows of mean 1e4 and standard deviation 1 come out right
    within 0.01 per unit of gamma. Write it with NumPy's elementary functions; `torch` may not be used.

    >>> x, gamma, beta = np.array([1.0, 1.0, 3.0, 3.0]), np.array([1.0, 1.0, 1.0, 2.0]), np.array([0.0, 0.0, 0.0, 10.0])
    >>> y, _ = layer_norm_forward(x, gamma, beta, eps=0.0)
    >>> y.tolist()
    [-1.0, -1.0, 1.0, 12.0]
    >>> layer_norm_forward(np.array([[3.0], [5.0]]), np.array([2.0]), np.array([7.0]))[0].tolist()  # D = 1
    [[7.0], [7.0]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def layer_norm_backward(dy: np.ndarray, cache: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The derivatives of the loss by x, gamma and beta, given those by y.

    Args:
        dy: (..., D), the derivative of the loss by y, in the shape and dtype of y.
        cache: the second result of your layer_norm_forward, for the same x. It may be used more than once: neither dy
            nor cache is changed.

    Returns:
        (dx, dgamma, dbeta): dx of the shape of x; dgamma and dbeta (D,), summed over all tokens. All in the dtype of
        dy. With D = 1 dx is 0. Where eps is large against the variance the gradient is that of the formula with this
        very eps.

    `torch` may not be used.

    >>> x, gamma, beta = np.array([1.0, 1.0, 3.0, 3.0]), np.array([1.0, 1.0, 1.0, 2.0]), np.array([0.0, 0.0, 0.0, 10.0])
    >>> _, cache = layer_norm_forward(x, gamma, beta, eps=0.0)
    >>> dx, dgamma, dbeta = layer_norm_backward(np.array([4.0, 0.0, 0.0, 0.0]), cache)
    >>> dx.tolist(), dgamma.tolist(), dbeta.tolist()
    ([2.0, -2.0, 0.0, 0.0], [-4.0, 0.0, 0.0, 0.0], [4.0, 0.0, 0.0, 0.0])
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Half of it is enough: RMSNorm
#
# Which half of layer norm does the work, the subtraction or the division? Zhang and Sennrich left the subtraction out,
# and the bias with it, and their models trained as well and faster. What remains is a division by the **root mean
# square** of the token:
#
# $$\mathrm{RMS}(x) = \sqrt{\frac1D \sum_i x_i^2 + \varepsilon} \qquad y_i = w_i\, \frac{x_i}{\mathrm{RMS}(x)}$$
#
# T5, Llama, Mistral, Gemma and most large language models since use this. Where the mean happens to be 0 the two are
# the same. Where it is not, RMSNorm leaves it in: a constant vector $(5, 5, 5)$ becomes $(1, 1, 1)$, where layer norm
# would give $(0, 0, 0)$.
#
# Three details separate an RMSNorm that looks right from one that is:
#
# - **$\varepsilon$ again.** The usual value here is $10^{-6}$, and it belongs under the root. For vectors of size
#   $10^{-4}$ the mean square is $10^{-8}$, and $\varepsilon$ makes all the difference: without it the result is 10
#   times as large. (`nn.RMSNorm` without an `eps` takes the smallest step of the dtype, not $10^{-6}$.)
# - **Mean, not sum.** $\sqrt{\sum x_i^2}$ is the length of $x$; the RMS is that divided by $\sqrt D$.
# - **Half precision.** The largest float16 is 65 504. A feature of 300 is harmless, its *square* is not: the sum is
#   infinite, and $x / \infty = 0$. So square and add in float32, and come back at the end.
#
# By hand: $x = (1, 7)$ has the mean square $(1 + 49)/2 = 25$, so with $\varepsilon = 0$ it becomes $(0.2, 1.4)$. For
# $x = (0.003, 0.004)$ the mean square is $0.0000125$; with $\varepsilon = 0.0000875$ the root is 0.01, and the result
# $(0.3, 0.4)$.

# %% [markdown]
# ## Exercise `rms_norm`: RMSNorm (10 points)
#
# A module this time. The constructor is given.

# %%
class RMSNorm(nn.Module):
    """y = weight · x / √(mean(x²) + eps), over the last axis.

    Args:
        d: the number of features D.
        eps: added to the mean square, under the root; > 0.

    The only parameter is weight, (d,), and there is no bias. Weights are loaded into your module under this name; a
    module with another structure inside has a method `load_reference(self, state_dict)`, which replaces what was there.
    """

    def __init__(self, d: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each vector of the last axis by its own root mean square, times weight.

        Args:
            x: (..., d), with any number of axes in front, none included; of any memory layout. float64, float32,
                float16 or bfloat16, and the weight has the same dtype.

        Returns:
            Shape and dtype of x. Nothing is subtracted. float16 and bfloat16 are squared and summed in float32 at
            least, so that entries of a few hundred or thousand give finite, right results (whether they are rounded
            before the weight, or once at the end, is up to you); float64 is computed in float64. A vector of zeros
            gives zeros, with finite gradients. Differentiable in x and weight; x is not changed.

        `nn.RMSNorm`, `F.rms_norm` and the ready-made RMSNorm of autograder.given may not be used.

        >>> [round(value, 4) for value in RMSNorm(2, eps=1e-12)(torch.tensor([1.0, 7.0])).tolist()]
        [0.2, 1.4]
        >>> [round(value, 4) for value in RMSNorm(2, eps=8.75e-5)(torch.tensor([0.003, 0.004])).tolist()]
        [0.3, 0.4]
        >>> RMSNorm(2).half()(torch.tensor([300.0, 300.0], dtype=torch.float16)).tolist()
        [1.0, 1.0]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# Left: 256 vectors of width 64 pass through 30 layers, each a random matrix that stretches by the factor in the legend.
# Shown is the standard deviation of the result. Without a norm it grows or shrinks like the powers of that factor;
# with one it stays where it is from the first layer on.
#
# Right: the standard deviation of the output for inputs of all sizes. The flat part is what a norm is for. Inputs below
# about $\sqrt\varepsilon$ (dotted) are passed on as small things: that is 0.003 for layer norm with its usual
# $10^{-5}$, and 0.001 for RMSNorm with $10^{-6}$.
#
# Next: the part of the transformer that holds most of its weights. [The feed-forward network](feed_forward.ipynb).

# %%
DEPTH, WIDTH = 30, 64


def figure_data(name: str = "layer norm") -> np.ndarray:
    """(DEPTH + 1,): the standard deviation after each layer; "gain 0.7", "gain 1.4", "layer norm" or "RMSNorm"."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, WIDTH))
    matrices = [rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5 for _ in range(DEPTH)]
    rms = RMSNorm(WIDTH).double() if name == "RMSNorm" else None

    def normed(x: np.ndarray) -> np.ndarray:
        if name == "layer norm":
            return layer_norm_forward(x, np.ones(WIDTH), np.zeros(WIDTH))[0]
        return x if rms is None else rms(torch.from_numpy(x)).detach().numpy()

    curve = [x.std()]
    for matrix in matrices:
        x = (0.7 if name == "gain 0.7" else 1.4) * normed(x) @ matrix
        curve.append(x.std())
    return np.array(curve)


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    labels = {"gain 0.7": "no norm, gain 0.7", "gain 1.4": "no norm, gain 1.4"}
    for name, style in zip([*labels, "layer norm", "RMSNorm"], ["-", "-", "-", ":"], strict=True):
        axes[0].semilogy(figure_data(name), style, label=labels.get(name, f"{name}, gain 1.4"), linewidth=2.5)
    axes[0].set_xlabel("layer")
    axes[0].set_ylabel("standard deviation")
    axes[0].legend()

    sizes = np.logspace(-6, 2, 81)
    all_sizes = sizes[:, None] * np.random.default_rng(1).standard_normal((1, 512))
    normed_sizes, _ = layer_norm_forward(all_sizes, np.ones(512), np.zeros(512))
    axes[1].loglog(sizes, normed_sizes.std(axis=-1), label="layer norm, ε = 1e-5")
    normed_sizes = RMSNorm(512).double()(torch.from_numpy(all_sizes)).detach().numpy()
    axes[1].loglog(sizes, normed_sizes.std(axis=-1), label="RMSNorm, ε = 1e-6")
    for usual in (1e-5, 1e-6):
        axes[1].axvline(usual**0.5, color="grey", linestyle=":", linewidth=0.8)
    axes[1].set_xlabel("standard deviation of the input (dotted: √ε)")
    axes[1].set_ylabel("standard deviation of the output")
    axes[1].legend()
    fig.savefig("layer_norm.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Ba et al. 2016, [Layer normalization](https://arxiv.org/abs/1607.06450); Zhang and Sennrich 2019,
#   [RMSNorm](https://arxiv.org/abs/1910.07467).
