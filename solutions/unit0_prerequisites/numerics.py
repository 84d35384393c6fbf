# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Softmax, cross-entropy and their gradients
#
# *Unit 0, page 1 of 3. Next: [networks and optimisers](networks.ipynb). Paper: [Blanchard, Higham and Higham 2019,
# Accurately Computing the Log-Sum-Exp and Softmax Functions](https://arxiv.org/abs/1909.03469).*
#
# A network gives numbers; we want to read them as probabilities, to say how wrong they are, and to know in which
# direction they should move. Three short formulas do it: softmax, cross-entropy, and $p - y$. They sit at the end of
# every language model, and the softmax sits inside every attention layer as well, so each later unit leans on this
# page. All of it is NumPy. The formulas are easy. What takes care is that they must also hold for *large* numbers, for
# *many rows at once*, and without touching what the caller has lent us.

# %% [markdown]
# ![Two logits become exponentials, probabilities and a loss, and the gradient comes back as probability minus truth;
# below, two rows that differ by 1000 are the same after each is shifted by its maximum](diagrams/numerics.svg)

# %% [markdown]
# ## From scores to probabilities
#
# The numbers that come out of a network are called **logits**: any real numbers, the larger the better. To turn $N$ of
# them into shares of one whole, make them positive and divide by their sum:
#
# $$\mathrm{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# Only *differences* count. Add the same $c$ to all logits and every exponential is multiplied by $e^c$, which cancels:
#
# $$\mathrm{softmax}(x + c) = \mathrm{softmax}(x)$$
#
# ### Why that matters
#
# float64 ends near $1.8 \cdot 10^{308}$, so $e^{710}$ is already `inf`, and `inf / inf` is NaN. In float32 the end
# comes at $e^{89}$. At the other side, $e^{-1000}$ is 0, and a row in which everything became 0 is divided by 0. The
# shift is the cure: you may choose $c$, and there is one choice with which no exponential can overflow and the sum can
# never be 0.
#
# Arrays hold many rows, and each row needs *its own* $c$: one row may live around 0 and the next one around 1000.
#
# ### An example to check by hand
#
# Everything on this page can be followed with two logits, $x = (0, \ln 3)$. The exponentials are $1$ and $3$.
#
# | | value |
# |---|---|
# | softmax | $(\frac14, \frac34)$ |
# | logsumexp | $\ln(1 + 3) = \ln 4 \approx 1.386$ |
# | log-softmax | $(\ln\frac14, \ln\frac34) \approx (-1.386, -0.288)$ |
# | cross-entropy, if entry 1 is right | $-\ln\frac34 \approx 0.288$ |
# | its gradient | $(\frac14, \frac34) - (0, 1) = (\frac14, -\frac14)$ |

# %%
import numpy as np

# %% [markdown]
# ## A word about axes
#
# `x.sum(axis=1)` *removes* axis 1: from shape (2, 3) it makes (2,). Divide the (2, 3) array by that and NumPy lines the
# shapes up **from the right**: 3 against 2, an error. If the array happens to be square there is no error, and each
# *column* is divided by the sum of a *row*. `keepdims=True` leaves an axis of length 1 behind, (2, 1), which stretches
# in the right direction. A test with a square array would see the wrong numbers, but only if somebody looks.

# %% [markdown]
# ## Exercise `softmax_stable`: softmax (6 points)
#
# Another reason to be careful with `x -= ...`: an array argument is not a copy. It is the caller's memory.


# %% exercise="softmax_stable"
def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Exponentials along one axis, divided by their sum.

    Args:
        x: float32 or float64 of any shape with at least one axis. Entries may be as large as ±1e4 or more, far apart
            from row to row, and −inf. Each slice along `axis` has at least one entry, and at least one that is not
            −inf; +inf and NaN do not occur. Other axes may have length 0.
        axis: the axis along which the result sums to 1; negative counts from the end.

    Returns:
        Shape and dtype of x, all in [0, 1], never NaN. Where x is −inf the result is exactly 0. x is not changed.

    Write it with NumPy's elementary functions; `scipy` and `torch` may not be used.

    >>> softmax(np.array([0.0, np.log(3.0)])).round(4).tolist()
    [0.25, 0.75]
    >>> softmax(np.array([[0.0, 0.0], [1000.0, -np.inf]])).tolist()  # each row by itself
    [[0.5, 0.5], [1.0, 0.0]]
    >>> softmax(np.array([[0.0, 0.0], [0.0, np.log(3.0)]]), axis=0).round(4).tolist()  # columns
    [[0.5, 0.25], [0.5, 0.75]]
    """
    ### BEGIN SOLUTION
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))  # the largest becomes e⁰ = 1
    return exponentials / exponentials.sum(axis=axis, keepdims=True)
    ### END SOLUTION


# %% [markdown]
# ## The logarithm of a sum of exponentials
#
# Probabilities of long texts are products of many small numbers, so one works with their logarithms. The logarithm of a
# softmax is
#
# $$\ln \mathrm{softmax}(x)_i = x_i - \mathrm{logsumexp}(x), \qquad \mathrm{logsumexp}(x) = \ln \sum_j e^{x_j}$$
#
# The function on the right deserves its name because it turns up everywhere. It is a *soft maximum*: never below the
# largest entry, and never more than $\ln N$ above it. It shifts along with its argument, and that is again how to
# compute it:
#
# $$\mathrm{logsumexp}(x + c) = \mathrm{logsumexp}(x) + c$$
#
# Two things go wrong here.
#
# - $\ln(\mathrm{softmax}(x))$, the obvious route, loses the small ones. With a gap of 800 the softmax is 0 (it cannot
#   be anything else, $e^{-800}$ does not exist in float64), and the logarithm of 0 is $-\infty$. But the right answer
#   is just $-800$. Never leave the logarithms once you are there.
# - A row of nothing but $-\infty$ is the sum of no exponentials at all: its logsumexp is $\ln 0 = -\infty$, a perfectly
#   good number to go on with. With the usual shift you would compute $(-\infty) - (-\infty)$, which is NaN. Such rows
#   are common: in [unit 7](../unit7_attention_core/online_softmax.ipynb) attention is computed block by block, and some
#   blocks are masked away completely.

# %% [markdown]
# ## Exercise `logsumexp_log_softmax`: logsumexp and log-softmax (6 points)


# %% exercise="logsumexp_log_softmax"
def logsumexp(x: np.ndarray, axis: int = -1, keepdims: bool = False) -> np.ndarray:
    """ln Σ exp(x) along one axis, natural logarithm.

    Args:
        x: float32 or float64 of any shape with at least one axis; entries may be ±1e4 or more, and −inf, but not +inf
            or NaN. `axis` has at least one entry.
        axis: the axis that is summed; negative counts from the end.
        keepdims: False removes the axis; True leaves it with length 1.

    Returns:
        The dtype of x. Finite wherever the slice has a finite entry; a slice of only −inf gives −inf, not NaN. (NumPy
        may warn on the way; that does not matter.) x of one axis gives a single number. x is not changed.

    `scipy`, `torch` and `np.logaddexp` may not be used.

    >>> round(float(logsumexp(np.array([0.0, np.log(3.0)]))), 4)  # ln 4
    1.3863
    >>> logsumexp(np.array([[1000.0, 1000.0], [-np.inf, -np.inf]])).round(4).tolist()  # 1000 + ln 2
    [1000.6931, -inf]
    >>> logsumexp(np.zeros((2, 3)), axis=0, keepdims=True).round(4).tolist()  # ln 2
    [[0.6931, 0.6931, 0.6931]]
    """
    ### BEGIN SOLUTION
    shift = x.max(axis=axis, keepdims=True)
    shift = np.where(np.isneginf(shift), 0, shift)  # nothing to shift by: exp(−inf − 0) is the 0 that we want
    with np.errstate(divide="ignore"):  # ln 0 = −inf is meant
        result = np.log(np.exp(x - shift).sum(axis=axis, keepdims=True)) + shift
    return result if keepdims else result.squeeze(axis=axis)
    ### END SOLUTION


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The natural logarithm of softmax(x), without ever taking the logarithm of a tiny number.

    Args:
        x, axis: as in `softmax` (each slice has an entry that is not −inf).

    Returns:
        Shape and dtype of x; no entry is above 0 (but for rounding). Finite wherever x is, however far apart the
        entries are; −inf where x is −inf. x is not changed.

    `scipy` and `torch` may not be used.

    >>> log_softmax(np.array([0.0, np.log(3.0)])).round(4).tolist()
    [-1.3863, -0.2877]
    >>> log_softmax(np.array([0.0, -800.0])).tolist()
    [0.0, -800.0]
    """
    ### BEGIN SOLUTION
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    ### END SOLUTION


# %% [markdown]
# ## How wrong is a prediction?
#
# The network assigned probability $p_t$ to what really happened. If $p_t = 1$ there is nothing to complain about; if
# $p_t$ is near 0 the network was sure of something false. The **cross-entropy** loss $-\ln p_t$ says exactly that: 0 in
# the first case, growing without limit in the second. In terms of logits it is a difference, and it needs no
# probability:
#
# $$\ell = -\ln \mathrm{softmax}(x)_t = \mathrm{logsumexp}(x) - x_t$$
#
# A network that knows nothing gives all $C$ classes the same logit. Its loss is $\ln C$. This is the first thing to
# check in a fresh model: with 50 257 tokens the first loss should be near 10.8.
#
# - Functions called "cross-entropy" want **logits**, in torch as here. Give them probabilities and they apply a second
#   softmax, to numbers that all lie between 0 and 1: everything then looks nearly uniform, and training still works,
#   only badly.
# - "To be safe" one sees $-\ln(p_t + 10^{-8})$. It caps the loss at 18.4, and the gradient vanishes just where the
#   network is most wrong.
#
# ### Places that do not count
#
# Sentences in a batch are filled up with padding, and nobody should be scored for predicting padding. Such places carry
# a special target, `ignore_index`, by tradition −100. They add nothing to the sum, **and they are not counted**: the
# mean is over the places that remain.
#
# $$L = \frac{1}{n}\sum_{t_i \ne \mathtt{ignore\_index}} \ell_i, \qquad n = \text{number of targets that count}$$
#
# Two traps. In Python index −100 is not an error as long as the array is long enough, it counts from the end; with a
# vocabulary of 50 257 it silently picks some token. And if *no* target counts, $0/0$ is NaN in torch. Here the loss is
# then 0: nothing was asked, nothing was wrong.

# %% [markdown]
# ## Exercise `cross_entropy`: cross-entropy (8 points)
#
# Mind the layout: the classes are the **last** axis here. (torch wants them second, a frequent source of confusion.)


# %% exercise="cross_entropy"
def cross_entropy(
    logits: np.ndarray, targets: np.ndarray, ignore_index: int = -100, reduction: str = "mean"
) -> np.ndarray | float:
    """−ln softmax(logits)[target], for any number of leading axes.

    Args:
        logits: float32 or float64 (..., C), finite, up to ±1e5; C ≥ 1 classes on the last axis. No leading axis at all
            is fine: (C,) with a 0-d target.
        targets: int64 (...), the leading shape of logits; each entry is a class 0..C−1, or ignore_index.
        ignore_index: targets equal to this value do not count: their loss is 0 and whatever their logits are has no
            effect. It may be any integer, such as −1, or the id of a class (then that class never counts).
        reduction: "none" returns the losses, "sum" their sum, "mean" their sum divided by the number of targets that
            count. If none counts (or there are no targets), the mean is 0.0.

    Returns:
        For "none" an array (...) in the dtype of logits, with 0 where ignored. For "sum" and "mean" one number (a
        Python float or a NumPy number, as you like). Natural logarithm. No argument is changed.

    Raises:
        ValueError: if reduction is none of the three.

    `torch` and `scipy` may not be used; this page's functions may.

    >>> logits = np.array([[0.0, np.log(3.0)], [0.0, 0.0], [5.0, 7.0]])
    >>> targets = np.array([1, 0, -100])
    >>> cross_entropy(logits, targets, reduction="none").round(4).tolist()  # −ln ¾, −ln ½, ignored
    [0.2877, 0.6931, 0.0]
    >>> round(float(cross_entropy(logits, targets)), 4)  # divided by 2, not by 3
    0.4904
    >>> cross_entropy(np.array([[1000.0, 0.0]]), np.array([1]), reduction="none").tolist()
    [1000.0]
    """
    ### BEGIN SOLUTION
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {reduction!r}, expected 'mean', 'sum' or 'none'")
    counts = targets != ignore_index
    picked = np.where(counts, targets, 0)  # any valid class: its loss is thrown away below
    losses = -np.take_along_axis(log_softmax(logits), picked[..., None], axis=-1)[..., 0]
    losses = np.where(counts, losses, 0)
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / max(counts.sum(), 1)
    ### END SOLUTION


# %% [markdown]
# ## In which direction?
#
# Differentiate $\ell = \mathrm{logsumexp}(x) - x_t$. The derivative of logsumexp is softmax (try it), so
#
# $$\frac{\partial \ell}{\partial x_j} = p_j - [j = t], \qquad p = \mathrm{softmax}(x)$$
#
# Probability minus truth: the right logit is pulled up by what it lacks, each wrong one is pushed down by what it has
# too much. The entries add up to 0 (why must they, given that only differences of logits count?), and none is larger
# than 1 however wrong the network is. For the mean loss each row is divided by the same $n$ as above, and a row that
# was ignored gets a gradient of exactly 0.
#
# You can check any gradient without knowing calculus, by **central differences**: nudge one input up and down by a
# small $\varepsilon$ and see what the loss does,
#
# $$\frac{\partial L}{\partial x_j} \approx \frac{L(x + \varepsilon e_j) - L(x - \varepsilon e_j)}{2\varepsilon}$$
#
# In float64 with $\varepsilon = 10^{-6}$ you should see about nine equal digits.

# %% [markdown]
# ## Exercise `cross_entropy_grad`: the gradient of cross-entropy (8 points)


# %% exercise="cross_entropy_grad"
def cross_entropy_grad(logits: np.ndarray, targets: np.ndarray, ignore_index: int = -100) -> np.ndarray:
    """The derivative of the *mean* cross-entropy by each logit.

    Args:
        logits: float32 or float64 (N, C), finite, up to ±1e5.
        targets: int64 (N,), each a class 0..C−1 or ignore_index, as in `cross_entropy`.
        ignore_index: any integer.

    Returns:
        (N, C) in the dtype of logits: the gradient of cross_entropy(logits, targets, ignore_index). Each row sums to 0.
        Rows of ignored targets are exactly 0; if every target is ignored, everything is 0 (no NaN). No argument is
        changed, and a second call gives the same answer.

    `torch` may not be used; this page's functions may.

    >>> logits = np.array([[0.0, np.log(3.0)], [0.0, 0.0], [5.0, 7.0]])
    >>> cross_entropy_grad(logits, np.array([1, 0, -100])).round(4).tolist()  # halves of (¼, −¼) and (−½, ½)
    [[0.125, -0.125], [-0.25, 0.25], [0.0, 0.0]]
    """
    ### BEGIN SOLUTION
    counts = targets != ignore_index
    gradient = softmax(logits)
    gradient[counts, targets[counts]] -= 1
    gradient[~counts] = 0
    return gradient / max(int(counts.sum()), 1)
    ### END SOLUTION


# %% [markdown]
# ## Back through a softmax
#
# Inside a network the softmax is not the last step. Something comes after it, and sends back a gradient $dy$: how much
# the loss changes per unit of each output. We want $dx$, the same for each input. Since every output depends on every
# input (they share one sum), the derivatives form a square matrix, the Jacobian:
#
# $$\frac{\partial y_i}{\partial x_j} = y_i\,([i = j] - y_j), \quad J = \mathrm{diag}(y) - y y^\top,
# \quad dx = J^\top dy$$
#
# For a vocabulary of 50 257 that matrix has 2.5 billion entries per row. Multiply it out first and it vanishes:
#
# $$dx_j = y_j \Big( dy_j - \sum_i y_i\, dy_i \Big)$$
#
# In words: compare each $dy_j$ with the *average* of $dy$, weighted by $y$. An output that is better than average
# gains, one that is worse loses, and the gains and losses cancel. This function is called a vector-Jacobian product,
# vjp for short; training a network is nothing but a chain of them. You will meet this very line again in the backward
# pass of attention in [unit 1](../unit1_attention_fundamentals/attention_mathematics.ipynb) and of flash attention in
# [unit 7](../unit7_attention_core/tiled_attention.ipynb).
#
# By hand: $y = (\frac14, \frac34)$ and $dy = (1, 0)$. The average is $\frac14$, so
# $dx = (\frac14 \cdot \frac34,\ \frac34 \cdot (-\frac14)) = (\frac3{16}, -\frac3{16})$.

# %% [markdown]
# ## Exercise `softmax_vjp`: back through a softmax (6 points)


# %% exercise="softmax_vjp"
def softmax_vjp(y: np.ndarray, dy: np.ndarray, axis: int = -1) -> np.ndarray:
    """The gradient by the input of a softmax, from the gradient by its output.

    Args:
        y: the *output* of softmax(x, axis), float32 or float64, of any shape with at least one axis. x itself is not
            needed.
        dy: same shape and dtype as y: the derivative of the loss by y.
        axis: the axis along which y sums to 1. Slices along it are independent of each other.

    Returns:
        dx, the derivative of the loss by x: shape and dtype of y. It sums to 0 along `axis`, is linear in dy, and is 0
        where y is one-hot. No argument is changed.

    Use NumPy only; `torch` may not be used. Work without building the Jacobian if you can.

    >>> softmax_vjp(np.array([0.25, 0.75]), np.array([1.0, 0.0])).tolist()  # 3/16
    [0.1875, -0.1875]
    """
    ### BEGIN SOLUTION
    average = (y * dy).sum(axis=axis, keepdims=True)
    return y * (dy - average)
    ### END SOLUTION


# %% [markdown]
# ## The picture
#
# Two classes with logits $(z, 0)$, in float32. The left panel shows the loss as the gap $z$ goes from "completely
# wrong" to "completely right", if class 0 is the truth. Far to the left it is a straight line: ten more units of
# wrongness cost ten more units of loss. The dashed line is the textbook formula $-\ln(e^z/(e^z+1))$ typed in as it
# stands: below about −104 the probability is no longer a number above 0 and the loss is infinite (the line ends), above
# 88 it is `inf / inf`.
#
# The right panel shows the slope of the solid lines, measured with central differences. It is $p - y$: between −1 and 0
# for the right class, and never steeper. However bad a prediction is, it pulls with a force of at most 1.
#
# Next: [networks and optimisers](networks.ipynb) sends these gradients through layers and turns them into steps. Unit 1
# writes the [masked softmax](../unit1_attention_fundamentals/attention_mathematics.ipynb), for rows in which some
# entries may not take part, and the [last page of this unit](language_models.ipynb) reads the loss as a *perplexity*.

# %%
GAPS = np.linspace(-120.0, 120.0, 241, dtype=np.float32)


def figure_data() -> np.ndarray:
    """The losses (2, 241) of logits (z, 0) for z in GAPS: row 0 if class 0 is right, row 1 if class 1 is."""
    logits = np.stack([GAPS, np.zeros_like(GAPS)], axis=-1)  # (241, 2)
    return np.stack([cross_entropy(logits, np.full(len(GAPS), right), reduction="none") for right in (0, 1)])


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    losses = figure_data()
    with np.errstate(all="ignore"):
        textbook = -np.log(np.exp(GAPS) / (np.exp(GAPS) + 1))
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    left.plot(GAPS, losses[0], label="class 0 is right", linewidth=3, alpha=0.5)
    left.plot(GAPS, losses[1], label="class 1 is right", linewidth=3, alpha=0.5)
    left.plot(GAPS, textbook, "k--", label="textbook formula, class 0 is right")
    broken = GAPS[~np.isfinite(textbook)]
    left.plot(broken, np.full_like(broken, -6), "r|", label="textbook formula: inf or NaN")
    left.set_xlabel("logit gap z")
    left.set_ylabel("cross-entropy")
    left.legend()
    for row, name in zip(losses, ("class 0", "class 1"), strict=True):
        right.plot(GAPS, np.gradient(row, GAPS), label=f"{name} is right", linewidth=3, alpha=0.5)
    right.set_xlim(-12, 12)
    right.set_xlabel("logit gap z")
    right.set_ylabel("slope of the loss = p − y")
    right.legend()
    fig.savefig("cross_entropy.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Goodfellow, Bengio and Courville 2016, [Deep Learning](https://www.deeplearningbook.org/), chapters 4.1
#   (overflow and underflow) and 6.2 (cross-entropy).
# - CS231n, [Linear classification](https://cs231n.github.io/linear-classify/): softmax and its loss, with a demo to
#   play with.
