# %% [markdown]
# # T5: every task is text to text
#
# *Unit 6, page 3 of 5, about 2 hours. Before: [GPT](gpt.ipynb). Next: [ViT](vit.ipynb). Papers: [Raffel et al. 2020,
# Exploring the Limits of Transfer Learning](https://arxiv.org/abs/1910.10683), sections 2.1 and 3.1.4; [Shazeer
# 2020](https://arxiv.org/abs/2002.05202) for the gated activation of version 1.1. Further reading: [Xue et al. 2021,
# mT5](https://arxiv.org/abs/2010.11934), and [Tay et al. 2022, UL2](https://arxiv.org/abs/2205.05131), where spans of
# several kinds are mixed.*
#
# BERT reads and cannot write, GPT writes and reads from one side only. T5 keeps both halves of the transformer and
# turns every task into one: text in, text out. *"translate English to German: That is good."* gives *"Das ist gut."*,
# and *"cola sentence: The course is jumping well."* gives *"not acceptable"*. Before that, it learns from raw text, by
# filling holes. The paper then tries out nearly everything that had been proposed, one change at a time, and keeps what
# works; so it is worth looking at what is left of the model of 2017:
#
# | | Transformer (2017) | BERT (2018) | GPT-2 (2019) | T5 (2020) |
# |---|---|---|---|---|
# | made of | encoder, decoder | encoder | decoder | encoder, decoder |
# | a token sees | all; or what is before it | all | what is before it | as in 2017 |
# | norm | LayerNorm, post | LayerNorm, post | LayerNorm, pre | **RMSNorm**, pre |
# | positions | sinusoids, added | learned, added | learned, added | **learned bias** by distance |
# | scores | divided by $\sqrt{D_h}$ | divided | divided | **not divided** |
# | activation | ReLU | GELU (erf) | GELU (tanh) | ReLU; 1.1: gated GELU |
# | linear layers | with biases | with biases | with biases | **without biases** |
# | input | source; target so far | [CLS] A [SEP] B [SEP] | running text | **text with holes** |
# | is asked for | next token of the target | hidden tokens; is B next? | next token | **what fills the holes** |
# | tied | embeddings, output | embedding, output | embedding, output | as in 2017; not in 1.1 |
#
# Why? *RMSNorm and no biases*: less to compute, and nothing lost ([unit 5](../unit5_transformer/layer_norm.ipynb);
# [Narang et al. 2021](https://arxiv.org/abs/2102.11972) compare such changes one by one). *A bias by distance*: what
# matters is how far apart two tokens are, and longer texts have only distances that are in the table already ([unit
# 4](../unit4_positional_encoding/relative.ipynb)). *Not divided*: the factor $1/\sqrt{D_h}$ can as well be in the
# starting values of $W_Q$, and that is where T5 has it. *Spans*: the targets are short, so a step costs less.

# %% [markdown]
# ![Above, a sentence with two spans cut out: the input has a sentinel in place of each, the target has each sentinel
# with the span behind it, a last sentinel and EOS; below, one table of biases feeds the self-attention of all encoder
# layers](diagrams/t5.svg)

# %% [markdown]
# ## Holes, and what fills them
#
# BERT hides single tokens and must name each of them at its place ([`mlm_mask`](bert.ipynb)). T5 cuts out whole
# **spans**. In the input, each span is replaced by *one* token of its own kind, a **sentinel**; the target lists the
# spans, each behind its sentinel:
#
# | | |
# |---|---|
# | text | Thank you **for inviting** me to your party **last** week |
# | input | Thank you `<0>` me to your party `<1>` week `EOS` |
# | target | `<0>` for inviting `<1>` last `<2>` `EOS` |
#
# The sentinels are different, so that the decoder can say which hole it is filling. They are the last tokens of the
# vocabulary, counted downwards: `<0>` is number `sentinel0`, `<1>` is `sentinel0` − 1, and so on. We follow the paper:
# one more sentinel ends the list, also where the text itself ends with a span. (The released code leaves the last
# sentinel out in that case. A decoder trained one way stops one token earlier than one trained the other.)
#
# By hand, tokens 10 to 17, spans $\{12, 13\}$ and $\{16\}$, sentinel0 = 99, EOS = 1:
#
# | | |
# |---|---|
# | tokens | 10 11 12 13 14 15 16 17 |
# | noise | 0 0 1 1 0 0 1 0 |
# | inputs | 10 11 **99** 14 15 **98** 17 1 |
# | targets | **99** 12 13 **98** 16 **97** 1 |
#
# Nothing is lost: input and target together are the text.
#
# ### Where to cut
#
# One could throw a coin for each token. Then the spans would be short, mostly a single token, and their number and the
# length of the input would change from text to text. T5 fixes all three numbers. Of $T$ tokens,
#
# $$n = \mathrm{round}(T \cdot \mathrm{density}) \text{ clipped to } 1 \dots T-1, \qquad
# k = \mathrm{round}(n / \mathrm{mean\_len}) \text{ clipped to } 1 \dots \min(n, T - n)$$
#
# are noise, in $k$ spans. The $n$ tokens are cut into $k$ pieces at random, each at least 1 long, every way of cutting
# equally likely; so are the other $T - n$ tokens. Then the pieces are laid out in turn, beginning with one that stays.
# To cut $n$ things into $k$ pieces means to choose $k - 1$ of the $n - 1$ gaps between them; for $n = 4$ and $k = 2$
# the three ways are 1+3, 2+2 and 3+1.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder.given import RelativeBias, RMSNorm


# %% [markdown]
# ## Exercise `span_corruption`: spans and sentinels (14 points)
#
# In NumPy, as it is done while data are read. The part without chance, and the part with it.

# %%
def apply_span_mask(tokens: np.ndarray, noise: np.ndarray, sentinel0: int, eos: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the spans out of a text.

    Args:
        tokens: (T,), T ≥ 1, integers of any dtype (their values are of no interest here).
        noise: (T,) bool, True where a token is to be cut out. A span is a run of True that is as long as it can be;
            there may be any number of them, none included, at the beginning and at the end too, and one may be all of
            the text.
        sentinel0: the first sentinel. The sentinel of span i = 0, 1, ... from the left is sentinel0 − i.
        eos: the token that ends inputs and targets.

    Returns:
        A pair of arrays of one axis, in the dtype of tokens. inputs: the text with each span replaced by its sentinel,
        a single token, and then eos. targets: for each span its sentinel and the tokens that were cut out; behind the
        last span the next sentinel, which belongs to none; and then eos. tokens and noise are not changed.

    >>> tokens, noise = np.arange(10, 18), np.array([0, 0, 1, 1, 0, 0, 1, 0], dtype=bool)
    >>> inputs, targets = apply_span_mask(tokens, noise, sentinel0=99, eos=1)
    >>> inputs.tolist(), targets.tolist()
    ([10, 11, 99, 14, 15, 98, 17, 1], [99, 12, 13, 98, 16, 97, 1])
    >>> inputs, targets = apply_span_mask(tokens[:2], noise[:2], sentinel0=99, eos=1)
    >>> inputs.tolist(), targets.tolist()
    ([10, 11, 1], [99, 1])
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def random_spans_mask(T: int, density: float, mean_len: float, generator: np.random.Generator) -> np.ndarray:
    """Which tokens to cut out: a given number of them, in a given number of spans.

    Args:
        T: length of the text, ≥ 2.
        density: share of the tokens to cut out, 0 < density < 1.
        mean_len: how long a span is on average, ≥ 1.
        generator: where the chance comes from, and nothing else: the same one in the same state gives the same mask.
            (How many numbers you draw from it, and of which kind, is up to you.)

    Returns:
        (T,) bool with exactly n True, n = T · density, rounded and clipped to 1 ... T − 1, in exactly k spans (runs of
        True), k = n / mean_len, with this n, rounded and clipped to 1 ... min(n, T − n). (Rounding as `round` does;
        halves do not occur.) It begins with False and ends with True, so there are as many runs of False. The lengths
        of the k spans, from left to right, are one of the ways to write n as a sum of k numbers ≥ 1, all of them
        equally likely; the lengths of the runs of False likewise for T − n, independently.

    >>> mask = random_spans_mask(20, 0.3, 2.0, np.random.default_rng(0))
    >>> int(mask.sum()), int((mask[1:] & ~mask[:-1]).sum()), bool(mask[0]), bool(mask[-1])  # 20 · 0.3; 6 / 2
    (6, 3, False, True)
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The layer
#
# With RMSNorm before each branch, and no bias in any of the linear layers,
#
# $$x \leftarrow x + W_O\,\mathrm{heads}\big(N_1(x)\big), \qquad
# \text{scores}_{h,i,j} = q_{h,i} \cdot k_{h,j} + b_{h,i,j},$$
#
# then in a decoder the same with cross-attention, and last $x \leftarrow x + W_2\, \mathrm{ReLU}(W_1 N(x))$. Four
# things are unlike anything in unit 5:
#
# - **The scores are not divided** by $\sqrt{D_h}$.
# - **A head's width is its own.** $D_h$ is called `d_kv`, and $H \cdot d_{kv}$ need not be $D$: the largest T5 has $D =
#   1024$ and 128 heads of width 128, that is 16 384. So $W_Q, W_K, W_V$ are $(H d_{kv}, D)$, and $W_O$ is $(D, H
#   d_{kv})$.
# - **The bias comes from outside.** Position is nothing but $b$, $(1, H, T, T)$, learned, by the bucket of the distance
#   ([`t5_relative_bias`](../unit4_positional_encoding/relative.ipynb)). There is *one* table for the encoder and one
#   for the decoder; in the published weights it lies in layer 0. All layers add the same bias.
# - **Cross-attention has no bias.** Distances between a text and its translation mean nothing.
#
# ### An example to check by hand
#
# $D = 1$, one head of width 1, an encoder layer whose weights are 1, but for the feed-forward network, whose are 0. Two
# tokens, $x = (3, -3)$. RMSNorm makes $(1, -1)$ of them: these are the queries, the keys and the values.
#
# | query | scores, no bias | weights | written | $x$ after |
# |---|---|---|---|---|
# | 1 | (1, −1) | (0.881, 0.119) | 0.762 | 3.762 |
# | −1 | (−1, 1) | (0.119, 0.881) | −0.762 | −3.762 |
#
# With a bias of $\begin{pmatrix} 0 & 2 \\ 2 & 0 \end{pmatrix}$, 2 for the other token, all scores of query 0 are 1, and
# those of query 1 are 1: both write the mean of the values, 0, and $x$ stays.

# %% [markdown]
# ## Exercise `t5_block`: the layer (20 points)
#
# `RMSNorm(d, eps=1e-6)` is imported from the kit. `MultiHeadAttention` of the kit divides its scores and has heads of
# width $D/H$, so it will not do here.

# %%
class T5Block(nn.Module):
    """A layer of T5, pre-norm: self-attention with a bias, in a decoder cross-attention, a feed-forward network.

    Args:
        d: width D of the stream. d_kv: width of a head. H: number of heads; H · d_kv may be any number, not only D.
        d_ff: hidden width F of the feed-forward network. is_decoder: whether it is a layer of the decoder.

    Parameters, as named in the state dict, (out, in): norm1.weight (D,); self_attn.q_proj.weight,
    self_attn.k_proj.weight and self_attn.v_proj.weight (H·d_kv, D), head h owning the rows h·d_kv ... (h+1)·d_kv − 1;
    self_attn.out_proj.weight (D, H·d_kv), with head h in these columns. In a decoder then norm2.weight (D,), and
    cross_attn with the four of self_attn. At last the norm of the feed-forward network, which is norm2.weight in an
    encoder and norm3.weight in a decoder, (D,); ffn.fc1.weight (F, D); ffn.fc2.weight (D, F). There are no others: no
    biases in linear layers, and no table of position biases, which is shared by all layers and comes in as an argument.
    Weights are loaded into your module under these names; a module with another structure inside has a method
    `load_reference(self, state_dict)` that copies such a dict into it; it may be called more than once, and replaces
    all weights. Norms are RMSNorm with eps 1e-6. There is no dropout, and nothing is drawn at random.
    """

    def __init__(self, d: int, d_kv: int, H: int, d_ff: int, is_decoder: bool) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(
        self,
        x: Tensor,
        bias: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Let the tokens read each other, in a decoder then the memory, and then work on each of them.

        Args:
            x: (B, T, D), in the dtype of the parameters.
            bias: (1, H, T, T) or (B, H, T, T), same dtype: added to the scores of self-attention, and of nothing else.
            memory: (B, S, D), what the encoder has made (its last norm included): keys and values of cross-attention.
                Given to a decoder, and None for an encoder.
            mask: bool, True = may attend, of any shape that broadcasts to (B, H, T, T), such as (B, 1, 1, T) for
                padding. None: everything is allowed. In a decoder, query t never attends to a key behind t, whatever
                mask and bias say: self-attention is causal there.
            memory_mask: bool, True = may attend, of any shape that broadcasts to (B, H, T, S); None allows everything.

        Returns:
            (B, T, D), same dtype: x + W_O heads(norm1(x)), called y; in a decoder y + W_O heads(norm2(y), memory),
            called y again; and y + fc2(ReLU(fc1(norm(y)))). The heads take softmax(q kᵀ + bias) v, without a factor for
            the width; in cross-attention softmax(q kᵀ) v, where memory is not normalised again. To a token that may
            attend to nothing, attention writes 0. Differentiable in x, bias, memory and all parameters; no argument is
            changed.

        >>> block = T5Block(1, 1, 1, 1, is_decoder=False)
        >>> state = {f"self_attn.{name}_proj.weight": torch.ones(1, 1) for name in ("q", "k", "v", "out")}
        >>> state |= {"norm1.weight": torch.ones(1), "norm2.weight": torch.ones(1)}
        >>> state |= {"ffn.fc1.weight": torch.ones(1, 1), "ffn.fc2.weight": torch.zeros(1, 1)}
        >>> _ = getattr(block, "load_reference", block.load_state_dict)(state)
        >>> x = torch.tensor([[[3.0], [-3.0]]])
        >>> [round(value, 3) for value in block(x, torch.zeros(1, 1, 2, 2)).flatten().tolist()]
        [3.762, -3.762]
        >>> [round(value, 3) for value in block(x, torch.tensor([[[[0.0, 2.0], [2.0, 0.0]]]])).flatten().tolist()]
        [3.0, -3.0]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## The whole model
#
# Here is T5 out of your layers, as small as it can be written. Look at two lines: the bias is made *once* for each
# side, and passed to every layer; and the logits are the stream times the embedding, times $D^{-1/2}$. Embedding rows
# have entries of size 1 (they feed a stream that is not scaled by anything), so without the factor the tied logits
# would be $\sqrt D$ times too large. Version 1.1 unties the two and drops the factor.

# %%
class T5(nn.Module):
    """Encoder, decoder, one embedding for both sides and for the logits (T5 1.0)."""

    def __init__(self, vocab: int, d: int, d_kv: int, H: int, d_ff: int, n_layers: int) -> None:
        super().__init__()
        self.d = d
        self.embed = nn.Embedding(vocab, d)
        self.encoder_bias = RelativeBias(32, 128, H, bidirectional=True)
        self.decoder_bias = RelativeBias(32, 128, H, bidirectional=False)
        self.encoder = nn.ModuleList(T5Block(d, d_kv, H, d_ff, is_decoder=False) for _ in range(n_layers))
        self.decoder = nn.ModuleList(T5Block(d, d_kv, H, d_ff, is_decoder=True) for _ in range(n_layers))
        self.encoder_norm, self.decoder_norm = RMSNorm(d), RMSNorm(d)

    def forward(self, inputs: Tensor, decoder_inputs: Tensor) -> Tensor:
        """The logits (B, T, vocab), for int64 (B, S) and (B, T) without padding."""
        S, T = inputs.shape[1], decoder_inputs.shape[1]
        memory, bias = self.embed(inputs), self.encoder_bias(S, S)  # one bias for all layers
        for layer in self.encoder:
            memory = layer(memory, bias)
        memory = self.encoder_norm(memory)
        x, bias = self.embed(decoder_inputs), self.decoder_bias(T, T)
        for layer in self.decoder:
            x = layer(x, bias, memory)
        return F.linear(self.decoder_norm(x) * self.d**-0.5, self.embed.weight)


# %% [markdown]
# ## The pictures
#
# **Spans.** Left, twelve masks for a text of 60 tokens, density 0.15 and mean length 3: always 9 tokens in 3 spans.
# (They all end with a hole, because the pieces are laid out in turn.) Below them, for comparison, coins with the same
# density: no two texts have the same number of holes, and most holes are one token wide. Middle, how often a span has
# which length, in a long text; the curve is what random cuts promise, close to a geometric distribution.
#
# **What a bias can do.** Right, where the tokens of a sequence look in a layer whose queries and keys are all 0: the
# pattern is the bias alone, by a table that was set by hand. Head 0 likes what is near, head 1 the token before, head
# 2 what is far away. No token carries a position, and still every row finds its place.
#
# Next: a transformer that has never seen a word, [ViT](vit.ipynb).

# %%
def figure_data(name: str = "masks") -> np.ndarray:
    """What the pictures show.

    "masks": (24, 60), twelve masks of `random_spans_mask`, and twelve of independent coins.
    "lengths": (12,), the share of the spans of a text of 20 000 tokens that have length 1, 2, ... 12.
    "heads": (3, 24, 24), the attention of three heads that have a bias and nothing else.
    """
    if name == "masks":
        generator = np.random.default_rng(6)
        spans = [random_spans_mask(60, 0.15, 3.0, generator) for _ in range(12)]
        return np.concatenate([spans, generator.random((12, 60)) < 0.15])
    if name == "lengths":
        mask = random_spans_mask(20_000, 0.15, 3.0, np.random.default_rng(6))
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
        lengths = edges[1::2] - edges[::2]
        return np.bincount(lengths, minlength=13)[1:13] / len(lengths)
    T, table = 24, torch.zeros(32, 3)
    distance = torch.arange(16.0)
    table[:16, 0] = table[16:, 0] = -0.5 * distance  # buckets of the past, and of the future
    table[1, 1] = 6.0  # one step back
    table[:16, 2] = table[16:, 2] = 0.4 * distance
    bias = RelativeBias(32, 128, 3, bidirectional=True)
    bias.load_state_dict({"weight": table})
    block = T5Block(T, T, 3, 1, is_decoder=False)
    load = getattr(block, "load_reference", block.load_state_dict)
    state = {f"self_attn.{name}_proj.weight": torch.zeros(3 * T, T) for name in "qk"}
    state |= {"ffn.fc1.weight": torch.zeros(1, T), "ffn.fc2.weight": torch.zeros(T, 1)}
    state |= {"norm1.weight": torch.ones(T), "norm2.weight": torch.ones(T)}
    heads = []
    for head in range(3):  # values that are one-hot, and an output that shows one head
        state["self_attn.v_proj.weight"] = torch.eye(T).repeat(3, 1) * T**-0.5
        out = torch.zeros(T, 3 * T)
        out[:, head * T : (head + 1) * T] = torch.eye(T)
        load(state | {"self_attn.out_proj.weight": out})
        x = torch.eye(T)[None]
        with torch.no_grad():
            heads.append((block(x, bias(T, T)) - x)[0])
    return torch.stack(heads).numpy()


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 5, figsize=(17, 3.8), layout="constrained", width_ratios=[2.4, 1.6, 1, 1, 1])
    axes[0].imshow(figure_data("masks"), aspect="auto", cmap="Greys", interpolation="nearest")
    axes[0].axhline(11.5, color="tab:red")
    axes[0].set(title="what is cut out: spans (above), coins (below)", xlabel="token", yticks=[])
    share = figure_data("lengths")
    axes[1].bar(range(1, 13), share, color="tab:blue", label="spans")
    axes[1].plot(range(1, 13), [(1 / 3) * (2 / 3) ** n for n in range(12)], "o-", color="tab:orange", label="geometric")
    axes[1].set(title="length of a span, mean 3", xlabel="tokens", ylabel="share of the spans")
    axes[1].legend()
    for head, (ax, pattern) in enumerate(zip(axes[2:], figure_data("heads"), strict=True)):
        ax.imshow(pattern, vmin=0, vmax=0.6)
        ax.set(title=f"head {head}: bias alone", xlabel="key", ylabel="query" if head == 0 else None)
    fig.savefig("t5.png", dpi=110)
    plt.show()

    text = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week"]
    noise = np.array([word in ("for", "inviting", "last") for word in text])
    numbers = dict(enumerate(text)) | {99: "<0>", 98: "<1>", 97: "<2>", 100: "EOS"}
    for part, tokens in zip(("input: ", "target:"), apply_span_mask(np.arange(10), noise, 99, 100), strict=True):
        print(part, *(numbers[token] for token in tokens.tolist()))
