# %% [markdown]
# # Learned positions
#
# *Unit 4, page 2 of 4. Before: [sinusoidal positions](sinusoidal.ipynb). Next: [the embedding](embedding.ipynb).
# Papers: [Gehring et al. 2017, Convolutional Sequence to Sequence Learning](https://arxiv.org/abs/1705.03122), section
# 3.1; [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.5 and table 3, row E; [Devlin et al. 2019,
# BERT](https://arxiv.org/abs/1810.04805); [Press et al. 2022](https://arxiv.org/abs/2108.12409).*
#
# ## A table instead of a formula
#
# Nobody computes the vector of the word "dog" from a formula: a model has a table of words and learns its rows.
# Positions can be treated alike. Let $P$ be a table of `max_len` rows, one for each position, all of them parameters:
#
# $$\mathrm{out}[b, t] = x[b, t] + P[\,\mathrm{offset} + t\,]$$
#
# BERT and GPT-2 do so. The authors of the transformer tried it too and got nearly the same scores as with sines; they
# kept the sines in the hope that these would also work for texts longer than those seen in training.

# %% [markdown]
# ![Three tokens of width two; rows 2, 3 and 4 of a table of eight positions are added to them, since the offset is
# 2](diagrams/learned.svg)

# %% [markdown]
# ## What can go wrong with a table
#
# **It ends.** Row `max_len` does not exist. A formula can be asked for any position; a table must refuse, and loudly.
# If the index wraps around instead (a negative index counts from the end, a remainder from the beginning), the model
# reads wrong positions without a word, and only long texts suffer.
#
# **The batch does not count.** Every example of a batch gets the same rows: the index is the number of the token in its
# text. Mixing up the two leading axes of (B, T, D) may even run without an error.
#
# **Decoding starts in the middle.** A model that writes a text keeps what it has computed and feeds in one new token at
# a time (the KV cache of unit 6). Then $T = 1$, and the token's position is the number of tokens before it: that is
# what `offset` is for. Without it every new token believes that it is the first.
#
# **Rows that are never used never learn.** The gradient of row $p$ is the sum over the batch of what arrives at
# position $p$; if no text of the training set is that long, it is zero, and the row keeps its random start. The picture
# at the end shows it. In short: a learned table knows nothing beyond the lengths that it was trained on.
#
# ### An example to check by hand
#
# $D = 2$, one text of two tokens, and a table of three rows:
#
# $$x = \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}, \quad
# P = \begin{pmatrix} 10 & 20 \\ 30 & 40 \\ 50 & 60 \end{pmatrix}$$
#
# | offset | rows | result |
# |---|---|---|
# | 0 | 0 and 1 | $\begin{pmatrix} 11 & 22 \\ 33 & 44 \end{pmatrix}$ |
# | 1 | 1 and 2 | $\begin{pmatrix} 31 & 42 \\ 53 & 64 \end{pmatrix}$ |
# | 2 | 2 and 3 | there is no row 3: `ValueError` |
#
# Added, not concatenated: the width stays $D$, and the model finds out by itself which directions speak of the token
# and which of its place.

# %%
import numpy as np
import torch
from torch import Tensor, nn


# %% [markdown]
# ## Exercise `learned_positions`: a table of positions (8 points)
#
# The constructor is yours as well: a module must *know* its table, or no optimiser ever sees it. How the table starts
# is up to you (small random numbers are usual: GPT-2 takes a standard deviation of 0.01 or 0.02) and is not checked.

# %%
class LearnedPositionalEmbedding(nn.Module):
    """Adds a learned vector to each token, by its position.

    Args:
        max_len: number of positions, at least 1.
        d_model: D, the width.

    Parameter, as named in the state dict, and the only one: weight (max_len, D), row p for position p. Weights are
    loaded into your module under this name. Should you prefer another structure inside, add a method
    `load_reference(self, state_dict)` that copies such a dict into yours, and replaces what was there. Your parameters
    may then have other names and shapes, and are max_len · D trainable numbers together.
    """

    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Add the rows offset ... offset + T - 1.

        Args:
            x: (B, T, D), in the dtype of the parameter. B = 1, T = 1 and T = 0 are ordinary cases.
            offset: the position of the first token, 0 ... max_len.

        Returns:
            (B, T, D) in that dtype: out[b, t] = x[b, t] + weight[offset + t], the same rows for every example of the
            batch. Differentiable in x and in weight: the gradient of a row that was used is the sum over the batch,
            that of the others is 0. x is not changed.

        Raises:
            ValueError: if offset is negative, or offset + T is more than max_len. Nothing wraps around.

        >>> table = LearnedPositionalEmbedding(3, 2)
        >>> _ = table.load_state_dict({"weight": torch.tensor([[10.0, 20.0], [30.0, 40.0], [50.0, 60.0]])})
        >>> x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
        >>> table(x).tolist()
        [[[11.0, 22.0], [33.0, 44.0]]]
        >>> table(x, offset=1).tolist()
        [[[31.0, 42.0], [53.0, 64.0]]]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# A table of 32 rows learns, from texts of 24 tokens at most, to produce the sines of the [page
# before](sinusoidal.ipynb). Left, the table before training, right, afterwards. The upper rows have become waves. The
# lower ones are what they were: no text reached them, so no gradient did. Give this model a text of 30 tokens, and six
# of them get random vectors.
#
# Next: tokens and positions are added. Which of the two is louder? [The embedding](embedding.ipynb).

# %%
def figure_data() -> np.ndarray:
    """(3, 32, 16): the table before and after training on texts of up to 24 tokens, and what it was to learn."""
    from autograder.given import sinusoidal_encoding

    generator = torch.Generator().manual_seed(0)
    target = 0.1 * sinusoidal_encoding(32, 16).float()
    table = LearnedPositionalEmbedding(32, 16)
    start = 0.05 * torch.randn(32, 16, generator=generator)
    getattr(table, "load_reference", table.load_state_dict)({"weight": start})  # whatever your structure inside
    nothing = torch.zeros(1, 32, 16)  # added to it, the rows come out as they are
    before = table(nothing)[0].detach()
    optimiser = torch.optim.SGD(table.parameters(), lr=1.0)
    for _ in range(300):
        length = int(torch.randint(1, 25, (), generator=generator))
        loss = (table(torch.zeros(1, length, 16)) - target[:length]).square().sum() / 2
        optimiser.zero_grad()
        (0.1 * loss).backward()
        optimiser.step()
    return torch.stack([before, table(nothing)[0].detach(), target]).numpy()


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    tables = figure_data()
    fig, axes = plt.subplots(1, 3, figsize=(12, 5), layout="constrained", sharey=True)
    for ax, shown, title in zip(
        axes, tables, ["before training", "after training", "what was to be learned"], strict=True
    ):
        picture = ax.imshow(shown, vmin=-0.15, vmax=0.15, cmap="RdBu_r", aspect="auto")
        ax.axhline(23.5, color="black", linestyle="--", linewidth=1)
        ax.set_title(title)
        ax.set_xlabel("column")
    axes[0].set_ylabel("position (no text goes below the line)")
    fig.colorbar(picture, ax=axes)
    fig.savefig("learned_rows.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Gehring et al. 2017, [Convolutional sequence to sequence learning](https://arxiv.org/abs/1705.03122), section
#   3.1; Devlin et al. 2018, [BERT](https://arxiv.org/abs/1810.04805), section 3.
