# %% [markdown]
# # The whole transformer
#
# *Unit 5, page 7 of 9, about 2 hours. Before: [the decoder layer](decoder.ipynb). Next: [generation](generation.ipynb).
# Papers: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), sections 3.1 to 3.4; [Press and Wolf 2017, Using the
# Output Embedding to Improve Language Models](https://arxiv.org/abs/1608.05859) for tied weights; [Lamb et al. 2016,
# Professor Forcing](https://arxiv.org/abs/1610.09038), section 1, on what teacher forcing leaves out.*
#
# All the parts are there. What remains is plumbing, and plumbing is where transformers go wrong: an input that is
# shifted the wrong way, a mask of the wrong shape, a factor that nobody misses. None of these mistakes raises an error.
# Some of them make the loss *fall faster*.
#
# ![The whole model in two columns with the shapes: the encoder on the left, the decoder on the right, the memory from
# the one to the other, and the masks beside them](diagrams/transformer.svg)
#
# ## Teacher forcing: a target becomes an input and labels
#
# The model is to turn a source sentence into a target sentence, $y_0, y_1, \dots, y_{T-1}$, the last symbol being EOS.
# It factorises the probability symbol by symbol,
#
# $$P(y \mid \text{src}) = \prod_{t=0}^{T-1} P(y_t \mid y_0 \dots y_{t-1}, \text{src}),$$
#
# so to predict $y_t$ it must have read $y_0 \dots y_{t-1}$, and nothing else. In training we know the whole target, so
# all $T$ predictions are made at once: the decoder's **input** is the target moved one place to the right, with BOS
# (begin of sequence) in front, and the **labels** are the target itself. At place $t$ the decoder has just read
# $y_{t-1}$, and what it says there is compared with $y_t$:
#
# | place $t$ | 0 | 1 | 2 | 3 |
# |---|---|---|---|---|
# | target | the | cat | EOS | PAD |
# | input | BOS | the | cat | EOS |
# | label | the | cat | EOS | -100 |
#
# The last symbol of the target is never read: nothing comes after it. Padding is not a word and must not be learned,
# so its label is -100, the number that `F.cross_entropy` skips (its default `ignore_index`; see
# [cross-entropy](../unit0_prerequisites/numerics.ipynb)).
#
# What if input and target are the same, because somebody forgot the shift? Then the model is asked to say the word that
# it has just read. It learns that perfectly. On the copy task of the last page of this unit such a model reaches a loss
# of nearly 0, and when it has to write by itself it gets about every eighth symbol right.
#
# ## Two masks
#
# In the notation of [unit 2](../unit2_self_attention/scaled_dot_product.ipynb), `True` = may attend:
#
# - **Source**, (B, 1, 1, S): no position may look at padding. It serves twice, in the encoder's self-attention and in
#   the decoder's cross-attention.
# - **Target**, (B, 1, T, T): position $i$ may look at position $j$ if $j \le i$ **and** $j$ is no padding. Both
#   conditions must hold. With "or" one of the two opens what the other has closed.
#
# By hand, for the input (BOS, PAD):
#
# $$\underbrace{\begin{pmatrix} 1 & 0 \\ 1 & 1 \end{pmatrix}}_{j \le i} \;\wedge\;
# \underbrace{\begin{pmatrix} 1 & 0 \\ 1 & 0 \end{pmatrix}}_{j \text{ no PAD}} =
# \begin{pmatrix} 1 & 0 \\ 1 & 0 \end{pmatrix}$$
#
# A trap: some models (T5 is one) have no BOS of their own and begin with PAD. Then position 0 looks like padding, and
# masking it leaves row 0 with nothing to see. But position 0 *always* holds the begin of the sequence, whatever its
# number is: **key 0 stays visible.**

# %%
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder.given import DecoderLayer, EncoderLayer, LayerNorm, SequenceTask, sinusoidal_encoding


# %% [markdown]
# ## Exercise `shift_and_masks`: shift and masks (10 points)
#
# Three short functions. The next exercise needs what the two masks do; if you want to begin there, the kit has
# `source_mask` and `target_mask` (in `autograder.given`), which may not be used in this exercise.

# %%
def make_decoder_io(tgt: Tensor, bos: int, pad: int) -> tuple[Tensor, Tensor]:
    """Turn a target into the decoder's input and the labels.

    Args:
        tgt: int64 (B, T), T ≥ 1, target symbols, each row ending in padding or not.
        bos: the symbol that begins a sequence. It may be the same number as pad.
        pad: the symbol that fills rows up.

    Returns:
        inp, int64 (B, T): bos, then tgt without its last column; padding in it stays as it is.
        labels, int64 (B, T): tgt, with -100 in place of every pad.
        tgt is not changed.

    >>> inp, labels = make_decoder_io(torch.tensor([[5, 6, 2, 0], [7, 2, 0, 0]]), bos=1, pad=0)
    >>> inp.tolist()
    [[1, 5, 6, 2], [1, 7, 2, 0]]
    >>> labels.tolist()
    [[5, 6, 2, -100], [7, 2, -100, -100]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def src_mask(src: Tensor, pad: int) -> Tensor:
    """Which source positions may be looked at?

    Args:
        src: int64 (B, S). pad: the symbol that fills rows up; it may stand anywhere in a row.

    Returns:
        bool (B, 1, 1, S), True = may attend: every position that is no pad. It broadcasts to (B, H, S, S) in the
        encoder and to (B, H, T, S) in the cross-attention. On the device of src.

    >>> src_mask(torch.tensor([[5, 6, 0], [7, 0, 0]]), pad=0)[:, 0, 0].tolist()
    [[True, True, False], [True, False, False]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def tgt_mask(inp: Tensor, pad: int) -> Tensor:
    """Which position of the decoder's input may look at which?

    Args:
        inp: int64 (B, T), the decoder's input; inp[:, 0] is the begin of the sequence. pad may stand anywhere else, and
            inp[:, 0] itself may have the number of pad.

    Returns:
        bool (B, 1, T, T), True = may attend: query i may attend to key j if j ≤ i and inp[:, j] is no pad. Key 0 counts
        as no pad, whatever its number. On the device of inp.

    >>> tgt_mask(torch.tensor([[1, 5, 0]]), pad=0)[0, 0].int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 0]]
    >>> tgt_mask(torch.tensor([[0, 5]]), pad=0)[0, 0].int().tolist()  # begins with the number of pad
    [[1, 0], [1, 1]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The model
#
# ```
#   src (B, S)                                            inp (B, T)
#      |  embed, times sqrt(D), plus positions               |  embed, times sqrt(D), plus positions
#   (B, S, D)                                             (B, T, D)
#      |  n_enc encoder layers  <-- source mask              |  n_dec decoder layers  <-- target mask (self)
#   (B, S, D)                                                |                        <-- source mask (cross)
#      |  norm                                               |
#   memory (B, S, D) ------------------------------------->  |
#                                                         (B, T, D)
#                                                            |  norm, output
#                                                         logits (B, T, tgt_vocab)
# ```
#
# **Embedding.** $x_t = \sqrt{D}\, E[\text{id}_t] + p_t$, with the sinusoids $p_t$ of
# [unit 4](../unit4_positional_encoding/embedding.ipynb). The entries of $E$ start with standard deviation
# $D^{-1/2}$, so that $\sqrt D\,E$ has entries of order 1, like the sinusoids. Without the root, a model of width 512
# begins with words that are 23 times quieter than their places.
#
# **Final norms.** A pre-LN stack ends with a raw residual stream, to which every layer has added something, so encoder
# and decoder each have one more norm at the end. (As in `nn.Transformer`, they are there with post-LN as well, where
# they do little.)
#
# **Output.** Each position's $D$ numbers become a **logit** for each of the target's symbols. Logits, not
# probabilities: the loss takes the logarithm of a softmax itself, and a softmax of a softmax is nearly flat, so a model
# that returns probabilities learns, badly.
#
# **Tied weights.** The target embedding has a row for each symbol, which says what it means as an input; the output
# layer has a row for each symbol, which says how to recognise it. Both are $(V, D)$, and Press and Wolf found that one
# and the same matrix may serve as both. "The same" means one parameter: it is stored once, and its gradient is the sum
# over both uses. A copy has the same values until the first step of training.
#
# ### How many parameters?
#
# With $V_s$ and $V_t$ symbols, width $D$, feed-forward width $F$ and $n_e + n_d$ layers:
#
# $$\underbrace{V_s D + V_t D + V_t D}_{\text{embeddings, output}} + n_e\,(\underbrace{4D^2 + 4D}_{\text{attention}} +
# \underbrace{2DF + F + D}_{\text{network}} + \underbrace{4D}_{\text{norms}})
# + n_d\,(8D^2 + 8D + 2DF + F + D + 6D) + 4D$$
#
# Tied, $V_t D$ less. For $V_s = V_t = 3$, $D = 2$, $F = 4$ and one layer each: $18 + (24 + 22 + 8) + (48 + 22 + 12) + 8
# = 162$, or 156 if tied. The model of the paper ($V = 37\,000$ shared by all three matrices, $D = 512$, $F = 2048$,
# $n_e = n_d = 6$) has about $63 \cdot 10^6$, of which 19 million are embeddings.

# %% [markdown]
# ## Exercise `seq2seq_transformer`: the transformer (20 points)
#
# The constructor is given but for the tie. Encoding and decoding are two methods, since in generation a source is
# encoded once and decoded many times. The layers come from the kit, `EncoderLayer` is called as `layer(x, mask=mask)`
# and `DecoderLayer` as `layer(x, memory, tgt_mask, memory_mask)`.

# %%
class Transformer(nn.Module):
    """An encoder and a decoder with their embeddings and an output layer.

    Args:
        src_vocab, tgt_vocab: number of source and target symbols.
        d_model: D, an even number. n_heads: of all attentions. n_enc, n_dec: number of layers. d_ff: hidden width of
            the feed-forward networks.
        max_len: the longest sequence, source or target, that the model takes.
        pad_id: the symbol that fills rows up, in source and target.
        tie: whether the output layer and the target embedding share one weight: the same parameter, not a copy.
        norm_first: pre-LN (True) or post-LN (False) layers.

    Parameters, as named in the state dict: src_embed.weight (src_vocab, D), tgt_embed.weight (tgt_vocab, D),
    encoder_layers.i.* and decoder_layers.i.* (those of the kit's EncoderLayer and DecoderLayer), encoder_norm.*,
    decoder_norm.*, and output.weight (tgt_vocab, D), without a bias. With tie=True the dict holds the shared weight
    under both names. Weights are loaded into your module under these names. Should you prefer another structure inside,
    add a method `load_reference(self, state_dict)` that copies such a dict into yours, as often as it is called, and
    replaces all weights that were there.
    """

    def __init__(
        self,
        src_vocab: int,
        tgt_vocab: int,
        d_model: int,
        n_heads: int,
        n_enc: int,
        n_dec: int,
        d_ff: int,
        max_len: int,
        pad_id: int,
        tie: bool = False,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        self.d_model, self.max_len, self.pad_id = d_model, max_len, pad_id
        self.src_embed = nn.Embedding(src_vocab, d_model)
        self.tgt_embed = nn.Embedding(tgt_vocab, d_model)
        for embedding in (self.src_embed, self.tgt_embed):
            nn.init.normal_(embedding.weight, std=d_model**-0.5)
        # (max_len, D), in float64 until it is added; a buffer moves along with the model, and is no parameter
        self.register_buffer("positions", sinusoidal_encoding(max_len, d_model), persistent=False)
        options = {"d_model": d_model, "n_heads": n_heads, "d_ff": d_ff, "norm_first": norm_first}
        self.encoder_layers = nn.ModuleList(EncoderLayer(**options) for _ in range(n_enc))
        self.encoder_norm = LayerNorm(d_model)
        self.decoder_layers = nn.ModuleList(DecoderLayer(**options) for _ in range(n_dec))
        self.decoder_norm = LayerNorm(d_model)
        self.output = nn.Linear(d_model, tgt_vocab, bias=False)
        # YOUR CODE HERE
        raise NotImplementedError()

    def encode(self, src: Tensor) -> Tensor:
        """Read the source.

        Args:
            src: int64 (B, S), right-padded with pad_id; every row has at least one real symbol.

        Returns:
            memory (B, S, D) in the dtype of the parameters: √D · src_embed[src] + positions, through the encoder
            layers, none of which looks at padding, and encoder_norm. What stands at the places of padding is of no
            meaning.

        Raises:
            ValueError: if S > max_len.
        """
        # YOUR CODE HERE
        raise NotImplementedError()

    def decode(self, inp: Tensor, memory: Tensor, src: Tensor) -> Tensor:
        """The logits of the symbol that follows each symbol of inp.

        Args:
            inp: int64 (B, T), right-padded with pad_id, beginning with BOS. BOS may have the number of pad_id: the
                first symbol is never padding.
            memory: (B, S, D), as encode returns it (or from elsewhere: it is taken as it is).
            src: int64 (B, S), the source that memory belongs to. Only where it is padding is of interest here.

        Returns:
            logits (B, T, tgt_vocab) in the dtype of the parameters: √D · tgt_embed[inp] + positions, through the
            decoder layers, decoder_norm and output. The logits at place t depend on inp[:, : t + 1] and on memory where
            src is no padding, and on nothing else. At places of padding in inp they are of no meaning.

        Raises:
            ValueError: if T > max_len.
        """
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, src: Tensor, inp: Tensor) -> Tensor:
        """The logits (B, T, tgt_vocab) after each symbol of inp, given src: encode, then decode.

        The lengths of src and inp may differ. Differentiable in all parameters; src and inp are not changed.

        `nn.Transformer` and its relatives, and the kit's `BareTransformer`, may not be used in this class.

        >>> model = Transformer(7, 5, d_model=4, n_heads=2, n_enc=1, n_dec=2, d_ff=8, max_len=6, pad_id=0, tie=True)
        >>> src, inp = torch.tensor([[3, 4, 6], [5, 0, 0]]), torch.tensor([[1, 4], [1, 3]])
        >>> model(src, inp).shape
        torch.Size([2, 2, 5])
        >>> torch.equal(model(src, inp), model.decode(inp, model.encode(src), src))
        True
        >>> sum(parameter.numel() for parameter in model.parameters())
        756
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## Does it work? Sorting
#
# The best test of a whole model is a small task that it cannot get right by luck. Here it is to **sort**: the source is
# a row of 3 to 6 symbols, the target holds the same symbols in ascending order, and EOS. Sorting needs all parts at
# once: without cross-attention the model knows nothing of the source, without causal self-attention it does not know
# how far it has got (the third of three equal symbols looks like the first), without the shift it cannot write.
#
# The model learns from the labels, with the right symbols given (teacher forcing). Then it writes by itself, each
# symbol being the likeliest one given *its own* previous ones. This is another situation than the one it was trained
# in, and the only one that counts. Both numbers are in the plot: if the model masks and shifts properly, they agree.
# The next page does this properly ([generation](generation.ipynb)), and the one after looks at
# [training](training.ipynb).

# %%
PAD, BOS, EOS = 0, 1, 2


def train_to_sort(steps: int = 300, seed: int = 0) -> tuple[Transformer, list[tuple[float, float]]]:
    """A trained model; and for each 20 steps its loss, and the share of sequences that it gets right by itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Transformer(12, 12, d_model=32, n_heads=4, n_enc=1, n_dec=1, d_ff=64, max_len=8, pad_id=PAD, tie=True)
    generator = torch.Generator().manual_seed(seed)
    task = SequenceTask("sort", length=6, batch=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.9, 0.98))
    up_and_down = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, (s + 1) / 30, 2 - 2 * s / steps))
    curve, losses = [], []
    for step in range(1, steps + 1):
        src, tgt = task(generator)
        inp, labels = make_decoder_io(tgt, BOS, PAD)
        loss = F.cross_entropy(model(src, inp).flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        up_and_down.step()
        losses.append(loss.item())
        if step % 20 == 0:
            src, tgt = SequenceTask("sort", length=6, batch=100)(generator)
            right = ((write(model, src, tgt.shape[1]) == tgt) | (tgt == PAD)).all(dim=1)
            curve.append((sum(losses[-20:]) / 20, right.double().mean().item()))
    return model, curve


@torch.no_grad()
def write(model: Transformer, src: Tensor, n: int) -> Tensor:
    """n symbols for each source, each the likeliest one after those before it."""
    memory = model.encode(src)
    inp = torch.full((len(src), 1), BOS)
    for _ in range(n):
        following = model.decode(inp, memory, src)[:, -1].argmax(dim=-1, keepdim=True)
        inp = torch.cat([inp, following], dim=1)
    return inp[:, 1:]


def figure_data() -> tuple[Tensor, Tensor]:
    """(7, 6) and (7, 7), bool: what the decoder may look at in a source with 2 pads, and in its own input."""
    src = torch.tensor([[3, 4, 5, 6, PAD, PAD]])
    inp, _ = make_decoder_io(torch.tensor([[3, 4, 5, 6, EOS, PAD, PAD]]), BOS, PAD)
    return src_mask(src, PAD)[0, 0].expand(7, 6), tgt_mask(inp, PAD)[0, 0]


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    torch.set_num_threads(1)  # for matrices as small as these, more threads only get in each other's way
    sorter, curve = train_to_sort()
    fig, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained", width_ratios=(6, 7, 9))
    names = (["3", "4", "5", "6", "PAD", "PAD"], ["BOS", "3", "4", "5", "6", "EOS", "PAD"])
    for ax, visible, keys, title in zip(
        axes, figure_data(), names, ("cross-attention", "self-attention"), strict=False
    ):
        ax.imshow(visible, cmap="Greens", vmin=0, vmax=1.4, aspect="auto")
        ax.set_xticks(range(len(keys)), keys)
        ax.set_yticks(range(7), names[1])
        ax.set_title(f"{title}: who may see whom")
        ax.set_xlabel("key (green: may be seen)")
        ax.set_ylabel("query")
    measured, sorted_right = zip(*curve, strict=True)
    steps = range(20, 20 * len(curve) + 1, 20)
    axes[2].plot(steps, measured, "o-", label="loss, with the right symbols given")
    axes[2].plot(steps, sorted_right, "s-", label="sequences sorted without a mistake, by itself")
    axes[2].set_xlabel("training steps")
    axes[2].set_title("learning to sort")
    axes[2].set_ylim(0, None)
    axes[2].legend()
    fig.savefig("masks_and_sorting.png", dpi=110)
    plt.show()

    sources, _ = SequenceTask("sort", length=6, batch=4)(torch.Generator().manual_seed(5))
    for source, written in zip(sources, write(sorter, sources, 7), strict=True):
        symbols = [s for s in written.tolist()[: written.tolist().index(EOS)]] if EOS in written else written.tolist()
        print("source", [s for s in source.tolist() if s != PAD], "-> written", symbols)
    print(f"sorted without a mistake: {sorted_right[-1]:.0%} of 100 fresh sequences")

# %% [markdown]
# ## Further reading
#
# - Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), the whole of it: you can
#   read every line now.
# - Phuong and Hutter 2022, [Formal algorithms for transformers](https://arxiv.org/abs/2207.09238).
