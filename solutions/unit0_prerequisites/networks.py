# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Networks and optimisers
#
# *Unit 0, page 2 of 3. Before: [softmax, cross-entropy and their gradients](numerics.ipynb). Next: [language
# models](language_models.ipynb). Papers: [Rumelhart, Hinton and Williams 1986](https://doi.org/10.1038/323533a0) on
# back-propagation; [Kingma and Ba 2014, Adam](https://arxiv.org/abs/1412.6980); [Loshchilov and Hutter 2017, Decoupled
# Weight Decay Regularization](https://arxiv.org/abs/1711.05101).*
#
# Training is two questions asked over and over. *Which way should each number in the network move?* Back-propagation
# answers that. *How far?* That is the optimiser's part. From unit 1 on PyTorch will answer the first question for you.
# Do it by hand once, and its answers stop being magic.

# %% [markdown]
# ![Values go forwards from x through a, h and z to the loss; gradients come back the other way, each with the shape of
# its value, and leave dW2 and dW1 on the way](diagrams/networks.svg)

# %% [markdown]
# ## A network is matrices with a bend in between
#
# One example is a row of $D_i$ numbers, a batch is a matrix $x$ of shape $(N, D_i)$. A **linear layer** multiplies it
# by a matrix and adds a row to every row: $xW + b$. Two linear layers in a row are just one (multiply the matrices), so
# there must be something between them that is not linear. The simplest bend there is: negative numbers become 0.
#
# $$a = xW_1 + b_1 \qquad h = \mathrm{relu}(a) = \max(a, 0) \qquad z = hW_2 + b_2 \qquad
# L = \mathrm{cross\ entropy}(z, y)$$
#
# | array | shape | what it is |
# |---|---|---|
# | $x$ | $(N, D_i)$ | the inputs, one row per example |
# | $W_1, b_1$ | $(D_i, D_h)$, $(D_h)$ | first layer |
# | $a, h$ | $(N, D_h)$ | before and after the bend |
# | $W_2, b_2$ | $(D_h, C)$, $(C)$ | second layer |
# | $z$ | $(N, C)$ | logits |
# | $y$ | $(N)$ | the right classes |
#
# The last step is that of the [page before](numerics.ipynb): $p = \mathrm{softmax}(z)$ row by row, and
# $L = -\frac1N \sum_n \ln p_{n, y_n}$, the mean over the examples. Remember to subtract the maximum of each row before
# you exponentiate.
#
# (Here weights are stored (in, out), so that the formula reads as it is computed. `nn.Linear` stores them the other way
# round, (out, in), and from unit 1 on so do we.)
#
# ## Backwards
#
# Write $da$ for "the derivative of $L$ by $a$": an array of the shape of $a$ which says by how much $L$ grows per unit
# of each entry. The last one is $dz = (p - \text{one-hot}(y))/N$, probability minus truth: see [the page
# before](numerics.ipynb). The chain rule carries it back one step at a time. For a linear layer $z = hW + b$:
#
# - one entry $W_{jk}$ acts in *every* example, by $h_{nj}$, on $z_{nk}$. So $dW_{jk} = \sum_n h_{nj}\,dz_{nk}$.
# - $b_k$ acts in every example, with factor 1.
# - $h_{nj}$ acts on all the logits of its own example, by $W_{jk}$: $dh_{nj} = \sum_k dz_{nk} W_{jk}$.
#
# Each of these sums is a product of two matrices or a sum over an axis. You need not remember which one is transposed:
# **a gradient has the shape of the thing it belongs to**, and as long as $N$, $D_i$, $D_h$ and $C$ differ, only one
# product fits. (When they are equal, the wrong one fits as well. Test with different sizes.)
#
# For the bend: where $a > 0$ the unit passes everything on, where $a < 0$ it passes nothing. What matters is the sign
# of what came *in*, not that of what comes back. At exactly 0 either answer is accepted.
#
# Note that the $1/N$ of the mean is already in $dz$. It comes along by itself; nobody divides again.
#
# ### An example to check by hand
#
# One example, two units, of which the second is switched off:
#
# $$x = (1, -1) \quad W_1 = \begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} \quad b_1 = 0 \quad
# W_2 = \begin{pmatrix} \ln 3 & 0 \\ 5 & 0 \end{pmatrix} \quad b_2 = 0 \quad y = 1$$
#
# Forward: $a = (1, -1)$, $h = (1, 0)$, $z = (\ln 3, 0)$, $p = (\frac34, \frac14)$,
# $L = -\ln\frac14 = \ln 4 \approx 1.386$.
#
# Backward: $dz = p - (0, 1) = (\frac34, -\frac34)$. Then $dW_2$ has the row $(\frac34, -\frac34)$ for the unit that was
# on and zeros for the other. $dh = (\frac34 \ln 3, \frac{15}4)$, but the second unit was off, so
# $da = (\frac34 \ln 3, 0) \approx (0.824, 0)$: the 5 does not matter. Finally $dx = (0.824, 0)$, and $dW_1$ has the
# rows $(0.824, 0)$ and $(-0.824, 0)$.

# %%
from collections.abc import Callable

import numpy as np

# %% [markdown]
# ## Exercise `mlp_backprop`: a network, forwards and backwards (12 points)
#
# When you are done, check yourself with central differences, as on the page before: they know nothing of your algebra.


# %% exercise="mlp_backprop"
def mlp_loss_and_grads(
    x: np.ndarray, W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray, y: np.ndarray
) -> tuple[float, dict[str, np.ndarray]]:
    """The mean cross-entropy of relu(x W1 + b1) W2 + b2, and its derivative by everything but y.

    Args:
        x: (N, Di), N ≥ 1 examples.
        W1: (Di, Dh), stored (in, out). b1: (Dh,).
        W2: (Dh, C), stored (in, out). b2: (C,).
        y: int64 (N,), the right classes, each 0..C−1.
        All but y are float64, or all are float32. Logits may be as large as ±1e4.

    Returns:
        (loss, grads). The loss is one number, the *mean* over the examples (a Python float or a NumPy number). grads is
        a dict with the keys "dx", "dW1", "db1", "dW2", "db2": the derivatives of that loss, each with the shape and
        dtype of the array it belongs to. The derivative of relu at exactly 0 may be taken as 0 or as 1. No argument is
        changed.

    Write the backward pass yourself; `torch` may not be used.

    >>> x, W1, b1 = np.array([[1.0, -1.0]]), np.eye(2), np.zeros(2)
    >>> W2, b2 = np.array([[np.log(3.0), 0.0], [5.0, 0.0]]), np.zeros(2)
    >>> loss, grads = mlp_loss_and_grads(x, W1, b1, W2, b2, np.array([1]))
    >>> round(float(loss), 4)
    1.3863
    >>> grads["dW2"].round(4).tolist()
    [[0.75, -0.75], [0.0, 0.0]]
    >>> grads["dx"].round(4).tolist()
    [[0.824, 0.0]]
    """
    ### BEGIN SOLUTION
    rows = np.arange(len(x))
    a = x @ W1 + b1  # (N, Dh)
    h = np.maximum(a, 0)
    z = h @ W2 + b2  # (N, C)
    z = z - z.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    loss = -log_p[rows, y].mean()

    dz = np.exp(log_p)
    dz[rows, y] -= 1
    dz /= len(x)  # (N, C)
    da = (dz @ W2.T) * (a > 0)  # (N, Dh)
    grads = {"dx": da @ W1.T, "dW1": x.T @ da, "db1": da.sum(axis=0), "dW2": h.T @ dz, "db2": dz.sum(axis=0)}
    return loss, grads
    ### END SOLUTION


# %% [markdown]
# ## Downhill
#
# The gradient points to where the loss grows fastest, so we take a small step the other way, and look again:
#
# $$x_{t+1} = x_t - \eta\, g_t, \qquad g_t = \nabla f(x_t)$$
#
# How long may the step be? Take the simplest valley, $f(x) = \frac\lambda2 x^2$ with gradient $\lambda x$. A step turns
# $x$ into $(1 - \eta\lambda)\,x$. That shrinks as long as $|1 - \eta\lambda| < 1$, which means $\eta < 2/\lambda$.
# Beyond that each step overshoots by more than it gains, and the numbers explode. A real loss has many directions with
# a $\lambda$ each. **The steepest direction dictates the learning rate, and the flattest one then waits**: with
# $\lambda_{\max}/\lambda_{\min} = 1000$ it takes thousands of steps.
#
# **Momentum** remembers. A velocity $v$ collects the gradients and forgets them slowly:
#
# $$v_{t+1} = \mu v_t + g_t, \qquad x_{t+1} = x_t - \eta\, v_{t+1}, \qquad v_0 = 0$$
#
# Across the valley the gradients change sign and cancel; along it they add up, to as much as $1/(1-\mu)$ times a plain
# step. That is the convention of `torch.optim.SGD`. Others multiply $g_t$ by $(1 - \mu)$, which is a running *average*
# instead of a running sum, and needs a learning rate $1/(1-\mu)$ times as large: a common reason why a recipe from one
# library fails in another.
#
# **Nesterov** momentum looks ahead: it takes the gradient's own step *and* the step that the new velocity would take
# next,
#
# $$x_{t+1} = x_t - \eta\,(g_t + \mu v_{t+1})$$
#
# By hand, $f(x) = x^2$ (gradient $2x$) from $x = 8$ with $\eta = \frac14$:
#
# | | step 1 | step 2 | step 3 |
# |---|---|---|---|
# | plain | 4 | 2 | 1 |
# | $\mu = \frac12$: velocity | 16 | 8 + 8 = 16 | 8 + 0 = 8 |
# | position | 4 | 0 | −2, it swings through |
# | $\mu = \frac12$, Nesterov: velocity | 16 | 8 + 4 = 12 | 6 − 1 = 5 |
# | position | 8 − (16 + 8)/4 = 2 | 2 − (4 + 6)/4 = −0.5 | −0.5 − (−1 + 2.5)/4 = −0.875 |

# %% [markdown]
# ## Exercise `gradient_descent`: gradient descent with momentum (8 points)
#
# You return the whole path. Remember that a list of ten references to the same array is not a path of ten points.


# %% exercise="gradient_descent"
def gradient_descent(
    grad_fn: Callable[[np.ndarray], np.ndarray],
    x0: np.ndarray,
    lr: float,
    steps: int,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> np.ndarray:
    """Take `steps` steps downhill from x0 and return every point on the way.

    Args:
        grad_fn: takes a point (d,), returns the gradient there, (d,) in the same dtype. It may be expensive: call it
            once per step, at the point just reached (x_0, x_1, …), so exactly `steps` times in all.
        x0: the start, float32 or float64 (d,).
        lr: the learning rate η.
        steps: how many steps, ≥ 0.
        momentum: μ, in [0, 1). The convention is that of torch.optim.SGD: v ← μ v + g, starting from v = 0, then
            x ← x − η v. With μ = 0 this is plain gradient descent.
        nesterov: if True, x ← x − η (g + μ v) with the new v instead. (With μ = 0 it makes no difference.)

    Returns:
        (steps + 1, d) in the dtype of x0: x_0, x_1, …, x_steps. x0 itself is not changed.

    `torch` may not be used.

    >>> gradient_descent(lambda x: 2 * x, np.array([8.0]), lr=0.25, steps=3)[:, 0].tolist()
    [8.0, 4.0, 2.0, 1.0]
    >>> gradient_descent(lambda x: 2 * x, np.array([8.0]), lr=0.25, steps=3, momentum=0.5)[:, 0].tolist()
    [8.0, 4.0, 0.0, -2.0]
    >>> gradient_descent(lambda x: 2 * x, np.array([8.0]), lr=0.25, steps=3, momentum=0.5, nesterov=True)[:, 0].tolist()
    [8.0, 2.0, -0.5, -0.875]
    """
    ### BEGIN SOLUTION
    trajectory = np.empty((steps + 1, *x0.shape), dtype=x0.dtype)
    trajectory[0] = x0
    velocity = np.zeros_like(x0)
    for step in range(steps):
        gradient = grad_fn(trajectory[step])
        velocity = momentum * velocity + gradient
        direction = gradient + momentum * velocity if nesterov else velocity
        trajectory[step + 1] = trajectory[step] - lr * direction
    return trajectory
    ### END SOLUTION


# %% [markdown]
# ## A step size for every number: AdamW
#
# In a transformer the gradients of different parameters differ by orders of magnitude, and no single $\eta$ suits them
# all. Adam gives each entry a scale of its own. It keeps two running averages per entry, of the gradient and of its
# square:
#
# $$m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \qquad
# m_0 = v_0 = 0$$
#
# Both start at 0 and are too small at first: after one step $m_1 = (1 - \beta_1) g_1$, a tenth of the gradient. Divide
# by what is missing, with $t = 1$ in the first step:
#
# $$\hat m_t = \frac{m_t}{1 - \beta_1^t} \qquad \hat v_t = \frac{v_t}{1 - \beta_2^t}$$
#
# The step is the average gradient *in units of its own typical size*, so that it is about $\eta$ for every entry, be
# its gradient large or tiny:
#
# $$p_t = p_{t-1} - \eta \left( \frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon} + w\, p_{t-1} \right)$$
#
# **Where $\varepsilon$ stands matters.** It is there so that an entry without gradient is not divided by 0. It is added
# to the finished root, after the correction. Under the root, $10^{-8}$ would act like $10^{-4}$. With gradients around
# 1 you would never see the difference; late in training, or in a seldom used embedding, gradients *are* near $10^{-8}$.
#
# **The W in AdamW.** The last term pulls every weight towards 0, by $\eta w p$. It is *decoupled*: it does not go
# through the averages. Add $w p$ to the gradient instead (that is L2 regularisation, "Adam" with `weight_decay`), and
# it is divided by $\sqrt{\hat v}$ like the rest, so that the entries with large gradients hardly decay at all.
#
# By hand, first step, $p = 1$, $g = 0.5$, $\eta = 0.1$, $\beta = (0.9, 0.999)$, $w = 0.1$, $\varepsilon$ negligible:
# $m = 0.05$, $v = 0.00025$, corrected $0.5$ and $0.25$; the step is $0.1 \cdot (0.5/0.5 + 0.1 \cdot 1) = 0.11$, and
# $p = 0.89$. The size of the gradient has cancelled: with $g = 0.0005$ the answer is the same. The first step of Adam
# is $\eta$ times the *sign* of the gradient.

# %% [markdown]
# ## Exercise `adamw_step`: one step of AdamW (10 points)
#
# What has to be remembered from step to step lives in a dictionary that the caller keeps, one per parameter.


# %% exercise="adamw_step"
def adamw_step(
    p: np.ndarray,
    g: np.ndarray,
    state: dict,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> np.ndarray:
    """One step of AdamW for one parameter: returns the new value, and advances the state.

    Args:
        p: the parameter before the step, float32 or float64, of any shape.
        g: its gradient, same shape and dtype.
        state: what is remembered between steps; the *only* argument that is written to. An empty dict before the first
            step. Afterwards it holds "t" (int, the number of steps taken so far), "m" and "v" (the two running
            averages, *not* corrected; shape and dtype of p). Each parameter has its own; nothing is kept elsewhere.
        lr: η. betas: (β1, β2). eps: ε, added to √v̂, outside the root and after the bias correction.
        weight_decay: w; the decay is decoupled and multiplied by the learning rate.

    Returns:
        p_new = p − η (m̂ / (√v̂ + ε) + w p), a new array like p, where m̂ and v̂ are corrected with t = 1 in the first
        step. p and g are not changed. float64 results should be right to 12 digits.

    `torch` may not be used.

    >>> state = {}
    >>> p = adamw_step(
    ...     np.array([1.0]), np.array([0.5]), state, lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1
    ... )
    >>> p.round(4).tolist(), state["t"], state["m"].round(4).tolist(), state["v"].round(6).tolist()
    ([0.89], 1, [0.05], [0.00025])
    >>> adamw_step(p, np.array([0.0]), state, lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1).round(4).tolist()
    [0.8141]
    """
    ### BEGIN SOLUTION
    beta1, beta2 = betas
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", np.zeros_like(p)) + (1 - beta1) * g
    v = beta2 * state.get("v", np.zeros_like(p)) + (1 - beta2) * g * g
    state.update(t=t, m=m, v=v)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p)
    ### END SOLUTION


# %% [markdown]
# ## The picture
#
# A long narrow valley, $f(x) = \frac12 (x_1^2 + 25\, x_2^2)$: 25 times as steep across as along. Left the paths, right
# the loss on a logarithmic scale, where "shrinks by a constant factor" is a straight line.
#
# - **Plain descent** gets rid of the steep direction within a few steps and then creeps along the floor.
# - **Momentum** swings, but the swings pay: it is far ahead after sixty steps.
# - **AdamW** does not see the valley's shape: at first it takes the same step, 0.4, in both directions. Near the bottom
#   its steps are still long, and it swings through. In practice one lets $\eta$ fall, with a schedule such as that of
#   [unit 5](../unit5_transformer/training.ipynb).
#
# Try a learning rate of 0.081 for plain descent, just above $2/25$.
#
# Next: [language models](language_models.ipynb), and a first probability for a sentence.

# %%
START, STEPS, CURVATURE = np.array([10.0, 2.0]), 60, np.array([1.0, 25.0])
NAMES = ["gradient descent", "momentum", "AdamW"]


def valley(x: np.ndarray) -> np.ndarray:
    """The gradient of ½ (x1² + 25 x2²)."""
    return CURVATURE * x


def path(name: str) -> np.ndarray:
    """The points (STEPS + 1, 2) that one optimiser visits."""
    if name == "gradient descent":
        return gradient_descent(valley, START, lr=0.035, steps=STEPS)
    if name == "momentum":
        return gradient_descent(valley, START, lr=0.035, steps=STEPS, momentum=0.8)
    points, state = [START], {}
    for _ in range(STEPS):
        x = points[-1]
        points.append(adamw_step(x, valley(x), state, lr=0.4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0))
    return np.stack(points)


def figure_data(names: list[str] = NAMES) -> np.ndarray:
    """The losses (len(names), STEPS + 1) along the paths."""
    return np.stack([0.5 * (CURVATURE * path(name) ** 2).sum(axis=-1) for name in names])


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    grid = np.meshgrid(np.linspace(-6, 11, 200), np.linspace(-2.5, 2.5, 100))
    height = 0.5 * (CURVATURE[0] * grid[0] ** 2 + CURVATURE[1] * grid[1] ** 2)
    left.contour(*grid, height, levels=np.geomspace(0.5, 120, 9), colors="lightgrey")
    for name, losses in zip(NAMES, figure_data(), strict=True):
        left.plot(*path(name).T, marker=".", linewidth=1, label=name)
        right.semilogy(losses, label=name)
    left.set_xlabel("x1 (flat)")
    left.set_ylabel("x2 (steep)")
    left.legend()
    right.set_xlabel("step")
    right.set_ylabel("loss")
    right.legend()
    fig.savefig("loss_curve.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Andrej Karpathy, [The spelled-out intro to neural networks and
#   backpropagation](https://www.youtube.com/watch?v=VMj-3S1tku0), a lecture.
# - 3Blue1Brown, [Neural networks](https://www.3blue1brown.com/topics/neural-networks), a course in pictures.
# - Gabriel Goh 2017, [Why momentum really works](https://distill.pub/2017/momentum/), interactive.
# - Kingma and Ba 2014, [Adam](https://arxiv.org/abs/1412.6980); Loshchilov and Hutter 2017, [Decoupled weight
#   decay](https://arxiv.org/abs/1711.05101).
