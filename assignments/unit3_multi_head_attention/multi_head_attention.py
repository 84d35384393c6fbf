# %% [markdown]
# # Multi-head attention in PyTorch
#
# *Unit 3, page 2 of 3. Before: [the mathematics of several heads](multi_head_mathematics.ipynb). Next: [why several
# heads](why_multiple_heads.ipynb). Papers: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.2;
# [Shazeer 2019, One Write-Head is All You Need](https://arxiv.org/abs/1911.02150); [Ainslie et al. 2023,
# GQA](https://arxiv.org/abs/2305.13245).*
#
# The last page was about numbers. This one is about engineering: a module that can be trained, saved and moved; weights
# that come from somebody else's model in somebody else's layout; fewer keys and values than queries; and what all of it
# costs. The formula stays the same throughout:
#
# $$\mathrm{head}_h = \mathrm{softmax}\!\left(\frac{Q_h K_h^\top}{\sqrt{D_h}}\right) V_h, \qquad
# \mathrm{MultiHead}(X_q, X_k, X_v) = [\,\mathrm{head}_1;\ \dots;\ \mathrm{head}_H\,]\, W_O^\top + b_O$$
#
# with $Q = X_q W_Q^\top + b_Q$ and so on, (B, T, D) each, cut into $H$ heads of width $D_h = D/H$. Mostly all three
# inputs are one and the same (self-attention), or keys and values come from a second sequence (cross-attention). They
# can even be three different tensors: look things up by title (key), return the text (value).

# %%
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


# %% [markdown]
# ![Four query heads over four, two and one key-value heads: multi-head, grouped-query and multi-query
# attention](diagrams/multi_head_attention.svg)

# %% [markdown]
# ## A module is more than a function
#
# Three things distinguish an `nn.Module` from a function with weights, and each is a classic way to go wrong:
#
# - **It knows its parameters.** `parameters()`, `state_dict()` and `.to(...)` find an `nn.Parameter`, and modules
#   within modules, if they are attributes. They do not look into plain tensors nor into Python lists: a layer whose
#   heads stand in a list trains nothing, and gives no error.
# - **It has a mode.** Dropout is for training. In eval mode the same input gives the same output. The functional form
#   of dropout does not know the mode unless it is told.
# - **Others call it.** Somebody will give it one token, a batch of one, float64, keys of another width than the
#   queries.

# %% [markdown]
# ## Exercise `mha_torch`: the multi-head attention module (18 points)
#
# The constructor is given. One layer for the queries of all heads, not $H$ small ones: (D, D), whose block of $D_h$
# rows number $h$ belongs to head $h$. Write `forward`.
#
# (Masks: `True` = may attend, in this course as in `F.scaled_dot_product_attention`. `nn.MultiheadAttention`
# means the opposite by `True`. Code that moves from one to the other runs, and looks exactly where it must not.)

# %%
class MultiHeadAttention(nn.Module):
    """Multi-head attention with an output projection.

    Args:
        d_model: D, the width of queries and of the output.
        n_heads: H; it must divide d_model (ValueError). Each head has width Dh = D / H.
        d_kv: the width of the key and value inputs, where it differs from d_model (an encoder of another width).
            Inside, keys and values have width d_model in any case.
        bias: whether all four projections add a bias.
        dropout: probability with which each attention weight is dropped in train mode.

    Parameters, as named in the state dict, (out, in): q_proj.weight (D, D), k_proj.weight (D, d_kv), v_proj.weight
    (D, d_kv), out_proj.weight (D, D), and with bias=True q_proj.bias, k_proj.bias, v_proj.bias, out_proj.bias, (D,)
    each. Rows h·Dh ... (h+1)·Dh − 1 of the first three, and those columns of out_proj.weight, belong to head h. Weights
    are loaded into your module under these names. Should you prefer another structure inside, add a method
    `load_reference(self, state_dict)` that copies such a dict into yours.
    """

    def __init__(
        self, d_model: int, n_heads: int, d_kv: int | None = None, bias: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model {d_model} cannot be cut into {n_heads} heads of equal width")
        d_kv = d_model if d_kv is None else d_kv
        self.n_heads = n_heads
        self.dropout = dropout  # a number: what to do with it, and when, is up to forward
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_kv, d_model, bias=bias)
        self.v_proj = nn.Linear(d_kv, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend from query over key and value.

        Args:
            query: (B, Tq, d_model), in the dtype of the parameters. T = 1 and B = 1 are ordinary cases.
            key: (B, Tk, d_kv); None means query (self-attention).
            value: (B, Tk, d_kv), which may be another tensor than key; None means key.
            mask: bool, True = may attend, of any shape that broadcasts to (B, H, Tq, Tk): (Tq, Tk) for all, (B, 1, 1,
                Tk) for padding, (B, H, Tq, Tk) in full. None: everything is allowed.
            need_weights: whether to return the attention weights too.

        Returns:
            out (B, Tq, d_model); or with need_weights=True the tuple (out, weights), weights (B, H, Tq, Tk): the
            softmax of each head, as it is before dropout; a masked pair has weight exactly 0.

        A query whose whole row is masked gets weights 0, so its output is the bias of out_proj (0 without biases);
        gradients stay finite. In train mode each weight is dropped with probability `dropout`, independently of the
        others, by torch's default generator, and those that stay are divided by 1 − dropout; in eval mode, or with
        dropout=0, nothing is drawn. The result is differentiable in the inputs and all parameters; no argument is
        changed.

        `F.scaled_dot_product_attention` may be used here, `nn.MultiheadAttention`, `F.multi_head_attention_forward` and
        the ready-made MultiHeadAttention of autograder.given may not.

        >>> a = math.sqrt(math.log(3.0))
        >>> mha = MultiHeadAttention(2, 2, bias=False)
        >>> for parameter in mha.parameters():
        ...     _ = nn.init.eye_(parameter)
        >>> out, weights = mha(torch.tensor([[[0.0, a], [a, 0.0]]]), need_weights=True)
        >>> [[round(value, 3) for value in row] for row in out[0].tolist()]
        [[0.524, 0.786], [0.786, 0.524]]
        >>> weights.shape  # (B, H, Tq, Tk)
        torch.Size([1, 2, 2, 2])
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## Three matrices in one
#
# In self-attention $W_Q$, $W_K$ and $W_V$ are applied to the same input, so one product with the stacked matrix does
# the work of three, which a GPU likes better. Nearly every published model stores its weights like that, and there are
# three ways to do it. Loading a checkpoint means knowing which one you have in front of you, since all of them have
# plausible shapes.
#
# | layout | shape | what is in it | found in |
# |---|---|---|---|
# | `"qkv"` | (3D, D) | all of $W_Q$, then all of $W_K$, then all of $W_V$ | `nn.MultiheadAttention.in_proj_weight` |
# | `"per_head"` | (3D, D) | $q_1 k_1 v_1\, q_2 k_2 v_2 \dots$, blocks of $D_h$ rows | GPT-NeoX, BLOOM |
# | Conv1D | (D, 3D) | (in, out) instead of (out, in): the transpose of `"qkv"` | GPT-2 (`c_attn`) |
#
# The biases are stacked like the rows: (3D,). GPT-2 is nasty in one more respect: its output projection `c_proj` is
# stored (in, out) as well, but it is *square*. If you forget to transpose `c_attn`, you get a shape error. If you
# forget `c_proj`, you get a model that talks nonsense.
#
# By hand, with $D = 2$, $H = 2$, and the rows of $W_Q$ called $q_1, q_2$ (each head has one): `"qkv"` stacks $q_1, q_2,
# k_1, k_2, v_1, v_2$ and `"per_head"` $q_1, k_1, v_1, q_2, k_2, v_2$.

# %% [markdown]
# ## Exercise `fused_qkv_layouts`: three matrices in one, and other people's layouts (10 points)
#
# All three functions take weights and biases alike. Whatever the layout, a model whose weights went through them must
# compute what it did before.

# %%
def fuse_qkv(Wq: Tensor, Wk: Tensor, Wv: Tensor) -> Tensor:
    """Stack three projections in "qkv" layout.

    Args:
        Wq, Wk, Wv: three weights (D, D) in (out, in) layout, or three biases (D,).

    Returns:
        (3D, D), or (3D,) for biases: Wq on top, then Wk, then Wv. So x @ fused.T is [q; k; v] side by side. Same dtype,
        differentiable; the arguments are not changed.

    >>> fuse_qkv(torch.tensor([1, 2]), torch.tensor([3, 4]), torch.tensor([5, 6])).tolist()
    [1, 2, 3, 4, 5, 6]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def split_qkv(W: Tensor, layout: str = "qkv", H: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Take a fused projection apart: (Wq, Wk, Wv).

    Args:
        W: (3D, D) in (out, in) layout, or a bias (3D,).
        layout: "qkv" (Wq, Wk, Wv below each other; H plays no part) or "per_head" (for each head its Dh rows of Wq,
            then those of Wk, then those of Wv, and then the next head).
        H: number of heads; it divides D, and Dh = D / H.

    Returns:
        (Wq, Wk, Wv), each (D, D), or (D,) for a bias, with head h in rows h·Dh ... (h+1)·Dh − 1. Same dtype,
        differentiable; views of W are fine. W is not changed.

    >>> bias = torch.tensor([1, 3, 5, 2, 4, 6])  # D = 2 with two heads: q1 k1 v1 q2 k2 v2
    >>> [part.tolist() for part in split_qkv(bias, layout="per_head", H=2)]
    [[1, 2], [3, 4], [5, 6]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def from_conv1d(W: Tensor) -> Tensor:
    """From GPT-2's Conv1D layout to that of nn.Linear: (in, out) -> (out, in).

    Args:
        W: a weight (in, out), such as c_attn.weight (D, 3D) or c_proj.weight (D, D); or a bias (out,), which is the
            same in both layouts.

    Returns:
        (out, in), or the bias as it is. Conv1D computes x @ W + b, and F.linear(x, from_conv1d(W), b) is equal to it.
        Same dtype, differentiable; a view is fine. W is not changed.

    >>> from_conv1d(torch.tensor([[1, 2], [3, 4]])).tolist()
    [[1, 3], [2, 4]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Fewer keys than queries
#
# A model that writes a text keeps the keys and values of all earlier tokens in memory, the **KV cache** (unit 6). With
# $H$ heads of width $D_h$ that is $2 H D_h = 2D$ numbers for each token, layer and example, and every one of them is
# read again for every new token. It is this reading, not the arithmetic, that limits how fast a large model writes.
#
# **Multi-query attention** lets all query heads share a single key head and a single value head. **Grouped-query
# attention** (GQA) is the compromise that Llama and most of its relatives use: $H_q$ query heads, $H_{kv}$ key-value
# heads, and each of the latter serves a *group* of $g = H_q / H_{kv}$ query heads that are neighbours:
#
# $$\mathrm{head}_h = \mathrm{softmax}\!\left(\frac{Q_h K_{\lfloor h/g \rfloor}^\top}{\sqrt{D_h}}\right)
# V_{\lfloor h/g \rfloor}$$
#
# With $H_q = 6$ and $H_{kv} = 3$ the groups are
#
# | query head | 0 | 1 | 2 | 3 | 4 | 5 |
# |---|---|---|---|---|---|---|
# | key-value head | 0 | 0 | 1 | 1 | 2 | 2 |
#
# and not 0, 1, 2, 0, 1, 2, which has the same shape and belongs to another model. $H_{kv} = H_q$ is ordinary multi-head
# attention and $H_{kv} = 1$ multi-query attention. A key head serves a whole group, so what it is told in training, its
# gradient, is the sum over that group.

# %% [markdown]
# ## Exercise `grouped_query_attention`: grouped-query attention (12 points)
#
# The queries keep their number of heads; nothing is averaged. You can repeat the keys and values until there are as
# many as queries. (Better, though no points depend on it: get by without a copy, by giving the queries one more axis.)

# %%
def gqa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
    """Grouped-query attention: query head h uses key-value head h // (Hq / Hkv), at scale 1/√Dh.

    Args:
        q: (B, Hq, Tq, Dh).
        k, v: (B, Hkv, Tk, Dh). Hkv = Hq and Hkv = 1 are ordinary cases. Any float dtype and memory layout.
        mask: bool, True = may attend, broadcastable to (B, Hq, Tq, Tk).
        is_causal: query i sees keys 0..i (counted from the top left corner, also where Tq ≠ Tk). With a mask, both must
            allow a pair.

    Returns:
        (B, Hq, Tq, Dh) in the dtype of q. A query that may attend to nothing yields zeros, with finite gradients.
        Differentiable in q, k and v; no argument is changed.

    Raises:
        ValueError: if Hkv does not divide Hq.

    `F.scaled_dot_product_attention` may be used here, but not its option `enable_gqa`.

    >>> q, k = torch.zeros(1, 4, 1, 2), torch.zeros(1, 2, 1, 2)
    >>> v = torch.tensor([[[[1.0, 1.0]], [[2.0, 2.0]]]])  # two key-value heads, one token
    >>> gqa(q, k, v)[0, :, 0].tolist()
    [[1.0, 1.0], [1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## What it costs
#
# Four numbers describe the price of a layer. For $T_q$ queries and $T_k$ keys, width $D$ and $H$ heads:
#
# - **Parameters.** Four matrices and four biases. $H$ does not appear: more heads are narrower heads.
# - **FLOPs**, floating-point operations of the matrix products (the rest is small change). A product of (m, n) and (n,
#   p) takes $m \cdot n \cdot p$ multiplications and as many additions, so $2mnp$. Go through the layer product by
#   product: which inputs have $T_q$ rows, which $T_k$? What is summed over in $QK^\top$, in how many heads?
# - **Bytes of the scores**, (B, H, Tq, Tk) of them. Here $H$ does count. This array is why long sequences run out of
#   memory, and why unit 7 never writes it down.
# - **Bytes of the KV cache**: keys and values for $T_k$ tokens, in `n_kv_heads` heads of width $D/H$. How many bytes a
#   number takes is up to the dtype.
#
# ### An example to check by hand
#
# $B = 1$, $T_q = T_k = 2$, $D = 4$, $H = 2$, with biases. Parameters: $4 \cdot 16 + 4 \cdot 4 = 80$. A projection takes
# $2 \cdot 2 \cdot 4 \cdot 4 = 64$ FLOPs, and there are four, 256 in all. $QK^\top$ takes $2 \cdot 2 \cdot 2 \cdot 2 =
# 16$ in each of the two heads, and the product with $V$ as many: 64 more, so 320. The scores are $2 \cdot 2 \cdot 2$
# numbers, in float32 32 bytes. The cache in float16 with both heads: keys and values, 2 tokens, 2 heads, width 2, 2
# bytes each, 32 bytes; with one shared head 16.

# %% [markdown]
# ## Exercise `mha_cost`: what multi-head attention costs (8 points)
#
# The size of the cache depends on two more choices, so that entry of the dictionary is a function of them.

# %%
def mha_cost(B: int, Tq: int, Tk: int, D: int, H: int, bias: bool) -> dict[str, int | Callable[..., int]]:
    """The price of one multi-head attention layer (forward pass, no mask, no dropout).

    Args:
        B, Tq, Tk: number of examples, queries and keys. Queries are projected from (B, Tq, D), keys and values from
            (B, Tk, D).
        D, H: width and number of heads; H divides D.
        bias: whether the four projections have biases.

    Returns a dict of whole numbers and one function:
        "params": number of parameters of the four projections.
        "flops": of all matrix products, the four projections and the two of attention in every head. A multiplication
            and an addition are two FLOPs. Biases, scale and softmax are not counted.
        "score_bytes": of the attention scores of all heads in float32.
        "kv_cache_bytes": a function (dtype, n_kv_heads) that returns the bytes of the keys and values of all B · Tk
            tokens, with n_kv_heads key-value heads of width D / H. dtype is what np.dtype accepts, such as "float16" or
            np.float64. (Grouped-query attention changes the other three numbers as well; those are for n_kv_heads = H.)

    >>> cost = mha_cost(1, 2, 2, 4, 2, True)
    >>> cost["params"], cost["flops"], cost["score_bytes"]
    (80, 320, 32)
    >>> cost["kv_cache_bytes"]("float16", 2), cost["kv_cache_bytes"]("float16", 1)
    (32, 16)
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# One layer as in a model of 7 billion parameters ($D = 4096$, $H = 32$, and 32 such layers), for one text of growing
# length. Left: FLOPs per layer. Doubling a short text doubles the work, since the projections dominate; from about $2D$
# tokens on the attention does, and doubling means four times the work. Right: the cache of all layers in float16, next
# to the 14 GB of the model's own weights. With all 32 heads a text of 32 000 tokens takes more memory than the model;
# with 8 key-value heads a quarter of that.
#
# Next: what are several heads good for, and which of them does a trained model need? [Why several
# heads](why_multiple_heads.ipynb).

# %%
LENGTHS = 2 ** np.arange(7, 18)


def figure_data() -> np.ndarray:
    """(4, 11) for texts of LENGTHS tokens: FLOPs of one layer, and bytes of 32 layers' cache with 32, 8 and 1 heads."""
    rows = []
    for T in LENGTHS.tolist():
        cost = mha_cost(1, T, T, 4096, 32, False)
        rows.append([cost["flops"], *(32 * cost["kv_cache_bytes"]("float16", heads) for heads in (32, 8, 1))])
    return np.array(rows, dtype=np.float64).T


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    flops, *caches = figure_data()
    fig, axes = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    axes[0].loglog(LENGTHS, flops, marker="o", label="one layer", base=2)
    linear = flops[0] * LENGTHS / LENGTHS[0]
    axes[0].loglog(LENGTHS, linear, linestyle=":", color="grey", label="if it were linear", base=2)
    axes[0].axvline(2 * 4096, linestyle="--", color="grey", linewidth=0.8, label="T = 2D")
    axes[0].set_ylabel("FLOPs")
    for cache, name in zip(caches, ["multi-head (32)", "grouped-query (8)", "multi-query (1)"], strict=True):
        axes[1].loglog(LENGTHS, cache / 1e9, marker="o", label=name, base=2)
    axes[1].axhline(14, linestyle="--", color="grey", linewidth=0.8, label="the model's weights")
    axes[1].set_ylabel("KV cache in GB (float16, 32 layers)")
    for ax in axes:
        ax.set_yscale("log", base=10)
        ax.set_xlabel("tokens")
        ax.legend()
    fig.savefig("mha_cost.png", dpi=110)
    plt.show()

    torch.manual_seed(0)
    x = torch.randn(1, 5, 8)
    print("self-attention:", tuple(MultiHeadAttention(8, 2)(x).shape))
    print("12 query heads, 3 key heads:", tuple(gqa(torch.randn(1, 12, 5, 4), *torch.randn(2, 1, 3, 5, 4)).shape))

# %% [markdown]
# ## Further reading
#
# - Harvard NLP, [The annotated transformer](https://nlp.seas.harvard.edu/annotated-transformer/), the paper as
#   code.
# - Shazeer 2019, [One write-head is all you need](https://arxiv.org/abs/1911.02150); Ainslie et al. 2023,
#   [GQA](https://arxiv.org/abs/2305.13245).
# - Brendan Bycroft, [LLM visualization](https://bbycroft.net/llm): every matrix of a small model in three
#   dimensions, interactive.
