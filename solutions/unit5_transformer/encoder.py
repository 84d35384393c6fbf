# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The encoder
#
# *Unit 5, page 4 of 9, about an hour and a half. Before: [the residual stream](residual.ipynb). Next:
# [cross-attention](cross_attention.ipynb). Papers: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section
# 3.1; [Xiong et al. 2020](https://arxiv.org/abs/2002.04745), figure 1, for the two places of the norm; [Devlin et al.
# 2018, BERT](https://arxiv.org/abs/1810.04805), which is nothing but an encoder.*
#
# All the parts are there. An **encoder layer** is attention, then a feed-forward network, each with a norm and a
# residual connection; an **encoder** is a stack of such layers. It turns a sequence of $S$ vectors into a sequence of
# $S$ vectors, of the same width, in which every token has read all the others. BERT is this and an embedding, ViT is
# this on patches of an image, and the left half of the original transformer is this too.
#
# | | post-LN (`norm_first=False`) | pre-LN (`norm_first=True`) |
# |---|---|---|
# | attention | $x \leftarrow N_1(x + \mathrm{MHA}(x))$ | $x \leftarrow x + \mathrm{MHA}(N_1(x))$ |
# | feed-forward | $x \leftarrow N_2(x + \mathrm{FFN}(x))$ | $x \leftarrow x + \mathrm{FFN}(N_2(x))$ |
#
# - **Two norms, four vectors.** $N_1$ and $N_2$ are two modules with parameters of their own: $N_1$ belongs to
#   attention, $N_2$ to the feed-forward network, in both variants.
# - **The mask goes to attention**, and only there: nothing else looks at other tokens.
# - **Padding.** In a batch of sentences of different lengths, the short ones are filled up. Attention must not read the
#   filler: a mask of shape (B, 1, 1, S) with `True` at the real tokens hides it from everyone (see
#   [unit 2](../unit2_self_attention/scaled_dot_product.ipynb) for masks). The padding tokens themselves are still
#   computed, as queries, and nobody cares what comes out; in a loss they must not count.
# - **What a layer costs.** With $F = 4D$ there are $4D^2 + 4D$ parameters in attention, $8D^2 + 5D$ in the feed-forward
#   network and $4D$ in the norms, in all $12D^2 + 13D$. For BERT's $D = 768$ that is 7 087 872 for each of its 12
#   layers.
# - **Without positions** all of this is permutation equivariant ([unit
#   2](../unit2_self_attention/self_attention.ipynb)): what knows the order is the input.

# %% [markdown]
# ![Left, a layer: two branches, norm1 with self-attention and norm2 with the feed-forward network, write into the
# stream of shape (B, S, D); right, three layers, each with the mask, and a final norm](diagrams/encoder.svg)

# %% [markdown]
# ### An example to check by hand
#
# $D = 2$, one head, two tokens $x_0 = (0, 2)$ and $x_1 = (4, 2)$. Let the query and key weights be 0, so that every
# token looks at all it may see in equal parts, value and output weights the unit matrix, and let the feed-forward
# network write 0. The norms have weight 1 and bias 0 ($\varepsilon$ is negligible).
#
# - **post-LN.** Attention writes the mean $(2, 2)$ into both: $(2, 4)$ and $(6, 4)$. The norm makes $(-1, 1)$ and $(1,
#   -1)$ of it, and the second norm changes nothing any more.
# - **post-LN, with token 1 masked as padding.** Both see token 0 only: $x_0$ becomes $(0, 4)$, normalised $(-1, 1)$,
#   and $x_1$ becomes $(4, 4)$, normalised $(0, 0)$.
# - **pre-LN.** Attention reads $N(x_0) = (-1, 1)$ and $N(x_1) = (1, -1)$, whose mean is 0: nothing is written, and the
#   result is $x$ itself.

# %%
import numpy as np
import torch
from torch import Tensor, nn

from autograder import given
from autograder.given import FeedForward, LayerNorm, MultiHeadAttention

# %% [markdown]
# ## Exercise `encoder_layer`: one layer (14 points)
#
# The parts from earlier pages are imported, in versions that work, so that nothing depends on what you did there:
# `MultiHeadAttention(d_model, n_heads)`, called with `mask=`; `FeedForward(d_model, d_ff, activation)`; and
# `LayerNorm(d_model)` with its $\varepsilon$ of $10^{-5}$. (They have no dropout inside.) Torch's own parts, or yours,
# will do if they keep what the docstring promises; `nn.MultiheadAttention` means the opposite by a mask, and gives NaN
# for a token that may attend to nothing. This time the constructor is yours as well.


# %% exercise="encoder_layer"
class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each with a layer norm and a residual connection.

    Args:
        d_model: D. n_heads: the number of heads, a divisor of D. d_ff: the hidden width of the feed-forward network.
        dropout: probability, 0 ≤ dropout < 1, with which each number that a sub-layer writes is dropped in train mode,
            independently of all others (of the same token too), before the addition; the others are divided by
            1 − dropout. (Dropping attention weights and hidden numbers as well, as torch does, is allowed. Never
            dropped are the stream and its normalised copy, which a sub-layer reads.)
        norm_first: True for pre-LN, False for post-LN.
        activation: "relu", "gelu" or "gelu_tanh", of the feed-forward network.

    Parameters, as named in the state dict, (out, in): self_attn.q_proj.weight (D, D) and .bias (D,), and likewise
    k_proj, v_proj, out_proj; ffn.fc1.weight (F, D) and .bias (F,); ffn.fc2.weight (D, F) and .bias (D,); norm1.weight
    and .bias, norm2.weight and .bias, (D,) each. norm1 belongs to attention, norm2 to the feed-forward network, both
    with eps 1e-5. Weights are loaded into your module under these names; a module with another structure inside has a
    method `load_reference(self, state_dict)` that copies such a dict into it, as often as it is called, and replaces
    all weights that were there.

    `nn.TransformerEncoderLayer`, `nn.TransformerDecoderLayer` and the ready-made EncoderLayer and DecoderLayer of
    autograder.given may not be used.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.norm_first = norm_first
        self.dropout = nn.Dropout(dropout)
        self.self_attn = MultiHeadAttention(d_model, n_heads)
        self.ffn = FeedForward(d_model, d_ff, activation)
        self.norm1 = LayerNorm(d_model)
        self.norm2 = LayerNorm(d_model)
        ### END SOLUTION

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Let the tokens read each other, then work on each of them.

        Args:
            x: (B, S, D), in the dtype of the parameters. B = 1 and S = 1 are ordinary cases.
            mask: bool, True = may attend, of any shape that broadcasts to (B, H, S, S), such as (S, S), or (B, 1, 1, S)
                for padding. None: everything is allowed. To a token that may attend to nothing attention writes the
                bias of out_proj.

        Returns:
            (B, S, D), same dtype. With norm_first: x + MHA(norm1(x)), called y, then y + FFN(norm2(y)). Without: y =
            norm1(x + MHA(x)), then norm2(y + FFN(y)). In eval mode, or with dropout=0, nothing is drawn. Differentiable
            in x and all parameters; no argument is changed.

        >>> def by_hand(norm_first):
        ...     layer = EncoderLayer(2, 1, 3, norm_first=norm_first)
        ...     state = {name: torch.zeros_like(value) for name, value in layer.state_dict().items()}
        ...     for name in ("self_attn.v_proj.weight", "self_attn.out_proj.weight"):
        ...         state[name] = torch.eye(2)
        ...     layer.load_state_dict(state | {"norm1.weight": torch.ones(2), "norm2.weight": torch.ones(2)})
        ...     return layer
        >>> x = torch.tensor([[[0.0, 2.0], [4.0, 2.0]]])
        >>> by_hand(norm_first=False)(x).round(decimals=2)
        tensor([[[-1.,  1.],
                 [ 1., -1.]]], grad_fn=<RoundBackward1>)
        >>> by_hand(norm_first=False)(x, mask=torch.tensor([True, False])).round(decimals=2)
        tensor([[[-1.,  1.],
                 [ 0.,  0.]]], grad_fn=<RoundBackward1>)
        >>> by_hand(norm_first=True)(x).round(decimals=2)
        tensor([[[0., 2.],
                 [4., 2.]]], grad_fn=<RoundBackward1>)
        """
        ### BEGIN SOLUTION
        if self.norm_first:
            x = x + self.dropout(self.self_attn(self.norm1(x), mask=mask))
            return x + self.dropout(self.ffn(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.self_attn(x, mask=mask)))
        return self.norm2(x + self.dropout(self.ffn(x)))
        ### END SOLUTION


# %% [markdown]
# ## A stack of layers
#
# The result of one layer is the input of the next. Four things are easy to get wrong, and none of them raises an error:
#
# - **Every layer has weights of its own.** `[layer] * 6` is one layer, six times. (As an idea that has a name, and
#   works: Universal Transformers, ALBERT. As an accident it is a model with a sixth of its weights.)
# - **A Python list hides them all.** What stands in a plain list is in neither `parameters()` nor the state dict: such
#   an encoder trains nothing. `nn.ModuleList` is a list that a module looks into.
# - **Every layer needs the mask.** If only the first gets it, the second reads the padding, which by then is full of
#   things that the first wrote there.
# - **A pre-LN stack needs a norm at its end.** Nothing ever normalised the stream: after 12 layers it is the sum of 25
#   things. Post-LN ends with a norm anyway. So the final norm is an option, and has a name in the state dict, `norm`.

# %% [markdown]
# ## Exercise `encoder_stack`: the encoder (10 points)
#
# So that a mistake in your layer costs nothing here, build the stack of `given.EncoderLayer`, which takes the same
# arguments as yours and has the same parameters. (Your own is as good, if it is right.)


# %% exercise="encoder_stack"
class Encoder(nn.Module):
    """n_layers encoder layers, one after the other, with or without a layer norm at the end.

    Args:
        n_layers: how many; 0 is an ordinary case.
        d_model, n_heads, d_ff, dropout, norm_first, activation: of every layer, as in EncoderLayer.
        final_norm: whether a layer norm (eps 1e-5) follows the last layer. Nothing decides about it but this argument.

    Parameters, as named in the state dict: those of layer i (from 0) under layers.i., such as
    layers.0.self_attn.q_proj.weight; with final_norm also norm.weight and norm.bias, (D,) each. Each layer has
    parameters of its own. Weights are loaded into your module under these names; a module with another structure inside
    has a method `load_reference(self, state_dict)`, which replaces all weights, as often as it is called.

    `nn.TransformerEncoder` may not be used.
    """

    def __init__(
        self,
        n_layers: int,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: str = "relu",
        final_norm: bool = False,
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.layers = nn.ModuleList(
            given.EncoderLayer(d_model, n_heads, d_ff, dropout, norm_first, activation) for _ in range(n_layers)
        )
        self.norm = LayerNorm(d_model) if final_norm else nn.Identity()
        ### END SOLUTION

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pass x through all layers, each with the same mask, and through the final norm if there is one.

        Args:
            x: (B, S, D), in the dtype of the parameters.
            mask: as in EncoderLayer.

        Returns:
            (B, S, D), same dtype. Without layers that is x, or its norm. Differentiable in x and all parameters; no
            argument is changed.

        >>> x = torch.tensor([[[0.0, 2.0], [4.0, 2.0]]])
        >>> Encoder(0, 2, 1, 3)(x).tolist()
        [[[0.0, 2.0], [4.0, 2.0]]]
        >>> Encoder(0, 2, 1, 3, final_norm=True)(x).round(decimals=2).tolist()
        [[[-1.0, 1.0], [1.0, -1.0]]]
        >>> sum(p.numel() for p in Encoder(12, 768, 12, 4 * 768).parameters())  # BERT's layers
        85054464
        """
        ### BEGIN SOLUTION
        for layer in self.layers:
            x = layer(x, mask=mask)
        return self.norm(x)
        ### END SOLUTION


# %% [markdown]
# ## The picture
#
# Whom does an output depend on? Twelve tokens, of which the last two are padding, and a mask that lets each token see
# only its neighbours at distance 1 (and no padding). The brightness at row $i$, column $j$ is the size of the Jacobian
# $\partial\, \mathrm{out}_i / \partial\, x_j$; white means exactly 0.
#
# One layer is a band. Each further layer widens it by one on either side: the second reads what the first has written
# about *its* neighbours. This is how models with a local window still see far, and how convolutional networks do. The
# padding columns stay empty at all depths, and would not if a single layer had missed the mask. (The rows of the
# padding are left out: nobody reads those results.)
#
# Next: an encoder reads, but something has to write, and look at what was read.
# [Cross-attention](cross_attention.ipynb).

# %%
TOKENS, REAL, LAYERS = 12, 10, (1, 2, 4)


def figure_data() -> np.ndarray:
    """(3, 10, 12): the size of ∂ out_i / ∂ x_j, outputs in rows, for encoders of 1, 2 and 4 layers."""
    place = torch.arange(TOKENS)
    mask = ((place[:, None] - place).abs() <= 1) & (place < REAL)
    pictures = []
    for n_layers in LAYERS:
        generator = torch.Generator().manual_seed(5)
        encoder = Encoder(n_layers, 8, 2, 16, norm_first=True, final_norm=True)
        for parameter in encoder.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5, generator=generator)
        x = torch.randn(TOKENS, 8, generator=generator)
        jacobian = torch.autograd.functional.jacobian(lambda x, f=encoder: f(x[None], mask=mask)[0, :REAL], x)
        pictures.append(jacobian.square().sum(dim=(1, 3)).sqrt())  # (REAL, 8, TOKENS, 8) -> (REAL, TOKENS)
    return torch.stack(pictures).numpy()


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for ax, influence, n_layers in zip(axes, figure_data(), LAYERS, strict=True):
        shown = np.log10(np.where(influence > 0, influence, np.nan))
        picture = ax.imshow(shown, vmin=-3, vmax=1)
        ax.axvline(REAL - 0.5, color="grey", linestyle=":")
        ax.set_title(f"{n_layers} layer{'s' if n_layers > 1 else ''}")
        ax.set_xlabel("input token (dotted: padding begins)")
        ax.set_ylabel("output token")
    fig.colorbar(picture, ax=axes, label="size of the influence, powers of 10")
    fig.savefig("influence.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Jay Alammar, [The illustrated transformer](https://jalammar.github.io/illustrated-transformer/), a visual guide.
# - Lilian Weng, [The transformer family](https://lilianweng.github.io/posts/2023-01-27-the-transformer-family-v2/).
