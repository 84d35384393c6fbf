# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The decoder layer
#
# *Unit 5, page 6 of 9, about 45 minutes. Before: [cross-attention](cross_attention.ipynb). Next: [the whole
# transformer](transformer.ipynb). Papers: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), sections 3.1 and
# 3.2.3; [Xiong et al. 2020, On Layer Normalization in the Transformer
# Architecture](https://arxiv.org/abs/2002.04745) for pre-LN; [Radford et al.
# 2018](https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf) for the decoder
# that lost its encoder.*
#
# The encoder reads. It sees the whole source at once, and every token may look at every other. The decoder **writes**,
# one symbol after the other, and its layer differs from the encoder's in two respects:
#
# 1. Its self-attention is **causal**. Output $t$ is going to be the prediction of symbol $t+1$, so nothing from symbol
#    $t+1$ on may have a way into it. In training all the right symbols lie in one tensor, and only the mask stands
#    between the model and the answers.
# 2. Between self-attention and feed-forward network it has a third sub-layer, **cross-attention**: the queries come
#    from the decoder, and keys and values from the encoder's output, the *memory*. It is the only place where the
#    source gets in.
#
# ![One decoder layer from bottom to top: self-attention with the target mask, cross-attention with the memory and its
# mask, and the feed-forward network, each with a norm, each adding to the residual stream](diagrams/decoder.svg)
#
# ## Three sub-layers, three norms
#
# Let $x$ (B, T, D) be what the layer is given, $m$ (B, S, D) the memory, $\mathrm{SA}$ the masked self-attention,
# $\mathrm{CA}(y, m)$ the cross-attention from $y$ to $m$, and $\mathrm{FF}$ the feed-forward network. Each of the three
# sits on the residual stream in the way you know from [the encoder layer](encoder.ipynb), with a norm of its own:
#
# | | post-LN (`norm_first=False`), Vaswani et al. | pre-LN (`norm_first=True`), nearly everybody since |
# |---|---|---|
# | 1 | $x \leftarrow \mathrm{N}_1(x + \mathrm{SA}(x))$ | $x \leftarrow x + \mathrm{SA}(\mathrm{N}_1(x))$ |
# | 2 | $x \leftarrow \mathrm{N}_2(x + \mathrm{CA}(x, m))$ | $x \leftarrow x + \mathrm{CA}(\mathrm{N}_2(x), m)$ |
# | 3 | $x \leftarrow \mathrm{N}_3(x + \mathrm{FF}(x))$ | $x \leftarrow x + \mathrm{FF}(\mathrm{N}_3(x))$ |
#
# Look at the second row. The memory has no norm in either column. It comes from the encoder, which has normalised it
# already (a pre-LN encoder ends with a norm for this very purpose); $\mathrm{N}_2$ is for the queries. A layer that
# sends the memory through $\mathrm{N}_2$ as well has the right shapes and trains, and no published weights fit it.
#
# The order matters, too. First the decoder makes up its mind about what it has written, and then it asks the source.
#
# ## Who may look where
#
# Two different masks arrive, and they belong to two different attentions:
#
# | mask | shape | says | for |
# |---|---|---|---|
# | `tgt_mask` | broadcasts to (B, H, T, T) | which symbols output $t$ may see: not the later ones | self-attention |
# | `memory_mask` | broadcasts to (B, H, T, S) | which source positions are no padding | cross-attention |
#
# If $T = S$, as in every careless test, the wrong mask fits in the wrong place, and nothing complains. (Cross-attention
# is not causal. The whole source is there before the first symbol is written; a triangle on the memory would let output
# $t$ read $t+1$ words of the source only.)
#
# ### An example to check by hand
#
# Two numbers, $x = (3, 1)$, a single token; a memory of a single token, $m = (5, -2)$. Let self-attention and
# feed-forward network give 0, and let the cross-attention hand over its values unchanged. With one memory token the
# softmax has no choice, so cross-attention gives $m$ whatever is asked. A layer norm of two numbers $a > b$ (with
# weight 1, bias 0, and but for eps) is $(1, -1)$.
#
# - **Pre-LN:** $x + 0 = (3, 1)$, then $+\, m$ is $(8, -1)$, then $+\, 0$. The result is $(8, -1)$. (Had the memory been
#   normed, it would be $(4, 0)$.)
# - **Post-LN:** $\mathrm{N}_1(3, 1) = (1, -1)$, then $\mathrm{N}_2((1, -1) + (5, -2)) = \mathrm{N}_2(6, -3) = (1, -1)$,
#   and $\mathrm{N}_3(1, -1) = (1, -1)$.
#
# And the masks, with a second memory token $m' = (1, 2)$ and keys that are all alike: the weights are $\frac12,
# \frac12$ and cross-attention gives $(3, 0)$. If `memory_mask` is (True, False), it gives $(5, -2)$ as before.

# %%
import math

import torch
from torch import Tensor, nn

from autograder.given import FeedForward, LayerNorm, MultiHeadAttention

# %% [markdown]
# ## Exercise `decoder_layer`: the decoder layer (14 points)
#
# The parts come from the kit: `MultiHeadAttention` is called as `mha(query, key, value, mask=mask)`, where key defaults
# to query and value to key; `FeedForward` and `LayerNorm` take a tensor. (A way to call all three sub-layers alike
# keeps `forward` short: you wrote such a wrapper on [the page about residuals](residual.ipynb).)


# %% exercise="decoder_layer"
class DecoderLayer(nn.Module):
    """One layer of a decoder: masked self-attention, cross-attention to the memory, feed-forward network.

    Args:
        d_model: D, the width of everything.
        n_heads: H, number of heads of both attentions; a divisor of d_model.
        d_ff: hidden width of the feed-forward network.
        dropout: in train mode each number that a sub-layer returns is dropped with this probability, 0 ≤ dropout < 1,
            independently of all others (of the same token too), before it is added to the residual stream (and the
            others divided by 1 - dropout). Nothing else is dropped, neither the stream nor its normalised copy. In eval
            mode, or with 0, nothing is dropped, and nothing is drawn at random.
        norm_first: True is pre-LN, False post-LN.
        activation: of the feed-forward network: "relu", "gelu" or "gelu_tanh".

    Parameters, as named in the state dict: self_attn.* and cross_attn.* with q_proj, k_proj, v_proj, out_proj (weight
    (D, D), bias (D,) each), ffn.fc1 and ffn.fc2, norm1, norm2 and norm3 (weight and bias (D,) each), which belong to
    self-attention, cross-attention and feed-forward network in this order. Weights are loaded into your module under
    these names. Should you prefer another structure inside, add a method `load_reference(self, state_dict)` that copies
    such a dict into yours, as often as it is called, and replaces all weights that were there.
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
        self.norm_first = norm_first
        self.self_attn = MultiHeadAttention(d_model, n_heads)
        self.cross_attn = MultiHeadAttention(d_model, n_heads)
        self.ffn = FeedForward(d_model, d_ff, activation)
        self.norm1 = LayerNorm(d_model)
        self.norm2 = LayerNorm(d_model)
        self.norm3 = LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """Write one layer further.

        Args:
            x: (B, T, D), the symbols written so far, in the dtype of the parameters. T = 1 and B = 1 are ordinary
                cases.
            memory: (B, S, D), what the encoder made of the source. S and T may differ. It is used as it comes.
            tgt_mask: bool, True = may attend, of any shape that broadcasts to (B, H, T, T): (T, T) or (B, 1, T, T).
                For the self-attention. None: every token of x sees every other; the layer adds no mask of its own.
            memory_mask: bool, True = may attend, of any shape that broadcasts to (B, H, T, S), such as (B, 1, 1, S).
                For the cross-attention. None: the whole memory is seen.

        Returns:
            (B, T, D). With f one of the three sub-layers, in the order self-attention, cross-attention, feed-forward
            network, and norm the one that belongs to it, three times
                norm_first=True:   x = x + dropout(f(norm(x)))
                norm_first=False:  x = norm(x + dropout(f(x))).

        Where a row of a mask is empty, or all of it, the attention gives its output bias (that is what
        MultiHeadAttention does), and gradients stay finite. The result is differentiable in x, memory and all
        parameters; no argument is changed.

        `nn.TransformerDecoderLayer` and the kit's own `DecoderLayer` may not be used.

        >>> layer = DecoderLayer(2, 1, 3, norm_first=True)
        >>> for parameter in (*layer.self_attn.parameters(), *layer.cross_attn.parameters(), *layer.ffn.parameters()):
        ...     _ = nn.init.zeros_(parameter)
        >>> for projection in (layer.cross_attn.v_proj, layer.cross_attn.out_proj):  # hands over values as they are
        ...     _ = nn.init.eye_(projection.weight)
        >>> layer(torch.tensor([[[3.0, 1.0]]]), torch.tensor([[[5.0, -2.0]]])).tolist()
        [[[8.0, -1.0]]]
        >>> memory, mask = torch.tensor([[[5.0, -2.0], [1.0, 2.0]]]), torch.tensor([True, False])
        >>> layer(torch.tensor([[[3.0, 1.0]]]), memory, memory_mask=mask).tolist()
        [[[8.0, -1.0]]]
        """
        ### BEGIN SOLUTION
        sublayers = (
            (self.norm1, lambda y: self.self_attn(y, mask=tgt_mask)),
            (self.norm2, lambda y: self.cross_attn(y, memory, mask=memory_mask)),
            (self.norm3, self.ffn),
        )
        for norm, sublayer in sublayers:
            x = x + self.dropout(sublayer(norm(x))) if self.norm_first else norm(x + self.dropout(sublayer(x)))
        return x
        ### END SOLUTION


# %% [markdown]
# ## The picture
#
# Who hears whom? Take a layer with random weights, change one token a little, and see how much each output moves: the
# norm of the derivative of output $t$ by token $s$. Left, the tokens of the target: nothing above the diagonal, for
# that would be the future. The diagonal is bright because the residual stream carries each token straight through.
# Right, the memory: every output hears all of the source, but not the two positions of padding.
#
# Do this for *your own* models once in a while. A shape error announces itself. A leak lowers the loss, and everybody
# is pleased until the model has to write something.
#
# Without cross-attention, and the memory with it, the layer is what GPT is made of: a stack of causal self-attention
# and feed-forward networks. (Which is an encoder layer with a causal mask.) Next: embeddings below, a linear map
# above, and an encoder beside it make [the whole transformer](transformer.ipynb).


# %%
def figure_data() -> tuple[Tensor, Tensor]:
    """(7, 7) and (7, 9): how strongly output t depends on target token s, and on memory token s (2 pads last)."""
    T, S, D = 7, 9, 16
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = DecoderLayer(D, 4, 32, norm_first=True)
        x, memory = torch.randn(1, T, D), torch.randn(1, S, D)
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    real = torch.arange(S) < S - 2

    def one(x: Tensor, memory: Tensor) -> Tensor:
        return layer(x[None], memory[None], tgt_mask=causal, memory_mask=real)[0]

    by_target, by_memory = torch.autograd.functional.jacobian(one, (x[0], memory[0]))  # (T, D, T, D), (T, D, S, D)
    return by_target.square().sum(dim=(1, 3)).sqrt(), by_memory.square().sum(dim=(1, 3)).sqrt()


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    by_target, by_memory = figure_data()
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", width_ratios=(7, 9))
    for ax, data, name in zip(axes, (by_target, by_memory), ("target token", "memory token"), strict=True):
        shown = data.where(data > 0, math.nan)  # what is exactly 0 stays white
        fig.colorbar(ax.imshow(shown, vmin=0, cmap="viridis"), ax=ax, label="norm of the derivative")
        ax.set_xlabel(f"{name} s")
        ax.set_ylabel("output t")
        ax.set_xticks(range(data.shape[1]))
    axes[0].set_title("self-attention: the past, and itself")
    axes[1].set_title("cross-attention: all but padding (7 and 8)")
    fig.savefig("who_hears_whom.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Harvard NLP, [The annotated transformer](https://nlp.seas.harvard.edu/annotated-transformer/), the decoder.
# - Stanford [CS224N](https://web.stanford.edu/class/cs224n/), the lecture on transformers.
