# %% [markdown]
# # The residual stream
#
# *Unit 5, page 3 of 9, about 45 minutes. Before: [the feed-forward network](feed_forward.ipynb). Next: [the
# encoder](encoder.ipynb). Papers: [He et al. 2015, Deep Residual Learning](https://arxiv.org/abs/1512.03385); [Vaswani
# et al. 2017](https://arxiv.org/abs/1706.03762), sections 3.1 and 5.4; [Xiong et al. 2020, On Layer Normalization in
# the Transformer Architecture](https://arxiv.org/abs/2002.04745); [Elhage et al. 2021, A Mathematical Framework for
# Transformer Circuits](https://transformer-circuits.pub/2021/framework/index.html).*
#
# Attention moves information, the feed-forward network processes it. How are they put together? Not by letting one
# replace what the other made. Each of them **adds** its result to what is there already:
#
# $$x \;\leftarrow\; x + f(x)$$
#
# Think of $x$ as a stream that runs through the whole model, from the embedding to the last layer, with $D$ numbers per
# token. A sub-layer reads the stream, and writes a correction into it. What it does not touch stays there for whoever
# comes later: layer 20 can read what layer 2 wrote.
#
# The same holds backwards. With $y = x + f(x)$ and the Jacobian $J_f$ of the sub-layer,
#
# $$\frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \left( I + J_f \right)
# = \frac{\partial L}{\partial y} + \frac{\partial L}{\partial y}\, J_f.$$
#
# The first term is the gradient itself, untouched, however bad $J_f$ is. A product of fifty Jacobians vanishes or
# explodes; a product of fifty factors $I + J_f$ always contains the path on which nobody did anything.

# %% [markdown]
# ![Two blocks side by side; the stream runs upwards, a branch passes through the sub-layer and is added; with post-LN
# the norm sits on the stream, with pre-LN on the branch](diagrams/residual.svg)

# %% [markdown]
# ## Where does the norm go?
#
# The stream grows with everything that is added, so it has to be normalised somewhere. There are two places, and the
# choice has consequences:
#
# | | formula | on the stream | found in |
# |---|---|---|---|
# | **post-LN** | $y = N(x + f(x))$ | is normalised after every addition | Vaswani et al., BERT |
# | **pre-LN** | $y = x + f(N(x))$ | is never touched, it only gets additions | GPT-2, Llama, most models since |
#
# In **pre-LN** the sub-layer sees a normalised *copy*, and the stream goes straight on: the term $\partial L / \partial
# y$ above survives through all layers. In **post-LN** the norm sits on the stream itself, and every gradient on its way
# back passes through all the norms. Xiong and colleagues showed what that means at the beginning of training: with
# post-LN the last layers get gradients that are as large in a deep model as in a shallow one, with pre-LN they shrink
# with the depth like $1/\sqrt L$. That is why the original transformer fell apart without a *warm-up* (page 9), and why
# models with pre-LN get along with little of it. The price: in pre-LN the stream itself is never normalised, so the
# last layer must be followed by one more norm ([next page](encoder.ipynb)).
#
# Three formulas look similar and are something else: $N(x) + f(N(x))$ replaces the stream by the copy, $x + N(f(x))$
# normalises the correction only, and $f(N(x))$ has lost the stream altogether.
#
# ## Dropout
#
# During training each number that a sub-layer *writes* is dropped with probability $p$, before the addition:
# $x + \mathrm{dropout}(f(N(x)))$. Never the sum: that would punch holes into the stream, into everything that earlier
# layers have written.
#
# ### An example to check by hand
#
# $D = 2$, one token $x = (1, 3)$, $N$ a layer norm without parameters and with $\varepsilon = 0$ (so that $N(1, 3) =
# (-1, 1)$), and the sub-layer $f(z) = 2z$:
#
# - pre-LN: $x + 2 N(x) = (1, 3) + (-2, 2) = (-1, 5)$
# - post-LN: $N(x + 2x) = N(3, 9) = (-1, 1)$
#
# If $f$ writes nothing, $f(z) = 0$: pre-LN gives $x$, the whole block is the identity; post-LN gives $N(x)$.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder.given import FeedForward, LayerNorm


# %% [markdown]
# ## Exercise `residual_norm_wrappers`: pre-LN and post-LN (10 points)
#
# One wrapper for both, around any sub-layer and any norm. The constructor is given.
#
# Sub-layers take more than $x$: attention wants its mask. Whatever else the caller passes by keyword is for the
# sub-layer, and the wrapper hands it on without knowing what it is.

# %%
class Residual(nn.Module):
    """A sub-layer with its norm and its residual connection: x + f(N(x)) or N(x + f(x)).

    Args:
        sublayer: f, a module that maps (..., D) to a tensor of the same shape; it may take keyword arguments.
        norm: N, a module that maps (..., D) to a tensor of the same shape. It takes no other arguments.
        norm_first: True for pre-LN, x + f(N(x)); False for post-LN, N(x + f(x)).
        dropout: probability with which each number of the sub-layer's result is dropped in train mode, before the
            addition; 0 ≤ dropout < 1.

    The wrapper has no parameters of its own; those of sublayer and norm are its parameters. Both are used as they are,
    not copied.
    """

    def __init__(self, sublayer: nn.Module, norm: nn.Module, norm_first: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.sublayer = sublayer
        self.norm = norm
        self.norm_first = norm_first
        self.dropout = dropout  # a number: what to do with it, and when, is up to forward

    def forward(self, x: Tensor, **kwargs: object) -> Tensor:
        """Apply the sub-layer, add, normalise; each of the two modules is called once.

        Args:
            x: (..., D), with any number of axes in front, in the dtype of the parameters.
            kwargs: handed on to the sub-layer, all of them, with their names and values; not to the norm.

        Returns:
            (..., D), same dtype. In train mode each number that the sub-layer returned is set to 0 with probability
            `dropout`, independently of all others (of the same token too), by torch's default generator, and the others
            are divided by 1 − dropout; nothing else is dropped, neither the stream nor what the sub-layer reads. In
            eval mode, or with dropout=0, nothing is drawn. Differentiable in x and in all parameters; no argument is
            changed.

        >>> x, double = torch.tensor([[1.0, 3.0]]), nn.Linear(2, 2, bias=False)
        >>> _ = nn.init.eye_(double.weight.data).mul_(2)
        >>> norm = nn.LayerNorm(2, eps=0.0)
        >>> Residual(double, norm, norm_first=True)(x).tolist()
        [[-1.0, 5.0]]
        >>> Residual(double, norm, norm_first=False)(x).tolist()
        [[-1.0, 1.0]]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# Stacks of feed-forward blocks with random weights, each of which writes as much into the stream as it reads, built
# with your wrapper: how large is the gradient of the weights, per layer? Pre-LN stacks have the final norm that they
# need.
#
# Left, 24 layers. With post-LN all of them get gradients of about the same size. With pre-LN the stream grows on its
# way, and what the later layers write counts less and less against what is there: the first layers get four times as
# much as the last. Right, the last layer of stacks of growing depth: post-LN does not care, pre-LN falls along the
# dotted line, $1/\sqrt{L + 1}$.
#
# Next: attention, feed-forward network, two norms and two of your wrappers. [The encoder](encoder.ipynb).

# %%
DEPTHS = (2, 4, 8, 16, 32)


def _gradients(norm_first: bool, depth: int, seed: int, width: int = 32) -> list[float]:
    """The gradient norm of fc2.weight in each of `depth` blocks, for a random loss."""
    generator = torch.Generator().manual_seed(seed)
    networks, blocks = [], []
    for _ in range(depth):
        network = FeedForward(width, 4 * width)
        nn.init.normal_(network.fc1.weight, std=(2 / width) ** 0.5, generator=generator)
        nn.init.normal_(network.fc2.weight, std=(4 * width) ** -0.5, generator=generator)
        nn.init.zeros_(network.fc1.bias)
        nn.init.zeros_(network.fc2.bias)
        networks.append(network)
        blocks.append(Residual(network, LayerNorm(width), norm_first))
    stack = nn.Sequential(*blocks, *([LayerNorm(width)] if norm_first else []))
    x, direction = torch.randn(2, 64, width, generator=generator)
    loss = (stack(x) * direction).sum(-1).mean()
    gradients = torch.autograd.grad(loss, [network.fc2.weight for network in networks])
    return [gradient.norm().item() for gradient in gradients]


def figure_data(name: str) -> np.ndarray:
    """Gradient norms with post-LN (row 0) and pre-LN (row 1), means of three random stacks.

    "layers": (2, 24), in each layer of a stack of 24. "depths": (2, 5), in the last layer of stacks of DEPTHS.
    """
    rows = []
    for norm_first in (False, True):
        if name == "layers":
            rows.append(np.mean([_gradients(norm_first, 24, seed) for seed in range(3)], axis=0))
        else:
            rows.append([np.mean([_gradients(norm_first, L, seed)[-1] for seed in range(3)]) for L in DEPTHS])
    return np.array(rows)


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    for norms, name in zip(figure_data("layers"), ("post-LN", "pre-LN"), strict=True):
        axes[0].plot(range(1, 25), norms, marker="o", label=name)
    axes[0].set_xlabel("layer (of 24)")
    for norms, name in zip(figure_data("depths"), ("post-LN", "pre-LN"), strict=True):
        axes[1].loglog(DEPTHS, norms, marker="o", label=name, base=2)
    line = norms[0] * (3 / (np.array(DEPTHS) + 1)) ** 0.5
    axes[1].loglog(DEPTHS, line, ":", color="grey", label="in proportion to 1/√(L + 1)", base=2)
    axes[1].set_xlabel("number of layers L")
    axes[1].set_title("the last layer", fontsize=10)
    for ax in axes:
        ax.set_ylabel("norm of the weights' gradient")
        ax.legend()
    axes[0].set_ylim(bottom=0)
    axes[1].set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes[1].set_xticks(DEPTHS, DEPTHS)
    fig.savefig("norm_gradients.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - He et al. 2015, [Deep residual learning](https://arxiv.org/abs/1512.03385); Xiong et al. 2020, [On layer
#   normalization in the transformer](https://arxiv.org/abs/2002.04745).
