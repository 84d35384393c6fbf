# %% [markdown]
# # Why several heads?
#
# *Unit 3, page 3 of 3. Before: [multi-head attention in PyTorch](multi_head_attention.ipynb). Next: [positional
# encoding](../unit4_positional_encoding/sinusoidal.ipynb). Papers: [Michel et al. 2019, Are Sixteen Heads Really Better
# than One?](https://arxiv.org/abs/1905.10650); [Voita et al. 2019, Analyzing Multi-Head
# Self-Attention](https://arxiv.org/abs/1905.09418).*
#
# Two answers, which seem to contradict each other. In a *trained* model most heads can be taken away and hardly anybody
# notices: this page shows how to find out which. And yet there are simple tasks that two heads do perfectly and one
# head cannot do at all: you will set the weights of such a layer by hand, without any training.

# %%
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder.given import MultiHeadAttention, scaled_dot_product_attention, squared_error


# %% [markdown]
# ![Three heads read the same input; each answer goes through a gate and its columns of W_O, and is added to the output;
# the gate of the middle head is closed](diagrams/why_multiple_heads.svg)

# %% [markdown]
# ## A volume knob for each head
#
# The output projection reads the heads side by side, so its columns fall into $H$ blocks, and the output of the layer
# is a **sum over heads**:
#
# $$\mathrm{out} = [\,\mathrm{head}_1;\ \dots;\ \mathrm{head}_H\,]\, W_O^\top + b_O
# = \sum_{h=1}^{H} \mathrm{head}_h\, W_{O,h}^\top + b_O, \qquad W_{O,h} \text{ of shape } (D, D_h)$$
#
# A head is one term of that sum and can be turned up or down by itself, with a **gate** $g_h$:
#
# $$\mathrm{out}(g) = \sum_{h} g_h\; \mathrm{head}_h\, W_{O,h}^\top + b_O$$
#
# With all gates 1 this is the layer itself; with $g_h = 0$ head $h$ is gone; with all gates 0 only $b_O$ is left.
# Nothing is normalised: if a head goes, the others do not get louder. (Nor is it the same as hiding a part of $x$:
# every head reads all of $x$.)
#
# ### Which heads matter?
#
# To measure every head of a model by removing it takes one run for each head. The gradient gives an estimate for all of
# them in one run. If $L(g)$ is the loss as a function of the gates,
#
# $$I_h = \left|\frac{\partial L}{\partial g_h}\right|_{g = (1, \dots, 1)}$$
#
# says how fast the loss changes when one begins to turn head $h$ down. The absolute value is taken because a head that
# makes things worse is not unimportant.
#
# ### An example to check by hand
#
# Take the two heads of [page 1](multi_head_mathematics.ipynb): the outputs of the two tokens are $(0.524, 0.786)$ and
# $(0.786, 0.524)$, the first number from head 0 and the second from head 1. With gates $(1, 0)$ they are $(0.524, 0)$
# and $(0.786, 0)$. Now let just these be the target, and the loss the mean squared error over the four numbers. Then
# head 0 is already perfect, and its importance is 0. For head 1,
#
# $$L = \tfrac14 \left((g_1 \cdot 0.786)^2 + (g_1 \cdot 0.524)^2\right), \qquad
# \frac{\partial L}{\partial g_1} = \tfrac24 \left(0.786^2 + 0.524^2\right) = 0.446.$$

# %% [markdown]
# ## Exercise `head_ablation`: taking heads away (12 points)
#
# `mha` is a `MultiHeadAttention` of `autograder.given`: the layer of the last page, so that you need not have finished
# yours. You may use its attributes `n_heads` and `q_proj`, `k_proj`, `v_proj`, `out_proj` (all `nn.Linear`), and call
# it.
#
# It belongs to somebody else. Whatever you do to it must be undone, or better, not be done at all: a measuring device
# that changes what it measures spoils every measurement after the first. (That includes the gradients which `backward`
# would leave in its parameters. `torch.autograd.grad` returns the gradient you want and leaves nothing behind.)

# %%
def mha_with_head_gate(mha: nn.Module, x: Tensor, gate: Tensor) -> Tensor:
    """Self-attention of x by mha, with head h multiplied by gate[h].

    Args:
        mha: a MultiHeadAttention(d_model, n_heads) of autograder.given, with or without biases.
        x: (B, T, d_model), in the dtype of mha's parameters. There is no mask.
        gate: (H,), same dtype; any numbers, negative ones too.

    Returns:
        (B, T, d_model): Σ_h gate[h] · head_h W_{O,h}ᵀ + b_O. So it is affine in gate; the bias of out_proj, if there is
        one, is added once, whatever the gates. Differentiable in x and gate. mha, x and gate are not changed.

    >>> mha = MultiHeadAttention(2, 2, bias=False)
    >>> for parameter in mha.parameters():
    ...     _ = nn.init.eye_(parameter)
    >>> a = math.sqrt(math.log(3.0))
    >>> x = torch.tensor([[[0.0, a], [a, 0.0]]])
    >>> out = mha_with_head_gate(mha, x, torch.tensor([1.0, 0.0]))
    >>> [[round(value, 3) for value in row] for row in out[0].tolist()]
    [[0.524, 0.0], [0.786, 0.0]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def head_importance(mha: nn.Module, x: Tensor, loss_fn: Callable[[Tensor], Tensor]) -> Tensor:
    """How much each head matters to the loss: |∂L/∂gate[h]| at gate = (1, ..., 1), with L = loss_fn(output).

    Args:
        mha, x: as in mha_with_head_gate.
        loss_fn: a function of the layer's output (B, T, d_model) that returns a tensor without axes and is
            differentiable. It knows its targets itself.

    Returns:
        (H,) in the dtype of x, never negative: the absolute value of the gradient of the whole loss. mha's parameters
        (no gradient is left in them either) and mode, and x, are as they were before.

    >>> mha = MultiHeadAttention(2, 2, bias=False)
    >>> for parameter in mha.parameters():
    ...     _ = nn.init.eye_(parameter)
    >>> a = math.sqrt(math.log(3.0))
    >>> x = torch.tensor([[[0.0, a], [a, 0.0]]])
    >>> target = torch.tensor([[[a / 2, 0.0], [0.75 * a, 0.0]]])
    >>> [round(value, 3) for value in head_importance(mha, x, squared_error(target)).tolist()]
    [0.0, 0.446]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# Michel and colleagues sorted the heads of trained translation and language models by this number and cut off the
# least important ones: often a fifth to two fifths of all heads went without any visible loss of quality, and some
# layers did as well with a single head. Why have several, then? Partly because training needs the choice: nobody knows
# beforehand which heads will turn out useful. But also for a plain mathematical reason.

# %% [markdown]
# ## One row of weights is one mixture
#
# Here is a task. For each token of a sequence, report two things: **the previous token, and the first token**:
#
# $$\mathrm{out}_t = [\,x_{t-1};\ x_0\,] \qquad (t \ge 1)$$
#
# Two heads can share the work: one looks back by one, the other at the start. You met both kinds in
# [attention patterns](../unit2_self_attention/attention_patterns.ipynb), under the names "previous" and "first".
#
# A single head has one row of weights for query $t$, and whatever follows sees the tokens only through the one mixture
#
# $$m_t = \sum_{j \le t} w_{tj}\, x_j, \qquad w_{tj} \ge 0, \quad \sum_j w_{tj} = 1.$$
#
# Value and output matrices can turn $m_t$ into something else, but they are the same for all $j$: if they pass
# $x_{t-1}$ on to the first half of the output, they pass $x_0$ on to it as well, in proportion to its weight. To be
# right for every sequence, the first half would need $w_{t,t-1} = 1$ and the second $w_{t,0} = 1$. The weights sum to
# 1.
#
# How wrong must it be? Suppose the head hands on its mixture to both halves, $[m_t; m_t]$. Measure the error by the
# largest deviation of any entry. Whatever $m_t$ is, it cannot be close to two points that are far from each other.
# Somewhere between them is the best place, and since the weights may be any mixture, it can be reached.
#
# ### An example to check by hand
#
# $D = 1$, $x = (5, 7, 9)$. The outputs should be $[5; 5]$ for $t = 1$ and $[7; 5]$ for $t = 2$. The first is easy for a
# single head: look at token 0. For the second the best mixture is $m_2 = 6$, which is wrong by 1 in both halves. So the
# smallest error of a single head is 1. For two heads it is 0.

# %% [markdown]
# ## Setting the weights by hand
#
# A head can look "one back" only if it knows where it is. Attention by itself does not
# ([unit 2](../unit2_self_attention/self_attention.ipynb)), so the position is written into the token: as a
# one-hot vector $e_t$ of length $T$, appended to $x_t$. (Unit 4 has better ideas.) The layer's input is
#
# $$z_t = [\,x_t;\ e_t;\ 0, \dots, 0\,] \qquad \text{of width } E,$$
#
# where $E$, the width of the layer, is up to you; zeros fill it up. `with_positions` below builds it.
#
# Three things to think about:
#
# - **Query and key.** The score of query $t$ and key $j$ is $q_t \cdot k_j$, and both are *linear* in $z$. A matrix
#   times $z_t$ gives its column $D + t$ (the one that meets the 1 in $e_t$), plus what its first $D$ columns make of
#   $x_t$. What should $q_t$ and $k_j$ be, so that they fit exactly for $j = t - 1$? And what do you want all queries to
#   look like if everybody is to look at position 0?
# - **Sharpness.** Softmax never gives a weight of exactly 1. By how much must the right score exceed the others, if
#   there are $T$ of them? And what does the layer divide scores by?
# - **Value and output.** Each head is $E/2$ numbers wide, and all of $x_j$ must pass through it. Behind the attention
#   the result of head 0 starts at number 0 and that of head 1 at number $E/2$, but the answer is expected at 0 and at
#   $D$. Putting things in their place is what the output projection is for.
#
# A larger $E$ costs nothing here: choose it so that in $E/2$ numbers there is room for whatever you want to put there.
# And look at what you get: the second result of `run_two_heads` holds the weights, (B, 2, T, T), and shows for each
# head which key every query looks at.

# %%
def with_positions(x: Tensor, width: int) -> Tensor:
    """[x; one-hot position; zeros], (..., T, D) -> (..., T, width). Given."""
    T, D = x.shape[-2:]
    positions = torch.eye(T, dtype=x.dtype).expand(*x.shape[:-1], T)
    return F.pad(torch.cat([x, positions], dim=-1), (0, width - D - T))


def run_two_heads(state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The first 2D outputs (B, T, 2D) and the weights (B, 2, T, T) of your layer with a causal mask. Given.

    This is how the result of `two_head_weights(T, D)` is used, on x of shape (B, T, D).
    """
    T, D = x.shape[-2:]
    E = state["out_proj.weight"].shape[0]
    layer = MultiHeadAttention(E, 2)
    layer.to(x.dtype)
    biases = {f"{name}_proj.bias": torch.zeros(E) for name in ("q", "k", "v", "out")}
    layer.load_state_dict(biases | state)
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    with torch.no_grad():
        out, weights = layer(with_positions(x, E), mask=causal, need_weights=True)
    return out[..., : 2 * D], weights


# %% [markdown]
# ## Exercise `why_multiple_heads`: two heads that one head cannot replace (18 points)
#
# The weights must work for every $x$: they are written down once, for $T$ and $D$, and then meet sequences they have
# never seen.

# %%
def two_head_weights(T: int, D: int) -> dict[str, Tensor]:
    """Weights of a causal two-head attention layer whose output at t is [x_{t−1}; x_0].

    The layer: ordinary multi-head self-attention with 2 heads and a causal mask (query t sees keys 0..t; the mask is
    applied for you), scores divided by √(E/2). Its input is z_t = [x_t; e_t; 0 ... 0] of width E, where e_t is the
    one-hot vector of position t (length T). `run_two_heads` above does all that.

    Args:
        T: length of the sequence, T ≥ 2.
        D: width of a token x_t, D ≥ 1. Either may be larger than the other.

    Returns:
        A state dict with "q_proj.weight", "k_proj.weight", "v_proj.weight", "out_proj.weight", each (E, E) in (out, in)
        layout and float32 or float64, and if you like also "q_proj.bias", "k_proj.bias", "v_proj.bias",
        "out_proj.bias", each (E,), which are 0 otherwise. Rows 0 ... E/2 − 1 of q, k and v belong to head 0, the others
        to head 1. You choose E: an even number, at least D + T and at least 2D.

    For x drawn from a standard normal distribution, the first D numbers of output t are x_{t−1} and the next D are x_0,
    for all t ≥ 1, each with an error below 0.01. Output 0, and outputs beyond the first 2D, may be anything (finite).

    >>> state = two_head_weights(3, 1)
    >>> out, _ = run_two_heads(state, torch.tensor([[[5.0], [7.0], [9.0]]]))
    >>> [[round(value, 2) for value in row] for row in out[0, 1:].tolist()]
    [[5.0, 5.0], [7.0, 5.0]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def best_single_head_error(x: Tensor) -> float:
    """The smallest error that a single head can have on x, if it hands on its mixture to both halves.

    The head's output at t is [m_t; m_t] with m_t = Σ_j w_tj x_j over the keys j = 0..t, weights w_tj ≥ 0 that sum to 1,
    chosen as well as possible for this x. Its error is the largest absolute value of any entry of
    [m_t; m_t] − [x_{t−1}; x_0], over all t = 1 ... T − 1.

    Args:
        x: (T, D), float32 or float64, T ≥ 2. It is not changed.

    Returns:
        The smallest possible error, as a Python float. It is exact up to rounding: a formula, not a search.

    >>> best_single_head_error(torch.tensor([[5.0], [7.0], [9.0]]))
    1.0
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The pictures
#
# `head_patterns.png`: the weights of your two heads for a sequence of 10 tokens. Their names are given by the rule of
# [attention patterns](../unit2_self_attention/attention_patterns.ipynb). On the right is the compromise of a single
# head: half on the previous token, half on the first, and at each position its error on random tokens.
#
# `head_importance.png`: a layer of six heads with random weights. The output projection does not listen to two of them:
# their columns are 0. The bars show the importance of each head for a random regression target, beside the change of
# the loss when the head is really taken away. Both say which heads nobody hears, and here they put the others into the
# same order. They are not the same number: the gradient is a slope at 1, and a removal is a step all the way down to 0.
#
# Next: one-hot positions need a matrix as long as the text. [Unit 4](../unit4_positional_encoding/sinusoidal.ipynb) is
# about better ones.

# %%
DEAF = [1, 4]  # heads that the output projection of the example does not read


def figure_data(picture: str = "head_patterns") -> np.ndarray:
    """What a picture shows.

    "head_patterns": the weights of your two heads, (2, 10, 10), queries by keys. "head_importance": (2, 6), for each
    head its importance, and how much the loss changes when it is removed.
    """
    generator = torch.Generator().manual_seed(5)
    if picture == "head_patterns":
        return run_two_heads(two_head_weights(10, 3), torch.randn(1, 10, 3, generator=generator))[1][0].numpy()
    mha = MultiHeadAttention(12, 6)
    with torch.no_grad():
        for parameter in mha.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        for h in DEAF:
            mha.out_proj.weight[:, 2 * h : 2 * h + 2] = 0.0
    x, target = torch.randn(2, 8, 9, 12, generator=generator)
    loss_fn, ones = squared_error(target), torch.ones(6)
    removed = torch.stack([loss_fn(mha_with_head_gate(mha, x, ones - row)) for row in torch.eye(6)])
    change = (removed - loss_fn(mha_with_head_gate(mha, x, ones))).abs()
    return torch.stack([head_importance(mha, x, loss_fn), change]).detach().numpy()


def pattern_name(w: np.ndarray) -> str:
    """ "previous", "self", "first" or "other", by the rule of unit 2."""
    i = np.arange(2, len(w))
    means = {"previous": w[i, i - 1].mean(), "self": w[i, i].mean(), "first": w[i, 0].mean()}
    return next((name for name, mean in means.items() if mean >= 0.5), "other")


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    heads = figure_data("head_patterns")
    T = heads.shape[-1]
    fig, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained", width_ratios=[1, 1, 1.25])
    for h, ax in enumerate(axes[:2]):
        picture = ax.imshow(np.where(heads[h] == 0, np.nan, heads[h]), vmin=0.0, vmax=1.0)
        ax.set_title(f'head {h}: "{pattern_name(heads[h])}"')
        ax.set_xlabel("key")
        ax.set_ylabel("query")
    fig.colorbar(picture, ax=axes[:2], label="attention weight", shrink=0.8)
    x = torch.randn(T, 3, generator=torch.Generator().manual_seed(6))
    out, _ = run_two_heads(two_head_weights(T, 3), x[None])
    target = torch.cat([x[:-1], x[:1].expand(T - 1, 3)], dim=-1)
    middle = (x[:-1] + x[:1]) / 2
    for name, answer in (("two heads", out[0, 1:]), ("one head, half and half", torch.cat([middle, middle], dim=-1))):
        axes[2].plot(range(1, T), (answer - target).abs().amax(dim=-1), marker="o", label=name)
    axes[2].axhline(best_single_head_error(x), linestyle="--", color="grey", label="best_single_head_error")
    axes[2].set_ylim(top=1.4 * best_single_head_error(x))
    axes[2].set_xlabel("t")
    axes[2].set_ylabel("largest error of output t")
    axes[2].legend()
    fig.savefig("head_patterns.png", dpi=110)

    importance, change = figure_data("head_importance")
    fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    positions = np.arange(len(importance))
    ax.bar(positions - 0.2, importance, width=0.4, label="importance |∂L/∂g|")
    ax.bar(positions + 0.2, change, width=0.4, label="change of the loss without the head")
    ax.set_xlabel("head")
    ax.set_xticks(positions)
    ax.legend()
    fig.savefig("head_importance.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Michel et al. 2019, [Are sixteen heads really better than one?](https://arxiv.org/abs/1905.10650); Voita et al.
#   2019, [Analyzing multi-head self-attention](https://arxiv.org/abs/1905.09418).
# - Olsson et al. 2022, [In-context learning and induction
#   heads](https://transformer-circuits.pub/2022/in-context-learning-and-induction-heads/index.html).
