# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The embedding of a transformer
#
# *Unit 4, page 3 of 4. Before: [learned positions](learned.ipynb). Next: [relative positions](relative.ipynb). Papers:
# [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), sections 3.4, 3.5 and 5.4; [Press and Wolf 2017, Using the
# Output Embedding to Improve Language Models](https://arxiv.org/abs/1608.05859).*
#
# ## Two voices, added
#
# The first layer of a transformer is a table of words and an encoding of positions. The token with number $\mathrm{id}$
# at position $t$ becomes
#
# $$\mathrm{out}[b, t] = \sqrt{D}\; E[\mathrm{id}_{b,t}] + \mathrm{PE}[t]$$
#
# with $E$ of shape (V, D), which is learned, and $\mathrm{PE}$ of the [first page](sinusoidal.ipynb), which is not.

# %% [markdown]
# ![The number of a token picks a row of the table E, which is multiplied by the root of D; the position picks a row of
# the sines, which is added as it is; dropout comes last](diagrams/embedding.svg)

# %% [markdown]
# ## Why the root of D?
#
# Two voices that are added should be about equally loud. The encoding of a position has $D/2$ pairs $\sin^2 + \cos^2 =
# 1$, so its length is $\sqrt{D/2}$. And the row of a token? The table $E$ is often used a second time, transposed, as
# the last layer of the model (*weight tying*), where its rows are multiplied with vectors of length about $\sqrt D$ and
# should give scores of a few units. So its entries start with a standard deviation of about $1/\sqrt D$, and a row then
# has length 1: a whisper beside $\sqrt{D/2}$. The factor $\sqrt D$ brings it up to $\sqrt D$.
#
# So the factor belongs to the token alone. Scaling the sum leaves the two as unequal as they were; dividing instead of
# multiplying makes it worse. And it goes with the small start: PyTorch's `nn.Embedding` starts with a standard
# deviation of 1, and times $\sqrt D$ that drowns the positions. (In unit 5 this difference decides whether a small
# model learns to copy at all.)
#
# ## What belongs to the module, and in which way
#
# | kind | learned? | in `parameters()` | moved by `.to(...)` | here |
# |---|---|---|---|---|
# | `nn.Parameter`, or a module that has one | yes | yes | yes | the table $E$ |
# | buffer (`register_buffer`) | no | no | yes | the sines |
# | plain attribute | no | no | **no** | nothing that takes part in the computation |
#
# Sines made a parameter would be trained away. Sines in a plain attribute stay on the CPU and in float32 while the rest
# of the model moves to a GPU or to bfloat16, and the sum has the wrong dtype, or fails.
#
# **Padding.** Texts of unequal length are filled up with the token `pad_id`. Its row means nothing, so it is 0 and
# stays 0: no gradient may reach it. `nn.Embedding` has an option for just that. (Attention ignores padded keys by its
# [mask](../unit2_self_attention/self_attention.ipynb); the zero row is good manners, no replacement.) The position is
# added at padded places like anywhere.
#
# **Dropout.** The paper drops entries of the sum.
#
# ### An example to check by hand
#
# $D = 2$, $V = 3$, $E$ with the rows $(0, 0)$, $(1, 0)$, $(0, 2)$, token 0 is padding. $\sqrt 2 = 1.414$. The text is
# $(2, 0)$:
#
# | position | token | $\sqrt D\, E[\mathrm{id}]$ | PE | sum |
# |---|---|---|---|---|
# | 0 | 2 | $(0, 2.828)$ | $(0, 1)$ | $(0, 3.828)$ |
# | 1 | 0 | $(0, 0)$ | $(0.841, 0.540)$ | $(0.841, 0.540)$ |

# %%
import math

import numpy as np
import torch
from torch import Tensor, nn

from autograder.given import sinusoidal_encoding  # the first page's exercise; gives a float64 tensor (max_len, d_model)

# %% [markdown]
# ## Exercise `transformer_embedding`: tokens and positions (10 points)
#
# `sinusoidal_encoding` above is given, so you need not have solved the first page. How the table starts is up to you
# and is not checked, but for the row of the padding.


# %% exercise="transformer_embedding"
class TransformerEmbedding(nn.Module):
    """√D · E[ids] + PE, with dropout on the sum.

    Args:
        vocab: V, number of tokens.
        d_model: D, an even width.
        max_len: number of positions.
        pad_id: the number of the padding token, or None for a vocabulary without one.
        dropout: probability with which an entry of the sum is dropped in train mode, 0 ≤ dropout < 1.

    Parameter, and the only one: token.weight (V, D), so `token` is an nn.Embedding or a module of yours that has such a
    weight. Weights are loaded into `token` under the name weight, in float64, float32 or bfloat16, after the whole
    module was moved to that dtype by `.to(dtype)`. The sines are no parameter, not even one that is frozen.
    """

    def __init__(self, vocab: int, d_model: int, max_len: int, pad_id: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.token = nn.Embedding(vocab, d_model, padding_idx=pad_id)
        nn.init.normal_(self.token.weight, std=d_model**-0.5)
        if pad_id is not None:
            nn.init.zeros_(self.token.weight[pad_id])
        self.register_buffer("position", sinusoidal_encoding(max_len, d_model).float(), persistent=False)
        self.scale = math.sqrt(d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, ids: Tensor) -> Tensor:
        """Embed a batch of texts.

        Args:
            ids: (B, T) int64, each in 0 ... V − 1. B = 1, T = 1 and T = 0 are ordinary cases.

        Returns:
            (B, T, D) in the dtype of token.weight: out[b, t] = √D · weight[ids[b, t]] + PE[t], where PE is the
            interleaved sinusoidal encoding with base 10 000, accurate to 1e-5 (so float32 sines will do in a float64
            module), or as far as the dtype goes. In train mode each entry of that sum is dropped (0) with probability
            `dropout`, independently of all others, by torch's default generator, and the others are divided by
            1 − dropout; in eval mode, or with dropout=0, nothing is drawn. ids is not changed.

        The row of pad_id is 0 in a new module, and its gradient is always 0; the position is added there as well. Every
        other row that was used gets a gradient; with pad_id=None no row is special.

        Raises:
            ValueError: if T is more than max_len.

        >>> embedding = TransformerEmbedding(3, 2, max_len=5, pad_id=0)
        >>> _ = embedding.token.load_state_dict({"weight": torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])})
        >>> [[round(value, 3) for value in row] for row in embedding(torch.tensor([[2, 0]]))[0].tolist()]
        [[0.0, 3.828], [0.841, 0.54]]
        """
        ### BEGIN SOLUTION
        T, max_len = ids.shape[1], len(self.position)
        if max_len < T:
            raise ValueError(f"a text of {T} tokens, and positions for {max_len}")
        return self.dropout(self.scale * self.token(ids) + self.position[:T])
        ### END SOLUTION


# %% [markdown]
# ## The picture
#
# How loud are the two voices? For growing width $D$: the mean length of the tokens' vectors as they stand in the table,
# with entries of standard deviation $1/\sqrt D$; the same after the factor; and the length of the positions. Without
# the factor the tokens stay at 1 while the positions grow. With it both grow alike.
#
# Next: adding positions at the bottom of the model is one way. The models of today put them into attention itself:
# [relative positions](relative.ipynb).

# %%
WIDTHS = (8, 32, 128, 512, 2048)


def figure_data() -> np.ndarray:
    """(3, 5), mean lengths for WIDTHS: rows of the table, these times the factor, positions."""
    rows = []
    for D in WIDTHS:
        embedding = TransformerEmbedding(64, D, max_len=64).eval()
        weight = torch.randn(64, D, generator=torch.Generator().manual_seed(D)) / math.sqrt(D)
        with torch.no_grad():
            embedding.token.weight.copy_(weight)
            both = embedding(torch.arange(64)[None])[0]
            embedding.token.weight.zero_()
            position = embedding(torch.arange(64)[None])[0]
        rows.append([part.norm(dim=-1).mean().item() for part in (weight, both - position, position)])
    return np.array(rows).T


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
    names = ["token, as in the table", "token, times √D", "position"]
    for curve, name, marker in zip(figure_data(), names, "os^", strict=True):
        ax.loglog(WIDTHS, curve, marker=marker, label=name, base=2)
    ax.set_xticks(WIDTHS, [str(D) for D in WIDTHS])
    ax.set_xlabel("width D")
    ax.set_ylabel("mean length of a vector")
    ax.legend()
    fig.savefig("embedding_scale.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Press and Wolf 2016, [Using the output embedding](https://arxiv.org/abs/1608.05859); Vaswani et al. 2017,
#   [Attention is all you need](https://arxiv.org/abs/1706.03762), sections 3.4 and 3.5.
# - Harvard NLP, [The annotated transformer](https://nlp.seas.harvard.edu/annotated-transformer/), embeddings and
#   softmax.
