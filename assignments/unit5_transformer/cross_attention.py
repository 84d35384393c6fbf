# %% [markdown]
# # Cross-attention
#
# *Unit 5, page 5 of 9, about 45 minutes. Before: [the encoder](encoder.ipynb). Next: [the decoder](decoder.ipynb).
# Papers: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.3; [Bahdanau, Cho and Bengio
# 2014](https://arxiv.org/abs/1409.0473), where it all began; [Koehn and Knowles
# 2017](https://arxiv.org/abs/1706.03872), section 3.6, on what attention has to do with word alignment.*
#
# A translation model has read the source sentence: its encoder has made $S$ vectors of it, the **memory**. Now it
# writes, and for every word it has to look at the source again. At the third French word, which English word is due?
# That was the invention of [unit 1](../unit1_attention_fundamentals/intuition.ipynb), and in the transformer it is one
# more layer of the same kind:
#
# $$Q = X W_Q^\top \qquad K = M W_K^\top \qquad V = M W_V^\top \qquad
# \mathrm{out} = \mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{D_h}}\right) V\, W_O^\top + b_O$$
#
# (for each head, as in [unit 3](../unit3_multi_head_attention/multi_head_attention.ipynb)). Two sequences instead of
# one, and everything follows from asking who plays which part:
#
# | | from | shape | its part |
# |---|---|---|---|
# | queries | $X$, the sequence that is being written | (B, T, D) | asks: what do I need now? |
# | keys | $M$, the memory | (B, S, D) | says what there is |
# | values | $M$, the memory | (B, S, D) | is what gets read |
# | weights | | (B, H, T, S) | row $t$: where token $t$ looks in the source |
# | result | | (B, T, D) | one vector per token that is being written |
#
# - **The result has the length of $X$.** If yours has length $S$, the parts are exchanged.
# - **Keys and values come from the same place.** What was found in the memory must be read in the memory. With values
#   from $X$ the model would find the right word and then read its own notes.
# - **There is no causal mask.** The source is complete before the first word is written; token 0 may look at all of it.
#   ("Causal" belongs to the *self*-attention of the decoder, on the next page.)
# - **The mask is the memory's.** What must not be read is the padding of the *source*: a mask (B, S), which belongs to
#   the keys and has to become (B, 1, 1, S). If $T = S$ happens to hold, the same mask can be laid on the queries by
#   mistake, and nothing complains.
# - **The memory is the same for everyone.** All decoder layers read the same one, and so do all steps when the model
#   writes word by word. Keys and values can be computed once and kept.

# %% [markdown]
# ![Queries are made from the sequence being written, keys and values from the memory; they meet in a table of weights
# whose column for the padding is 0](diagrams/cross_attention.svg)

# %% [markdown]
# ### An example to check by hand
#
# $D = 1$, one head, all weights 1, no biases. The memory is $(0, \ln 3)$, and the two tokens that ask are $0$ and $1$.
# The first has the scores $(0, 0)$, looks at both with weight $\frac12$, and gets $\frac12 \ln 3 \approx 0.549$. The
# second has the scores $(0, \ln 3)$, the weights $\frac14$ and $\frac34$, and gets $\frac34 \ln 3 \approx 0.824$. If
# the second memory token is padding, both get 0, the content of the first.

# %%
import numpy as np
import torch
from torch import Tensor, nn

from autograder.given import MultiHeadAttention


# %% [markdown]
# ## Exercise `cross_attention`: asking another sequence (8 points)
#
# `mha` is a `MultiHeadAttention` of `autograder.given`, the layer of unit 3. It can be called as
# `mha(query, key, value, mask=..., need_weights=True)`, which returns the output and the weights; its mask is `True`
# where attention is allowed, and broadcasts to (B, H, Tq, Tk). It has the attributes `n_heads`, `q_proj`, `k_proj`,
# `v_proj` and `out_proj`.

# %%
def cross_attention(
    mha: nn.Module, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Let each token of x look at the memory.

    Args:
        mha: a MultiHeadAttention(d_model, n_heads) of autograder.given, perhaps with d_kv: then the memory has that
            width.
        x: (B, T, d_model), the tokens that ask, in the dtype of mha's parameters.
        memory: (B, S, d_model), or (B, S, d_kv), what is looked at. T and S are independent of each other; B, T and S
            may be 1.
        memory_mask: bool (B, S), True = a real token of the memory, which may be read; False = padding. None: all are
            real.

    Returns:
        (out, weights): out (B, T, d_model) and weights (B, H, T, S), the softmax of each head. Padding has weight
        exactly 0, whatever finite numbers it contains, and adds nothing to out. There is no causal structure: every
        token of x may look at every real token of the memory. Where an example's memory is all padding (that of all
        examples, perhaps) its weights are 0, and out is the bias of out_proj.
        Differentiable in x, memory and mha's parameters. mha (its parameters and its mode) and the other arguments are
        not changed.

    >>> mha = MultiHeadAttention(1, 1, bias=False)
    >>> for parameter in mha.parameters():
    ...     _ = nn.init.ones_(parameter)
    >>> x, memory = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[1.0], [3.0]]]).log()
    >>> out, weights = cross_attention(mha, x, memory)
    >>> [round(value, 3) for value in out[0, :, 0].tolist()]
    [0.549, 0.824]
    >>> [[round(value, 2) for value in row] for row in weights[0, 0].tolist()]
    [[0.5, 0.5], [0.25, 0.75]]
    >>> out, weights = cross_attention(mha, x, memory, torch.tensor([[True, False]]))
    >>> out[0, :, 0].tolist(), weights[0, 0].tolist()
    ([0.0, 0.0], [[1.0, 0.0], [1.0, 0.0]])
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# A toy translator. Each of four ideas has a random vector; an English word is its idea plus the vector "English" and
# some noise, a French word its idea plus "French" and some noise. The layer compares ideas, since its query and key
# weights are multiples of the unit matrix. The French sentence asks, the English one is the memory, filled up with
# padding.
#
# Each row says where a French word looks. "chat" and "noir" cross over, since French puts the adjective behind the
# noun: such a picture is called an *alignment*, and models that were trained on nothing but pairs of sentences come up
# with something like it. (Something *like* it: read Koehn and Knowles before you take it for an explanation.) The
# padding is empty.
#
# Next: the layer that has both, attention to what it has written and to what it has read. [The
# decoder](decoder.ipynb).

# %%
ENGLISH = ["the", "black", "cat", "sleeps", "(padding)", "(padding)"]
FRENCH = ["le", "chat", "noir", "dort"]


def figure_data() -> np.ndarray:
    """(4, 6): the weights of the French words (rows) on the English words and the padding (columns)."""
    generator = torch.Generator().manual_seed(3)
    ideas = nn.functional.normalize(torch.randn(4, 32, generator=generator), dim=-1)
    english, french = 0.5 * nn.functional.normalize(torch.randn(2, 32, generator=generator), dim=-1)

    def words(order: list[int], language: Tensor) -> Tensor:
        return ideas[order] + language + 0.07 * torch.randn(len(order), 32, generator=generator)

    x = words([0, 2, 1, 3], french)[None]
    memory = torch.cat([words([0, 1, 2, 3], english), torch.randn(2, 32, generator=generator)])[None]
    mha = MultiHeadAttention(32, 1, bias=False)
    for name, parameter in mha.named_parameters():
        nn.init.eye_(parameter)
        if name.startswith(("q_proj", "k_proj")):
            parameter.data *= 10**0.5
    with torch.no_grad():
        _, weights = cross_attention(mha, x, memory, torch.tensor([[True] * 4 + [False] * 2]))
    return weights[0, 0].numpy()


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    alignment = figure_data()
    fig, ax = plt.subplots(figsize=(7.4, 4.4), layout="constrained")
    picture = ax.imshow(np.where(alignment > 0, alignment, np.nan), vmin=0.0, vmax=1.0)
    ax.set_xticks(range(6), ENGLISH)
    ax.set_yticks(range(4), FRENCH)
    ax.set_xlabel("memory: what was read")
    ax.set_ylabel("x: what is being written")
    for french, looks in enumerate(alignment):
        for english, share in enumerate(looks):
            if share > 0:
                color = "black" if share > 0.6 else "white"
                ax.text(english, french, f"{share:.2f}", ha="center", va="center", color=color)
    fig.colorbar(picture, ax=ax, label="attention weight (white: exactly 0)", shrink=0.8)
    fig.savefig("alignment_of_words.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), section 3.2.3.
# - Jaegle et al. 2021, [Perceiver](https://arxiv.org/abs/2103.03206): cross-attention as the door for any kind of
#   input.
