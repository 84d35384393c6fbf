# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Scaled dot-product attention
#
# *Unit 2, page 1 of 3. Before: [attention from scratch](../unit1_attention_fundamentals/attention_from_scratch.ipynb).
# Next: [the self-attention layer](self_attention.ipynb). Paper:
# [Vaswani et al. 2017, Attention Is All You Need](https://arxiv.org/abs/1706.03762), equation 1 and section 3.2.1.*
#
# In unit 1 a decoder looked back at the words of a source sentence and took a weighted average of them. This page turns
# that idea into the one operation that every transformer is made of, and makes it fit for use: any number of leading
# axes, masks, half precision, gradients, and the odd case in which a query is allowed to look at nothing at all.

# %% [markdown]
# ![Four matrices with their shapes: queries times keys transposed are scores, divided and masked; a softmax along each
# row makes weights, which blend the values; one query's row is marked all the way](diagrams/scaled_dot_product.svg)

# %% [markdown]
# ## A dictionary that never says no
#
# A Python dictionary answers a *query* with the *value* whose *key* is equal to it, or with an error. Attention is the
# soft version. Every key answers a little, in proportion to how well it fits the query, and the result is a blend of
# all the values. With queries $Q$ of shape $(T_q, D_k)$, keys $K$ of shape $(T_k, D_k)$ and values $V$ of shape
# $(T_k, D_v)$:
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{D_k}}\right)V$$
#
# | step | what happens | shape |
# |---|---|---|
# | $S = QK^\top / \sqrt{D_k}$ | how well does query $i$ fit key $j$? | $(T_q, T_k)$ |
# | $A = \mathrm{softmax}(S)$ | query $i$ shares one unit of attention among the keys | $(T_q, T_k)$, rows sum to 1 |
# | $O = AV$ | the values, blended | $(T_q, D_v)$ |
#
# Three sizes are free: $T_q$ and $T_k$ need not be equal, and neither need $D_k$ and $D_v$. Only $D_k$ is divided by,
# for the reason that [why_scale](../unit1_attention_fundamentals/attention_mathematics.ipynb) measured: a sum of $D_k$
# products of unit-variance numbers has variance $D_k$, and without the division the softmax of a wide model puts
# everything on one key and passes no gradient to the others.
#
# Anything to the left of $T$ and $D$ (the batch, the heads of unit 3) just comes along: attention treats each of these
# slices alone.
#
# ### An example to check by hand
#
# One query, two keys, $D_k = 4$, so the scores are divided by $\sqrt 4 = 2$:
#
# $$q = (2, 0, 0, 0), \qquad k_1 = (\ln 3, 0, 0, 0), \quad k_2 = (0, 1, 0, 0), \qquad v_1 = (4, 0), \quad v_2 = (0, 8)$$
#
# The scores are $2\ln 3 / 2 = \ln 3$ and $0$. Their exponentials are $3$ and $1$, so the weights are $\frac34$ and
# $\frac14$, and the output is $\frac34 (4, 0) + \frac14 (0, 8) = (3, 2)$. Forget the scale and you get weights
# $\frac9{10}$ and $\frac1{10}$ instead.

# %%
import math

import torch
from torch import Tensor

# %% [markdown]
# ## Who may look at whom: masks
#
# A mask is a boolean array over (query, key) pairs. In this course **True means "may attend"**, as in
# `torch.nn.functional.scaled_dot_product_attention`. Be careful when you read other code: `nn.MultiheadAttention` means
# the opposite, and some libraries use a float array that is *added* to the scores (0 for yes, $-\infty$ for no).
#
# A forbidden key must get weight **exactly zero**: not a small number, and not a weight that depends on what the
# forbidden key says. The clean way is to send its score to $-\infty$ before the softmax, because $e^{-\infty} = 0$. A
# "very negative" number such as $-10^9$ looks equivalent until the day it is not: half precision cannot hold it, and in
# a row with nothing but forbidden keys it cancels out and every forbidden key gets $1/T_k$.
#
# That row deserves a thought. If *all* scores are $-\infty$, the softmax divides zero by zero and the answer is NaN,
# which then spreads through the whole network. Such rows occur in practice (padded queries, an empty sentence in a
# batch), and the rule here is the one of torch: **a query that may attend to nothing gets the output 0**, and gradients
# stay finite.
#
# ### Dropout on the weights
#
# During training one may drop attention weights at random: each weight is set to zero with probability $p$, and those
# that survive are divided by $1 - p$ so that the expected output does not change. It acts on the weights *after* the
# softmax; dropping a score before it would mean something else.

# %% [markdown]
# ## Exercise `sdpa_torch`: scaled dot-product attention (16 points)
#
# Write the operation of equation 1, with all that was said above. Everything the checks look at is in the docstring.
#
# Two hints. First, Python's `x *= 2` on a tensor writes into the caller's memory. Second, be honest about precision:
# float16 ends at 65504, and a dot product of two long vectors gets there faster than you think.


# %% exercise="sdpa_torch"
def scaled_dot_product_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Blend the values by softmax(q kᵀ · scale), over the keys that each query may see.

    Args:
        q: queries (..., Tq, Dk), floating point.
        k: keys (..., Tk, Dk), with the same leading axes, dtype and device as q.
        v: values (..., Tk, Dv). Dv may differ from Dk, Tk from Tq, and there may be any number of leading axes, none
            included. All three may be non-contiguous views.
        attn_mask: bool, True = may attend; of any shape that broadcasts to (..., Tq, Tk), such as (Tq, Tk), or
            (B, 1, 1, Tk) for q of shape (B, H, Tq, Dk).
        is_causal: if True, query i may see keys 0..i only. The alignment is top-left (the first query sees the first
            key), also where Tq and Tk differ. Together with attn_mask both must allow a pair (AND).
        scale: what the products are multiplied by; None means 1/√Dk.
        dropout_p: in [0, 1). If above 0, each softmax weight is set to 0 independently with this probability and the
            survivors are divided by 1 − dropout_p. At 0 nothing is drawn.
        generator: the source of all dropout draws; None means torch's default generator. With a generator given,
            torch's global random state stays as it is. Which draws you make is up to you; the same seed must give the
            same result.

    Returns:
        (..., Tq, Dv), dtype and device of q. In float16 and bfloat16 the error stays within 3 times that of the plain
        formula in the same dtype; computing in float32 inside is the easy way to be well below that.

    A query that may attend to nothing (its whole row is masked, or Tk = 0) gets the output 0, and all gradients stay
    finite. Tq = 0 gives an empty result. The result is differentiable in q, k and v; no argument is changed.

    Write the operation yourself: `F.scaled_dot_product_attention`, `nn.MultiheadAttention`,
    `F.multi_head_attention_forward`, `torch.nn.attention` and other fused attention calls may not be used, nor may the
    ready-made attention of `autograder.given`.
    `torch.softmax` and matrix products may.

    >>> q = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    >>> k = torch.tensor([[math.log(3.0), 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    >>> v = torch.tensor([[4.0, 0.0], [0.0, 8.0]])
    >>> [round(x, 4) for x in scaled_dot_product_attention(q, k, v)[0].tolist()]
    [3.0, 2.0]
    >>> scaled_dot_product_attention(q, k, v, attn_mask=torch.tensor([[False, True]])).tolist()
    [[0.0, 8.0]]
    >>> scaled_dot_product_attention(q, k, v, attn_mask=torch.tensor([[False, False]])).tolist()
    [[0.0, 0.0]]
    >>> scaled_dot_product_attention(q, k, v, is_causal=True).tolist()  # query 0 sees key 0
    [[4.0, 0.0]]
    """
    ### BEGIN SOLUTION
    work = torch.promote_types(q.dtype, torch.float32)  # half precision is computed in float32
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = (q.to(work) @ k.to(work).mT) * scale  # (..., Tq, Tk)

    allowed = attn_mask
    if is_causal:
        lower = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        allowed = lower if allowed is None else allowed & lower
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)

    weights = torch.softmax(scores, dim=-1)
    if allowed is not None:
        weights = weights.masked_fill(~allowed, 0.0)  # turns the NaN of an empty row into zeros
    if dropout_p > 0.0:
        drawn = torch.rand(weights.shape, generator=generator, dtype=work, device=q.device)
        weights = weights * (drawn >= dropout_p) / (1.0 - dropout_p)
    return (weights @ v.to(work)).to(q.dtype)
    ### END SOLUTION


# %% [markdown]
# ## The causal mask
#
# A language model predicts the next token, so token $i$ must not see the tokens after it; it would only have to copy
# the answer. The causal mask allows exactly the pairs in which the key is not later than the query. For four tokens
# that is the lower triangle, diagonal included, because a token may always see itself.
#
# With as many queries as keys there is nothing to argue about. But when a model generates text it keeps the keys of the
# tokens so far and asks with the *newest* tokens only: $T_q = 1$ query against $T_k = 8$ keys. Which key does query 0
# correspond to? There are two answers:
#
# | alignment | query $i$ sees keys | who means it |
# |---|---|---|
# | top-left | $0 \dots i$ | every flag called `is_causal`, the exercise above included |
# | bottom-right | $0 \dots i + (T_k - T_q)$ | `causal_mask` below, and text generation |
#
# Drawn for two queries and four keys (■ may attend, · may not):
#
# ```
#   top-left            bottom-right
#   ■ · · ·             ■ ■ ■ ·
#   ■ ■ · ·             ■ ■ ■ ■
# ```
#
# Both are one formula, "query $i$ sees key $j$ where $j \le i + \text{offset}$", with offset 0 or $T_k - T_q$. The
# offset is the number of keys that came before the first query. Units 4 ([relative
# positions](../unit4_positional_encoding/relative.ipynb)) and 6 (the key-value cache) meet the same number again.

# %% [markdown]
# ## Exercise `causal_mask`: the causal mask (6 points)
#
# One line is enough, but check it with a case in which $T_q \ne T_k$: a square example cannot tell the two alignments
# apart.


# %% exercise="causal_mask"
def causal_mask(
    Tq: int, Tk: int | None = None, offset: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    """The mask under which query i may attend to key j exactly if j ≤ i + offset.

    Args:
        Tq: number of queries, ≥ 0.
        Tk: number of keys, ≥ 0; None means Tq.
        offset: how many keys lie before query 0; None means Tk − Tq (bottom-right: the last query sees every key). It
            may be negative (the first rows are then empty) or large (all True). 0 gives top-left.
        device: where the mask is created; None means torch's default device.

    Returns:
        bool (Tq, Tk), True = may attend. Row i holds i + 1 + offset leading Trues, clipped to 0..Tk. With the default
        offset and Tq > Tk the first Tq − Tk rows are therefore empty.

    >>> causal_mask(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    >>> causal_mask(2, 4).int().tolist()
    [[1, 1, 1, 0], [1, 1, 1, 1]]
    >>> causal_mask(2, 4, offset=0).int().tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0]]
    """
    ### BEGIN SOLUTION
    Tk = Tq if Tk is None else Tk
    offset = Tk - Tq if offset is None else offset
    query = torch.arange(Tq, device=device)[:, None]
    key = torch.arange(Tk, device=device)[None, :]
    return key <= query + offset
    ### END SOLUTION


# %% [markdown]
# ## Padding
#
# Sentences have different lengths, tensors do not. So the short ones are filled up with a padding token, and nobody may
# attend to it:
#
# ```
#   lengths = [4, 2]      the  cat  sat  down        ■ ■ ■ ■
#                         yes  .    PAD  PAD         ■ ■ · ·
# ```
#
# It is the *keys* that are masked. A padded position still asks its own query and gets some output; that output means
# nothing, and whoever computes the loss leaves it out. What matters is the other direction: **whatever is stored in the
# padding, the outputs of the real tokens must not move.** That sentence is a test, and a good one.
#
# In a decoder a pair has to pass both masks, the padding mask *and* the causal one. The two have different axes, and
# this is where things go wrong silently:
#
# | mask | knows about | shape that broadcasts against scores (B, H, Tq, Tk) |
# |---|---|---|
# | padding | example and key | (B, 1, 1, Tk) |
# | causal | query and key | (1, 1, Tq, Tk), or simply (Tq, Tk) |
# | both | example, query, key | (B, 1, Tq, Tk) |
#
# The 1 stands where the heads will be (unit 3): all heads of a sentence share its mask. Leave it out, and a (B, Tq, Tk)
# mask is lined up with (H, Tq, Tk): with B ≠ H you get an error and are lucky, with B = H sentence 2's mask is applied
# to head 2.

# %% [markdown]
# ## Exercise `padding_and_combined_masks`: padding, and masks together (8 points)


# %% exercise="padding_and_combined_masks"
def lengths_to_mask(lengths: Tensor, T: int) -> Tensor:
    """Mark the real tokens of right-padded sequences.

    Args:
        lengths: integer (B,), each in 0..T: the number of real tokens of each sequence.
        T: the padded length, ≥ 0.

    Returns:
        bool (B, T) on the device of lengths; [b, t] is True (a real token, may be attended to) exactly if t <
        lengths[b]. Length 0 gives a row of False, length T a row of True.

    >>> lengths_to_mask(torch.tensor([2, 0, 3]), 3).int().tolist()
    [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    """
    ### BEGIN SOLUTION
    return torch.arange(T, device=lengths.device) < lengths[:, None]
    ### END SOLUTION


def combine_masks(key_mask: Tensor, causal: Tensor | None = None) -> Tensor:
    """One mask for scores of shape (B, H, Tq, Tk): a pair is allowed if every given mask allows it (AND).

    Args:
        key_mask: bool (B, Tk), True = this key may be attended to (from lengths_to_mask).
        causal: bool (Tq, Tk), True = may attend (from causal_mask); None means that every query sees every real key.

    Returns:
        bool (B, 1, Tq, Tk): [b, 0, i, j] is True if key_mask[b, j] and causal[i, j]. Without causal there is no Tq to
        know, and the result is (B, 1, 1, Tk), which broadcasts over the queries. The axis of length 1 in second place
        is for the heads.

    Queries are not masked: the row of a padded query stays as the masks say. No argument is changed.

    >>> key_mask = torch.tensor([[True, True], [True, False]])
    >>> combine_masks(key_mask).shape
    torch.Size([2, 1, 1, 2])
    >>> combine_masks(key_mask, torch.tensor([[True, False], [True, True]]))[:, 0].int().tolist()
    [[[1, 0], [1, 1]], [[1, 0], [1, 0]]]
    """
    ### BEGIN SOLUTION
    mask = key_mask[:, None, None, :]  # (B, 1, 1, Tk)
    return mask if causal is None else mask & causal  # (B, 1, Tq, Tk)
    ### END SOLUTION


# %% [markdown]
# ## The picture
#
# The same eight tokens (the last two are padding) under four masks. A trick to see the weights of an attention function
# that returns only its output: pass the identity matrix as values. Row $i$ of $A \cdot I$ is row $i$ of $A$.
#
# Read a heatmap like a matrix: each **row** is a query and sums to 1, each **column** is a key. Look for three things:
# the upper triangle is empty wherever the causal mask is on; the columns of the padding are empty wherever the padding
# mask is on; and a masked row does not just lose its forbidden entries, the remaining ones grow, since they share the
# whole unit of attention.
#
# Next: where do $q$, $k$ and $v$ come from? In [self-attention](self_attention.ipynb) all three come from the same
# sequence.

# %%
TOKENS = ["the", "cat", "sat", "on", "the", "mat", "[pad]", "[pad]"]
TITLES = ["no mask", "causal", "padding", "causal and padding"]


def figure_data() -> Tensor:
    """The attention weights (4, T, T), queries by keys, under four masks in the order of TITLES."""
    generator = torch.Generator().manual_seed(4)
    T = len(TOKENS)
    q, k = (1.5 * torch.randn(T, 16, generator=generator) for _ in range(2))
    causal = causal_mask(T)
    key_mask = lengths_to_mask(torch.tensor([6]), T)
    masks = [None, causal, combine_masks(key_mask)[0, 0], combine_masks(key_mask, causal)[0, 0]]
    return torch.stack([scaled_dot_product_attention(q, k, torch.eye(T), attn_mask=mask) for mask in masks])


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    weights = figure_data()
    fig, axes = plt.subplots(1, 4, figsize=(15, 4.4), sharey=True, layout="constrained")
    for ax, title, panel in zip(axes, TITLES, weights, strict=True):
        # Exact zeros are left white, so that "no attention" and "hardly any" look different.
        picture = ax.imshow(panel.masked_fill(panel == 0, math.nan).numpy(), cmap="viridis", vmin=0.0, vmax=1.0)
        ax.set_title(title)
        ax.set_xticks(range(len(TOKENS)), TOKENS, rotation=60)
        ax.set_yticks(range(len(TOKENS)), TOKENS)
        ax.set_xlabel("key")
    axes[0].set_ylabel("query")
    fig.colorbar(picture, ax=axes, label="attention weight (white: exactly 0)", shrink=0.8)
    fig.savefig("attention_heatmap.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), section 3.2.
# - [Transformer Explainer](https://poloclub.github.io/transformer-explainer/): a small GPT at work in the browser,
#   masks included, interactive.
# - PyTorch,
#   [scaled_dot_product_attention](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html),
#   the function that yours agrees with.
