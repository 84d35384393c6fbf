# %% [markdown]
# # Through the bottleneck
#
# *Unit 1, page 4 of 4. Before: [attention from scratch](attention_from_scratch.ipynb). Next: [scaled dot-product
# attention](../unit2_self_attention/scaled_dot_product.ipynb) in unit 2. Papers: [Sutskever et al.
# 2014](https://arxiv.org/abs/1409.3215); [Cho et al. 2014, On the Properties of Neural Machine
# Translation](https://arxiv.org/abs/1409.1259); [Bahdanau et al. 2014](https://arxiv.org/abs/1409.0473).*
#
# In 2014 Cho and colleagues plotted the quality of their translations against the length of the sentence, and the curve
# fell. A few months later Bahdanau, Cho and Bengio plotted the same for a model with attention, and the curve stayed
# up. On this page you repeat that experiment in small: **one model, trained twice, with a switch.** Off, the decoder
# gets a single vector. On, it may look back.
#
# The task is the smallest one that needs memory: *reversal*. The source is a sequence of 12 random symbols, the target
# is the same sequence backwards. There is nothing to understand, only something to carry across. With 20 different
# symbols, a sequence of 12 holds $12 \log_2 20 \approx 52$ bits. Can a network learn to write 52 bits into a vector of
# 24 numbers, in a way that another network can read, in some hundred steps of training?

# %% [markdown]
# ![The encoder's last state starts the decoder; with the switch off it also is the context of every step, with the
# switch on the context of step 1 is an average of all states, weighted by the query h1](diagrams/bottleneck.svg)

# %% [markdown]
# ## The model
#
# **The encoder** is the recurrent reader of [page 1](intuition.ipynb), with a better cell: the GRU of
# [Cho et al.](https://arxiv.org/abs/1406.1078), which decides by *gates* how much of its state to keep and so forgets
# more slowly. `nn.GRU` does the loop over time. For a batch of B sequences it returns the states after every step,
# (B, S, d), and the state after the last step, (1, B, d); mind the axis of length 1, which counts layers.
#
# **The decoder** is a second GRU. It starts from the encoder's last state and reads what was written so far. In
# training that is not what the model would have written but the right answer, shifted by one: to predict symbol $t$ it
# sees `BOS` (begin of sequence) and the right symbols $0 \dots t-1$. This is called *teacher forcing*, and thanks to it
# all steps are computed in one call.
#
# **The look back** uses the additive scores of [page 1](intuition.ipynb). The query is the decoder's state $h_t$, the
# keys are the encoder's states $s_j$, and the values are these states too:
#
# $$e_{tj} = v^\top \tanh(W_q h_t + b + W_k s_j), \qquad w_{t\cdot} = \mathrm{softmax}(e_{t\cdot}) \text{ over real
# source symbols}, \qquad c_t = \sum_j w_{tj}\, s_j$$
#
# **The output** reads both, the decoder's state and the context: $\text{logits}_t = W_o [h_t; c_t] + b_o$.
#
# **The switch.** Without attention there are no $W_q, W_k, b, v$, and the context is the same at every step: the last
# state, $c_t = s_{\text{last}}$. (Cho's model did this, so that the decoder need not remember the sentence while
# writing.) Everything else is equal, so whatever difference the experiment shows is due to the look back.
#
# | name | shape | |
# |---|---|---|
# | `src` | (B, S) int64 | source symbols, right-padded with `PAD` = 0 |
# | `tgt_in` | (B, T) int64 | what was written so far; T may differ from S |
# | states $s$ | (B, S, d) | |
# | decoder states $h$ | (B, T, d) | |
# | scores, weights | (B, T, S) | each output step shares one unit among the source |
# | logits | (B, T, vocab) | |
#
# ### Three ways to get it nearly right
#
# - **Padding.** The last state is the one after the last *real* symbol, and the softmax runs over real symbols only.
#   `nn.GRU` knows nothing of padding. One way out is `torch.nn.utils.rnn.pack_padded_sequence`; another is to pick the
#   right states after an ordinary run, since a state does not depend on what comes after it.
# - **When is the question asked?** The context of step $t$ belongs to the query $h_t$, the state *after* reading input
#   $t$. (Bahdanau's decoder asks with the state before; Luong's, like ours, with the one after. A model that mixes the
#   two up trains nearly as well.)
# - **The gradient.** The encoder learns what to write into its states *because* gradients come back through the
#   context. A context computed from detached tensors is right in value, and the model still seems to learn, only worse.
#
# ### An example to check by hand
#
# Three encoder states $(1, 0)$, $(0, 1)$, $(1, 1)$ and the scores $0, 0, \ln 2$ for some step: the weights are
# $\frac14, \frac14, \frac12$ and the context is $(\frac34, \frac34)$. If the third symbol is padding, its score does
# not count: the weights are $\frac12, \frac12, 0$ and the context is $(\frac12, \frac12)$. And without attention the
# context is the last real state: $(1, 1)$ in the first case, $(0, 1)$ in the second.

# %%
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PAD = 0
BOS = 1


# %% [markdown]
# ## Exercise `bottleneck_study`: one model, with a switch (18 points)
#
# `__init__` is given, so that everybody's weights have the same names; write `forward`. The grader compares your
# outputs and gradients with its own, and then trains your model: with attention it has to learn the reversal of 12
# symbols, and without it must *not*, as long as all it has is one vector.

# %%
class AttnSeq2Seq(nn.Module):
    """An encoder, a decoder, and between them one vector (attn=False) or additive attention (attn=True).

    Args:
        vocab: number of symbols; 0 is PAD, 1 is BOS.
        d: width of embeddings and states.
        attn: whether the decoder may look back at the source.

    If you build another set of parameters than the ones below, define `load_reference(self, state_dict)`, which fills
    yours from a dict with these names.
    """

    def __init__(self, vocab: int, d: int, attn: bool) -> None:
        super().__init__()
        self.attn = attn
        self.embed = nn.Embedding(vocab, d)  # for source and target alike
        self.encoder = nn.GRU(d, d, batch_first=True)
        self.decoder = nn.GRU(d, d, batch_first=True)
        if attn:
            self.query = nn.Linear(d, d)  # W_q and b
            self.key = nn.Linear(d, d, bias=False)  # W_k
            self.score = nn.Linear(d, 1, bias=False)  # v
        self.output = nn.Linear(2 * d, vocab)  # reads [decoder state; context], in this order

    def forward(self, src: Tensor, tgt_in: Tensor) -> tuple[Tensor, Tensor | None]:
        """The logits of the next symbol after each symbol of tgt_in.

        Args:
            src: int64 (B, S), each row at least one real symbol and then PAD up to S (right-padded).
            tgt_in: int64 (B, T), what was written so far, beginning with BOS. T may differ from S. Nothing in it is
                masked; PAD in tgt_in is a symbol like any other.

        With s_j the encoder's state after source symbol j, and `last` the one after the last real symbol of each row,
        the decoder starts from `last` and its state after reading tgt_in[:, t] is h_t. Then
            attn=True:  weights[:, t] = softmax over the real j of score(tanh(query(h_t) + key(s_j))),
                        context_t = Σ_j weights[:, t, j] s_j;
            attn=False: context_t = last, for every t;
            logits_t = output([h_t; context_t]).

        Returns:
            logits (B, T, vocab), and weights (B, T, S), rows sum to 1, exactly 0 at PAD; None if attn is False.
            Both in the dtype of the parameters. The number of PADs at the end of src changes nothing else. Gradients
            flow to every parameter, through the context too.

        `nn.GRU`, `torch.softmax` and matrix products may be used; `F.scaled_dot_product_attention`,
        `nn.MultiheadAttention` and other ready-made attention may not.

        >>> model = AttnSeq2Seq(vocab=7, d=4, attn=True)
        >>> logits, weights = model(torch.tensor([[5, 3, 4], [6, 2, 0]]), torch.tensor([[1, 4], [1, 2]]))
        >>> logits.shape, weights.shape
        (torch.Size([2, 2, 7]), torch.Size([2, 2, 3]))
        >>> weights[1, :, 2].tolist()  # PAD
        [0.0, 0.0]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## The experiment
#
# Both models get the same data and the same number of steps: 250 batches of 48 sequences, none of them seen twice. The
# accuracy counts symbols, on fresh sequences, with the right previous symbols given. Guessing gives 1 in 20.
#
# Left: the two learning curves. Middle: the accuracy at each of the 12 outputs. The model without attention is best at
# the first ones, because these are the symbols that the encoder has read last; the further back a symbol lies, the less
# of it is left. With attention the position matters less. Right: where the trained model looks, one row per output.
# Nobody has told it that the task is a reversal. In a translation from English to French the bright line would run from
# top left to bottom right; here it runs the other way. It often lies one column off the exact anti-diagonal: the state
# $s_j$ has read the symbols before $j$ as well, and the decoder, which knows the symbol it has just written, may find
# the place by that one. Weights say where a model looks, not what it takes from there
# ([unit 2](../unit2_self_attention/attention_patterns.ipynb) has more to say about this).
#
# The bottleneck is not a law of nature. With more steps, or a wider state, the model without attention gets better: try
# `steps=2000`. But it has to learn to *pack*, which is hard, and for a sequence of 50 symbols you would start again.
# The other model only learns where to look.
#
# This was the end of attention as an addition to a recurrent network. Three years later came the question what happens
# if one throws the recurrent network away and keeps the attention alone. That is [unit
# 2](../unit2_self_attention/scaled_dot_product.ipynb).

# %%
VOCAB, WIDTH, LENGTH = 22, 24, 12


def make_batch(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Random sources (n, LENGTH), the decoder's inputs (BOS, then the target shifted by one), and the targets."""
    src = torch.randint(2, VOCAB, (n, LENGTH), generator=generator)
    target = src.flip(1)
    return src, torch.cat([torch.full((n, 1), BOS), target[:, :-1]], dim=1), target


def train(attn: bool, steps: int = 250, seed: int = 0) -> tuple[AttnSeq2Seq, list[tuple[int, float]]]:
    """A trained model, and its accuracy on fresh data every 25 steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AttnSeq2Seq(VOCAB, WIDTH, attn)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 3.0 * (1 - step / steps)))
    curve = []
    for step in range(1, steps + 1):
        src, tgt_in, target = make_batch(48, generator)
        loss = F.cross_entropy(model(src, tgt_in)[0].flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            curve.append((step, accuracy(model, generator).mean().item()))
    return model, curve


def accuracy(model: AttnSeq2Seq, generator: torch.Generator) -> Tensor:
    """(LENGTH,): the share of right symbols at each output step, on 200 fresh sequences."""
    src, tgt_in, target = make_batch(200, generator)
    with torch.no_grad():
        return (model(src, tgt_in)[0].argmax(dim=-1) == target).double().mean(dim=0)


def figure_data(model: AttnSeq2Seq | None = None) -> Tensor:
    """(T, S): attention weights, mean over 50 sequences; outputs by source positions. None trains a model first."""
    model = train(True)[0] if model is None else model
    src, tgt_in, _ = make_batch(50, torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(src, tgt_in)[1].mean(dim=0)


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    torch.set_num_threads(1)  # for matrices as small as these, more threads only get in each other's way
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.4), layout="constrained")
    for attn, label in ((False, "one vector"), (True, "attention")):
        model, curve = train(attn)
        left.plot(*zip(*curve, strict=True), label=label)
        middle.plot(range(LENGTH), accuracy(model, torch.Generator().manual_seed(2)), "o-", label=label)
    for ax, title, what in ((left, "learning to reverse", "training steps"), (middle, "which outputs", "output step")):
        ax.set_title(f"{title} {LENGTH} symbols" if ax is left else f"{title} are right")
        ax.set_xlabel(what)
        ax.set_ylabel("accuracy on fresh sequences")
        ax.axhline(1 / (VOCAB - 2), linestyle="--", color="grey", label="guessing")
        ax.set_ylim(0, 1.02)
        ax.legend()
    fig.colorbar(right.imshow(figure_data(model), vmin=0), ax=right, label="attention weight")
    right.set_title("where the model with attention looks")
    right.set_xlabel("source position")
    right.set_ylabel("output step")
    fig.savefig("alignment.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Cho et al. 2014, [On the properties of neural machine translation](https://arxiv.org/abs/1409.1259): quality
#   against the length of the sentence.
# - Bahdanau et al. 2014, [Learning to align and translate](https://arxiv.org/abs/1409.0473), figures 2 and 3.
