# %% [markdown]
# # The feed-forward network
#
# *Unit 5, page 2 of 9, about an hour. Before: [layer normalisation](layer_norm.ipynb). Next: [the residual
# stream](residual.ipynb). Papers: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.3; [Hendrycks and
# Gimpel 2016, Gaussian Error Linear Units](https://arxiv.org/abs/1606.08415); [Shazeer 2020, GLU Variants Improve
# Transformer](https://arxiv.org/abs/2002.05202); [Geva et al. 2021, Transformer Feed-Forward Layers Are Key-Value
# Memories](https://arxiv.org/abs/2012.14913).*
#
# Attention moves information between tokens, but hardly computes anything with it: given the weights, its output is a
# *linear* mix of the values. The thinking happens in the other half of every block, a small network with one hidden
# layer that reads one token, works on it, and writes one token. It is the network of
# [unit 0](../unit0_prerequisites/networks.ipynb), applied to every token by itself, with the same weights everywhere:
#
# $$h = \phi(W_1 x + b_1) \qquad \mathrm{FFN}(x) = W_2\, h + b_2$$
#
# | tensor | shape | |
# |---|---|---|
# | $x$, the result | (..., D) | any number of axes in front; every token by itself |
# | $W_1$, $b_1$ | (F, D), (F) | `fc1`; $F$ = `d_ff`, by tradition $4D$, but any number will do |
# | $h$ | (..., F) | the hidden numbers, after the activation $\phi$ |
# | $W_2$, $b_2$ | (D, F), (D) | `fc2` |
#
# - **Position-wise.** Token 3 does not know that there is a token 2. Shuffle the tokens, and the results are shuffled.
#   All communication is attention's business; if you ever find yourself transposing tokens and features here, something
#   is wrong.
# - **The bulk of the weights.** With $F = 4D$ there are $8D^2$ numbers in the two matrices, against $4D^2$ in the four
#   projections of attention. Two thirds of a block are feed-forward.
# - **A memory.** Row $k$ of $W_1$ is a *pattern*: $h_k$ says how well it fits the token. Column $k$ of $W_2$ is what is
#   written when it does. Geva and colleagues looked into a trained model and found patterns such as "the text ends in
#   *substitutes*" or "this is about a TV series", with columns that raise the words likely to come next.

# %% [markdown]
# ![Three tokens pass through the same two layers, each by itself: two numbers become eight, the activation sets some of
# them to zero, and they become two again](diagrams/feed_forward.svg)

# %% [markdown]
# ## Which bend?
#
# | `activation` | $\phi(a)$ | used by |
# |---|---|---|
# | `"relu"` | $\max(a, 0)$ | Vaswani et al., T5's first version |
# | `"gelu"` | $a\,\Phi(a) = \frac a2\left(1 + \mathrm{erf}(a/\sqrt2)\right)$ | BERT, ViT |
# | `"gelu_tanh"` | $\frac a2\left(1 + \tanh\left(\sqrt{2/\pi}\,(a + 0.044715\, a^3)\right)\right)$ | GPT-2 |
#
# $\Phi$ is the distribution function of the standard normal distribution. GELU looks like a relu with a round corner:
# where relu multiplies by 0 or 1, GELU multiplies by the probability that a normal number is smaller than $a$. The
# third line is an approximation of the second, for machines on which $\mathrm{erf}$ is slow. The two are at most 0.0005
# apart. But they are two functions, and a model has to be run with the one that it was trained with.
#
# ### An example to check by hand
#
# $D = 2$, $F = 3$, $\phi$ = relu, and one token:
#
# $$x = \begin{pmatrix} 1 \\ -2 \end{pmatrix} \quad W_1 = \begin{pmatrix} 1 & 0 \\ 0 & 1 \\ 1 & 1 \end{pmatrix} \quad
# b_1 = \begin{pmatrix} 0 \\ 1 \\ 4 \end{pmatrix} \quad W_2 = \begin{pmatrix} 1 & 2 & 3 \\ 4 & 5 & 6 \end{pmatrix} \quad
# b_2 = \begin{pmatrix} 0 \\ -10 \end{pmatrix}$$
#
# $W_1 x + b_1 = (1, -1, 3)$, so $h = (1, 0, 3)$: the second pattern does not fit. $W_2 h = (10, 22)$, and with $b_2$
# the result is $(10, 12)$.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


# %% [markdown]
# ## Exercise `feed_forward`: the position-wise network (8 points)
#
# The constructor is given. `F.gelu` has an option for the approximation.

# %%
class FeedForward(nn.Module):
    """fc2(dropout(activation(fc1(x)))), for every token by itself.

    Args:
        d_model: D, the width of input and output.
        d_ff: F, the number of hidden numbers; any positive number.
        activation: "relu", "gelu" (the exact one, with erf) or "gelu_tanh" (the approximation with tanh). Anything else
            is a ValueError.
        dropout: probability with which each hidden number is dropped in train mode, after the activation;
            0 ≤ dropout < 1.

    Parameters, as named in the state dict, (out, in): fc1.weight (F, D), fc1.bias (F,), fc2.weight (D, F), fc2.bias
    (D,). Weights are loaded into your module under these names; a module with another structure inside has a method
    `load_reference(self, state_dict)` that copies such a dict into it, as often as it is called, and replaces all
    weights that were there.
    """

    def __init__(self, d_model: int, d_ff: int, activation: str = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        if activation not in ("relu", "gelu", "gelu_tanh"):
            raise ValueError(f'activation {activation!r}: expected "relu", "gelu" or "gelu_tanh"')
        self.activation = activation
        self.dropout = dropout  # a number: what to do with it, and when, is up to forward
        self.fc1 = nn.Linear(d_model, d_ff)
        self.fc2 = nn.Linear(d_ff, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each vector of the last axis by itself.

        Args:
            x: (..., d_model), with any number of axes in front, none included, in the dtype of the parameters; of any
                memory layout.

        Returns:
            (..., d_model), same dtype. In train mode each number that the activation returns is set to 0 with
            probability `dropout`, independently of all others (of the same token too), by torch's default generator,
            and the others are divided by 1 − dropout; in eval mode, or with dropout=0, nothing is drawn. Differentiable
            in x and all parameters; x is not changed.

        `F.relu` and `F.gelu` may be used; the ready-made FeedForward of autograder.given may not.

        >>> ffn = FeedForward(2, 3)
        >>> ffn.load_state_dict({
        ...     "fc1.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        ...     "fc1.bias": torch.tensor([0.0, 1.0, 4.0]),
        ...     "fc2.weight": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        ...     "fc2.bias": torch.tensor([0.0, -10.0]),
        ... })
        <All keys matched successfully>
        >>> ffn(torch.tensor([[1.0, -2.0]])).tolist()
        [[10.0, 12.0]]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## A gate instead of a bend
#
# A relu unit decides about itself: the same number says whether to pass, and what. Split the two jobs. One matrix makes
# the *content*, another one a *gate* that says how much of it passes, and the two are multiplied number by number:
#
# $$\mathrm{SwiGLU}(x) = W_2 \left( \mathrm{silu}(W_1 x) \odot W_3 x \right) \qquad
# \mathrm{silu}(a) = a\,\sigma(a) = \frac{a}{1 + e^{-a}}$$
#
# $W_1$ belongs to the gate, $W_3$ to the content, both (F, D), and $W_2$ is (D, F); there are no biases. PaLM, Llama,
# Mistral and many models since use it. Silu, also called swish, is a close relative of GELU. Other gates make other
# networks of the same shapes: $\sigma(W_1 x)$ is the original GLU, $\mathrm{GELU}(W_1 x)$ is GEGLU, as in T5's version
# 1.1.
#
# - **Who is the gate?** $W_1$ and $W_3$ have the same shape, and the formula is not symmetric: only the first passes
#   through silu. Libraries disagree about the names (Llama's code calls them w1 and w3, Hugging Face `gate_proj` and
#   `up_proj`), so look twice when you load somebody's weights. $W_2$ is `down_proj`.
# - **Three matrices instead of two.** To spend as many weights as an ordinary network with $4D$, take $F = \frac83 D$:
#   $3 \cdot \frac83 D^2 = 8D^2$. That is where the odd widths of these models come from.
# - A gate of 0 closes: where $W_1 x = 0$ nothing passes, whatever the content.
#
# By hand: $D = F = 2$, $x = (\ln 3, -\ln 3)$, $W_1$ the unit matrix, $W_3$ the exchange $\begin{pmatrix} 0 & 1 \\ 1 & 0
# \end{pmatrix}$, $W_2 = \begin{pmatrix} 1 & 1 \\ 0 & 2 \end{pmatrix}$. Since $\sigma(\ln 3) = \frac34$ and
# $\sigma(-\ln 3) = \frac14$, the gate is $(\frac34 \ln 3, -\frac14 \ln 3)$; the content is $(-\ln 3, \ln 3)$. Their
# product is $(-\frac34, -\frac14) \cdot (\ln 3)^2$, and the result $(-1, -\frac12) \cdot (\ln 3)^2 \approx (-1.207,
# -0.603)$. With gate and content exchanged it would be $(-1, -\frac32) \cdot (\ln 3)^2$.

# %% [markdown]
# ## Exercise `swiglu`: SwiGLU (8 points)
#
# The constructor is given.

# %%
class SwiGLU(nn.Module):
    """w2(silu(w1(x)) · w3(x)), for every token by itself.

    Args:
        d_model: D, the width of input and output.
        d_ff: F, the number of gates; any positive number.

    Parameters, as named in the state dict, (out, in): w1.weight (F, D), the gate; w3.weight (F, D), the content;
    w2.weight (D, F). There are no biases. Weights are loaded into your module under these names; a module with another
    structure inside has a method `load_reference(self, state_dict)`, which replaces all weights, as often as it is
    called.

    The ready-made SwiGLU of autograder.given may not be used.
    """

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(d_model, d_ff, bias=False)
        self.w2 = nn.Linear(d_ff, d_model, bias=False)
        self.w3 = nn.Linear(d_model, d_ff, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each vector of the last axis by itself.

        Args:
            x: (..., d_model), with any number of axes in front, none included, in the dtype of the parameters (float16
                is an ordinary case); of any memory layout.

        Returns:
            (..., d_model), same dtype. silu(a) = a / (1 + exp(−a)). Differentiable in x and all parameters, with
            gradients that are right (and finite) wherever the result is, for a very negative gate too; x is not
            changed.

        >>> ffn = SwiGLU(2, 2)
        >>> ffn.load_state_dict({
        ...     "w1.weight": torch.eye(2),
        ...     "w2.weight": torch.tensor([[1.0, 1.0], [0.0, 2.0]]),
        ...     "w3.weight": torch.tensor([[0.0, 1.0], [1.0, 0.0]]),
        ... })
        <All keys matched successfully>
        >>> out = ffn(torch.tensor([[3.0, 1 / 3]]).log())  # ln 3 and −ln 3
        >>> [round(value, 3) for value in out[0].tolist()]
        [-1.207, -0.603]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# With $D = F = 1$, weights 1 and biases 0, your networks *are* their activations. Left: relu with its corner, GELU that
# rounds it off and dips below 0 on the way, and a SwiGLU whose gate and content are the same number: it bends upwards
# like a parabola, since it multiplies. Right: what separates the two GELUs, magnified ten thousand times.
#
# Next: how the two halves of a block are put together, and why thirty of them can be stacked. [The residual
# stream](residual.ipynb).

# %%
GRID = torch.linspace(-4, 4, 161, dtype=torch.float64)


def figure_data(name: str = "relu") -> np.ndarray:
    """(161,): relu, gelu or gelu_tanh, or "SwiGLU" with gate and content equal, at the points of GRID."""
    one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    state = {"fc1.weight": one, "fc1.bias": zero, "fc2.weight": one, "fc2.bias": zero}
    if name == "SwiGLU":
        state = {"w1.weight": one, "w2.weight": one, "w3.weight": one}
    network = (SwiGLU(1, 1) if name == "SwiGLU" else FeedForward(1, 1, activation=name)).double()
    getattr(network, "load_reference", network.load_state_dict)(state)  # whatever your structure inside
    with torch.no_grad():
        return network(GRID[:, None])[:, 0].numpy()


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    curves = {name: figure_data(name) for name in ("relu", "gelu", "gelu_tanh", "SwiGLU")}
    fig, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    labels = ["relu", "GELU", "GELU with tanh", "SwiGLU, gate = content"]
    for curve, label, style in zip(curves.values(), labels, ["-", "-", ":", "-"], strict=True):
        axes[0].plot(GRID, curve, style, label=label, linewidth=2)
    axes[0].set_ylim(-0.6, 4)
    axes[0].legend()
    axes[1].plot(GRID, 1e4 * (curves["gelu_tanh"] - curves["gelu"]))
    axes[1].set_ylabel("GELU with tanh minus GELU, times 10 000")
    for ax in axes:
        ax.axhline(0, color="grey", linewidth=0.6)
        ax.set_xlabel("input")
    fig.savefig("activations.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Geva et al. 2020, [Feed-forward layers are key-value memories](https://arxiv.org/abs/2012.14913); Shazeer 2020,
#   [GLU variants](https://arxiv.org/abs/2002.05202).
# - 3Blue1Brown, [How might LLMs store facts](https://www.3blue1brown.com/lessons/mlp), a visual lecture.
