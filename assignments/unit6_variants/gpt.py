# %% [markdown]
# # GPT: a transformer that only writes
#
# *Unit 6, page 2 of 5, about 3 hours. Before: [BERT](bert.ipynb). Next: [T5](t5.ipynb). Papers: Radford et al. 2018,
# [Improving Language Understanding by Generative
# Pre-Training](https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf); Radford
# et al. 2019, [Language Models are Unsupervised Multitask
# Learners](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf),
# section 2.3, which is the model of this page; [Brown et al. 2020, GPT-3](https://arxiv.org/abs/2005.14165). Further
# reading: Jay Alammar's [Illustrated GPT-2](https://jalammar.github.io/illustrated-gpt2/), and Andrej Karpathy's
# [nanoGPT](https://github.com/karpathy/nanoGPT), a whole training program that one can read in an afternoon.*
#
# Take the transformer of [unit 5](../unit5_transformer/transformer.ipynb), throw the encoder away, and
# cross-attention with it. What is left is a stack of layers in which each token sees itself and what came before it: a
# **language model**. It is asked one question, *what comes next?*, and asked it at every place at once: because nobody
# sees the future, one pass over $T$ tokens gives $T$ predictions, each as honest as if the text had ended there.
#
# | | Transformer (2017) | BERT (2018) | GPT-2 (2019) |
# |---|---|---|---|
# | made of | encoder, decoder | encoder | **decoder**, without cross-attention |
# | a token sees | all; or what is before it | all | **what is before it** |
# | norm | LayerNorm, post | LayerNorm, post | LayerNorm, **pre**, and one at the end |
# | positions | sinusoids, added | learned, added | learned, added |
# | scores | divided by $\sqrt{D_h}$ | divided | divided |
# | activation | ReLU | GELU (erf) | GELU (**tanh**) |
# | input | source; target so far | [CLS] A [SEP] B [SEP] | **running text** |
# | is asked for | next token of the target | hidden tokens; is B next? | **next token** |
# | tied | embeddings, output | embedding, output | embedding, output |
#
# Why these changes? *No encoder*: without pairs of texts there is nothing to encode, and running text is what there is
# plenty of. *Pre-LN*: the deeper the stack, the harder post-LN is to train ([unit
# 5](../unit5_transformer/residual.ipynb)); the stream then needs a norm before the logits. *Learned positions, GELU*:
# the first are simpler, the second was in fashion, and both did well. *Tied*: the matrix that looks tokens up also
# scores them ([Press and Wolf 2017](https://arxiv.org/abs/1608.05859)), which saves $V \cdot D$ parameters; the
# smallest GPT-2 has 124 million in all, and would have 39 million more.

# %% [markdown]
# ![Left, GPT from bottom to top: tokens, embedding plus positions, two pre-LN layers, a final norm, and logits by the
# embedding matrix again; right, writing with a cache: one new token asks, the keys and values of all earlier ones lie
# ready](diagrams/gpt.svg)

# %% [markdown]
# ## The model
#
# $$x^0_t = E[\mathrm{id}_t] + P[\mathrm{pos}_t], \qquad
# x \leftarrow x + \mathrm{MHA}(N_1(x)), \quad x \leftarrow x + \mathrm{FFN}(N_2(x)), \qquad
# z_t = N(x_t)\, E^\top$$
#
# $E$ is $(V, D)$, $P$ is $(\mathrm{block}, D)$, and $N$, $N_1$, $N_2$ are layer norms with $\varepsilon = 10^{-5}$.
# With $F = 4D$ a layer has $12D^2 + 13D$ parameters, as in [unit 5](../unit5_transformer/encoder.ipynb), and the whole
# model $VD + \mathrm{block}\cdot D + n(12D^2 + 13D) + 2D$. For the smallest GPT-2 ($V = 50257$, block 1024, $D = 768$,
# $n = 12$) that is 124 439 808.
#
# **The loss** is the mean cross-entropy over all places: the logarithm of the
# [perplexity](../unit0_prerequisites/language_models.ipynb). The target of a token is the token after it. Somebody has
# to shift, exactly once: here it is the caller, who has a text of $T + 1$ tokens and passes `ids = text[:, :-1]` and
# `targets = text[:, 1:]`. If the model shifted again, it would learn to predict the token after next, its loss would
# fall as prettily as ever, and it would write every other word.
#
# **GELU with tanh.** The original code of GPT-2 approximates the [GELU](https://arxiv.org/abs/1606.08415): $\frac
# x2\big(1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715\,x^3))\big)$. It differs from the one with erf by at most $4.7 \cdot
# 10^{-4}$: too little to notice, and enough to spoil a comparison with the published weights. `FeedForward(d, d_ff,
# "gelu_tanh")` has it.
#
# ### An example to check by hand
#
# Two tokens, $D = 2$, and no layers at all: $E = \begin{pmatrix} 1 & 0 \\ 0 & 1\end{pmatrix}$, $P = \begin{pmatrix} 0 &
# 0 \\ 0 & 2\end{pmatrix}$, and a norm with weight 1 and bias 0. The text is 0 0 1, so ids 0 0 and targets 0 1.
#
# | place | id | $E + P$ | normalised | logits | target | loss |
# |---|---|---|---|---|---|---|
# | 0 | 0 | (1, 0) | (1, −1) | (1, −1) | 0 | $\ln(1 + e^{-2}) = 0.127$ |
# | 1 | 0 | (1, 2) | (−1, 1) | (−1, 1) | 1 | $0.127$ |
#
# ### A hole in the layer
#
# On the second half of this page the model gets a memory, and then attention is no longer a matter between the tokens
# of one call. So the layers make queries, keys and values, and *where* attention takes place is left open: an optional
# argument `past`, a function, is asked instead if it is there. For now it is one `if`.

# %%
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder.given import FeedForward, GrammarText, LayerNorm, MultiHeadAttention, scaled_dot_product_attention


# %% [markdown]
# ## Exercise `gpt_model`: the model (20 points)
#
# Parts from earlier pages may be imported, as everywhere. `MultiHeadAttention(d, n_head)` attends by itself when it is
# called, and would not ask `past`; but its linear layers `q_proj`, `k_proj`, `v_proj`, `out_proj` and its `n_heads` can
# be used one by one, and `scaled_dot_product_attention(q, k, v, mask)` (`True` = may attend) does the rest. Torch's own
# parts, or yours, are as good. Starting values are up to you and not judged. But an embedding that is also the head
# should begin small (GPT-2 draws it with a standard deviation of 0.02): with torch's default of 1 the first logits are
# of the size $\sqrt D$, and the first loss far above the $\ln V$ of a model that knows nothing.

# %%
class GPT(nn.Module):
    """A decoder without cross-attention: embedding plus positions, pre-LN layers, a final norm, a tied head.

    Args:
        vocab: number of tokens V. block: the longest text, also kept as the attribute `block`. d: width D, divisible by
            n_head. n_layer: number of layers; 0 is an ordinary case. n_head: number of heads H, of width Dh = D / H.

    Parameters, as named in the state dict, (out, in): embed.weight (V, D), used for the tokens and as the head;
    position.weight (block, D); of layer i (from 0) layers.i.norm1.weight and .bias (D,);
    layers.i.self_attn.q_proj.weight (D, D) and .bias (D,), and likewise k_proj, v_proj and out_proj, head h owning the
    rows h·Dh ... (h+1)·Dh − 1 of the first three, and these columns of out_proj; layers.i.norm2.weight and .bias;
    layers.i.ffn.fc1.weight (4D, D) and .bias (4D,); layers.i.ffn.fc2.weight (D, 4D) and .bias (D,); at the end
    norm.weight and .bias (D,). There are no others: the head has neither a matrix nor a bias of its own. Norms have eps
    1e-5, and the feed-forward networks the GELU with tanh. Weights are loaded into your module under these names; a
    module with another structure inside has a method `load_reference(self, state_dict)` that copies such a dict into
    it; it may be called more than once, and replaces all weights.

    There is no dropout: train and eval mode do the same, and nothing is drawn at random. The ready-made GPT of
    autograder.given may not be used.
    """

    def __init__(self, vocab: int, block: int, d: int, n_layer: int, n_head: int) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(
        self,
        ids: Tensor,
        targets: Tensor | None = None,
        past: Callable[[int, Tensor, Tensor, Tensor], Tensor] | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """What follows each token?

        Args:
            ids: int64 (B, T), tokens 0 ... V − 1; 1 ≤ T ≤ block.
            targets: int64 (B, T), the right token after each token of ids: the shift is the caller's, and nothing is
                shifted here. Every place counts.
            past: None: in each layer, query t attends to the keys 0 ... t of this call, scaled by 1/√Dh. Otherwise a
                function that attends in your place: layer i calls past(i, q, k, v) once, with q, k and v of shape
                (B, H, T, Dh), the heads side by side and nothing scaled yet, and takes its result, (B, H, T, Dh), for
                what the heads have found, before out_proj. The layers call it in their order. It is never given
                together with targets.
            positions: int64 (T,), for all rows alike, or (B, T): the rows of the position table to use, each less than
                block. None: 0 ... T − 1.

        Returns:
            A pair: the logits (B, T, V), in the dtype of the parameters, which at place t say what comes after ids[:,
            t], and
            - with targets, the loss: a tensor without axes, the mean over all B·T places of the cross-entropy between
              the logits at place t and targets[:, t] (natural logarithm);
            - with past, past itself;
            - with neither, None.
            Rows do not influence each other. Differentiable in all parameters; no argument is changed.

        Raises:
            ValueError: if T is larger than block.

        >>> model = GPT(vocab=2, block=2, d=2, n_layer=0, n_head=1)
        >>> state = {"embed.weight": torch.eye(2), "position.weight": torch.tensor([[0.0, 0.0], [0.0, 2.0]])}
        >>> load = getattr(model, "load_reference", model.load_state_dict)
        >>> _ = load(state | {"norm.weight": torch.ones(2), "norm.bias": torch.zeros(2)})
        >>> logits, loss = model(torch.tensor([[0, 0]]), targets=torch.tensor([[0, 1]]))
        >>> logits.round(decimals=2).tolist(), round(loss.item(), 3)
        ([[[1.0, -1.0], [-1.0, 1.0]]], 0.127)
        >>> logits, nothing = model(torch.tensor([[0, 0]]), positions=torch.tensor([1, 0]))
        >>> logits.round(decimals=2).tolist(), nothing
        ([[[-1.0, 1.0], [1.0, -1.0]]], None)
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## Writing, without doing everything again
#
# To write, one takes the logits at the last place, chooses a token, appends it, and asks again. Each step passes the
# *whole* text through the model, although all but one of its tokens have been there before. Nothing can have changed
# about them: they do not see the new token. Their results are the same, and so are their keys and values.
#
# So keep the keys and values of every layer, and let only the new token pass. It asks with *its* query, and the answers
# lie ready in the **cache**. For text of length $t$ and width $D$, in multiplications for each layer:
#
# | a step at length $t$ | linear layers | attention |
# |---|---|---|
# | without cache | $12 D^2 \cdot t$ | $2 D \cdot t^2$ |
# | with cache | $12 D^2$ | $2 D \cdot t$ |
#
# The price is memory: $2 D$ numbers for each token and layer. GPT-3 (96 layers, $D = 12288$, 2048 tokens, two bytes
# each) needs 9.7 GB *for each text* that it is writing; that, and reading it all for every token, is why [grouped
# queries](../unit3_multi_head_attention/multi_head_attention.ipynb) exist ([Shazeer
# 2019](https://arxiv.org/abs/1911.02150); [Pope et al. 2022](https://arxiv.org/abs/2211.05102)).
#
# Four things have to be right, and none of them raises an error if it is not:
#
# - **Positions.** The new token is alone in its call, but it is not the first of the text. With `cache.length` tokens
#   in the cache, it stands at position `cache.length`.
# - **The mask.** A lone query is the last of the text: it may see everything. But a prompt comes in one piece, or in
#   several chunks, and *inside* a chunk nobody may see the future. Both is said by the mask of [unit
#   2](../unit2_self_attention/scaled_dot_product.ipynb), aligned at the bottom right: query $i$ of $T_q$ sees keys $0
#   \dots i + (T_k - T_q)$. (`is_causal=True` of torch's function aligns at the top left: a lone query would see key 0
#   and nothing else.)
# - **A cache belongs to a text**, not to the model: two conversations have two caches. And in a [beam
#   search](../unit5_transformer/generation.ipynb), where a hypothesis may have several children and another none, its
#   rows have to follow: row $b$ of the new beam goes on where row `rows[b]` of the old one was.
# - **The end of the table.** There is no position `block`. Then the text has to lose its beginning: the model is shown
#   the last `block` tokens, at positions $0$ to block − 1. All of them have moved by one place, so what the cache holds
#   is of no use any more, and each further step costs a full pass. (Models with [relative
#   positions](../unit4_positional_encoding/relative.ipynb) have it easier here. Deep layers still remember tokens that
#   have left; [Xiao et al. 2023](https://arxiv.org/abs/2309.17453) look at what happens then.)
#
# ### An example to check by hand
#
# One head of width 1; all keys are 0, so a query sees whatever it may see in equal parts. The values of three tokens
# are 2, 4 and 9. Passed at once, attention gives 2, 3, 5: the mean so far. Now the first token alone, then the other
# two in a chunk: the first call gives 2. In the second there are three keys for two queries, the mask is
# $\begin{pmatrix} 1 & 1 & 0 \\ 1 & 1 & 1 \end{pmatrix}$, and the results are 3 and 5, as before.

# %% [markdown]
# ## Exercise `kv_cache`: the cache (20 points)
#
# `KVCache` is what the model calls as `past`. `generate` writes with it. Both are checked with the model of
# `autograder.given`, which has the arguments and results of yours, so that nothing here depends on the exercise above.

# %%
class KVCache:
    """The keys and values of one batch of texts, in every layer. Made empty, by `KVCache()`."""

    def __init__(self) -> None:
        # YOUR CODE HERE
        raise NotImplementedError()

    @property
    def length(self) -> int:
        """How many tokens layer 0 has been given so far: an int, 0 at first. The model calls every layer once for each
        chunk, so between two calls of the model it is the number of tokens in the cache, and the next one's position.
        """
        # YOUR CODE HERE
        raise NotImplementedError()

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Remember the keys and values of the tokens that are new, and attend from them to all tokens so far.

        Args:
            layer: whose keys and values these are; 0, 1, ... Layers know nothing of each other.
            q, k, v: (B, H, t, Dh) each, of t ≥ 1 new tokens, the next ones of each text. B, H and Dh never change. All
                of one dtype, float32 or float64, in which everything is kept and computed.

        Returns:
            (B, H, t, Dh), dtype of q: with n tokens in this layer before, the i-th new token attends to the n old ones
            and to the new ones 0 ... i, by softmax(q kᵀ / √Dh) v. So a text in chunks of any sizes gives what it gives
            in one piece. q, k and v are not changed; the cache is. Nobody takes gradients through a cache.

        >>> cache, zero = KVCache(), torch.zeros(1, 1, 1, 1)
        >>> cache(0, zero, zero, torch.tensor([[[[2.0]]]])).flatten().tolist()
        [2.0]
        >>> chunk = torch.zeros(1, 1, 2, 1)
        >>> cache(0, chunk, chunk, torch.tensor([[[[4.0], [9.0]]]])).flatten().tolist()
        [3.0, 5.0]
        >>> cache.length
        3
        """
        # YOUR CODE HERE
        raise NotImplementedError()

    def reorder(self, rows: Tensor) -> None:
        """From now on, row b of the batch goes on where row rows[b] was.

        Args:
            rows: int64 (B',), each 0 ... B − 1, with repetitions and omissions as it comes; B' is the new batch size.
                The length stays, the rows of one text never mix with another's afterwards, and an empty cache stays
                empty.
        """
        # YOUR CODE HERE
        raise NotImplementedError()


def generate(
    model: nn.Module,
    ids: Tensor,
    n: int,
    use_cache: bool = True,
    choose: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Write n tokens behind each text.

    Args:
        model: model(ids, past=cache, positions=positions) gives a pair, whose first is the logits; `model.block` is the
            longest text that it takes. (Your GPT, or that of autograder.given: see there for the arguments. It has no
            dropout, and its mode does not matter.)
        ids: int64 (B, T), T ≥ 1, possibly more than block.
        n: how many tokens to write, ≥ 0. There is no token that ends a text.
        use_cache: False: each step passes the whole context through the model, without past. True: as long as the
            context fits into block, each token passes through the layers once, the prompt in a single call and then one
            token per step.
        choose: choose(logits) picks the next tokens: it is given (B, V), what the model says after the last token of
            each text, and returns int64 (B,). It is called once in each step. None: the largest logit, and of several
            the one with the lowest number.

    The context of a step is the text so far, or its last `block` tokens if it is longer, which then stand at positions
    0 ... block − 1. In that case a step passes them all through the model, with use_cache or without (and with a fresh
    cache as `past`, or none: that makes no difference).

    Returns:
        int64 (B, T + n): ids and behind them the n tokens, the same with use_cache and without. ids is not changed. No
        gradients are needed, and nothing is drawn at random here.

    >>> class Next(nn.Module):  # says: after a comes a + 1, of 5 tokens
    ...     block = 3
    ...     def forward(self, ids, targets=None, past=None, positions=None):
    ...         return F.one_hot((ids + 1) % 5, 5).float(), None
    >>> generate(Next(), torch.tensor([[0, 1], [3, 3]]), 3, use_cache=False).tolist()
    [[0, 1, 2, 3, 4], [3, 3, 4, 0, 1]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Choosing the next token
#
# Always taking the likeliest token gives dull text that falls into loops. Drawing from the distribution gives lively
# text that now and then falls apart: of 50 000 tokens nearly all are wrong at any one place, each has a tiny
# probability, and together they are drawn often enough. Three remedies, all of them on the logits:
#
# - **Temperature.** Divide the logits by $\tau$. That raises each probability to the power $1/\tau$: below 1 the
#   favourites win, above 1 the outsiders. At $\tau \to 0$ only the largest is left.
# - **Top-k** ([Fan et al. 2018](https://arxiv.org/abs/1805.04833)). Keep the $k$ largest logits, and set the rest to
#   $-\infty$: probability 0.
# - **Top-p**, or nucleus sampling ([Holtzman et al. 2020](https://arxiv.org/abs/1904.09751)). Where the model is sure,
#   $k = 40$ is too many, and where it is not, too few. Keep the likeliest tokens until their probabilities add up to
#   $p$, *including the one that crosses $p$*, and drop the rest.
#
# They apply in this order, and each to what the one before has left: the probabilities that top-p adds up are those
# after temperature and top-k, and their sum is 1 again. By hand, with probabilities $(0.5, 0.25, 0.15, 0.1)$:
#
# | | kept | |
# |---|---|---|
# | $\tau = 0.5$ | (0.725, 0.181, 0.065, 0.029) | the squares, divided by their sum |
# | $k = 2$ | (0.667, 0.333, –, –) | |
# | $p = 0.6$ | (0.667, 0.333, –, –) | 0.5 is not enough; the second crosses 0.6 and stays |
# | $k = 2$, then $p = 0.6$ | (1, –, –, –) | 0.667 is enough |
#
# Two accidents that have happened in published code: `logits.masked_fill(...)` returns a new tensor, and if nobody
# takes it, nothing was filtered; and with a trailing underscore it writes into the caller's logits.

# %% [markdown]
# ## Exercise `sampling_filters`: temperature, top-k, top-p (14 points)
#
# The part without chance and the part with it are two functions: the first can be compared number by number.

# %%
def filter_logits(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Temperature, then top-k, then top-p.

    Args:
        logits: (B, V), float32 or float64; each row by itself. Numbers may be −inf (a token that was ruled out before),
            but not all of a row.
        temperature: ≥ 0. The logits are divided by it. 0: of each row only the largest logit stays, undivided, and
            top_k and top_p have nothing left to do (several that are equally large do not occur then).
        top_k: the k largest of each row stay; with None, 0, or k ≥ V all do. Logits as large as the k-th largest stay
            too, so where several are equal there may be more than k.
        top_p: with p = softmax of what is left now, a token stays if the probabilities of all likelier tokens add up to
            less than top_p; the likeliest one always stays. None, or ≥ 1: all stay. (Equally likely tokens do not
            occur at that border.)

    Returns:
        (B, V), a new tensor of the same dtype: logits / temperature where a token stays, −inf where it does not. logits
        is not changed.

    Raises:
        ValueError: if temperature is negative.

    >>> p = torch.tensor([[0.5, 0.25, 0.15, 0.1]])
    >>> [round(value, 3) for value in torch.softmax(filter_logits(p.log(), temperature=0.5), dim=-1)[0].tolist()]
    [0.725, 0.181, 0.065, 0.029]
    >>> filter_logits(p.log(), top_p=0.6).exp().tolist()
    [[0.5, 0.25, 0.0, 0.0]]
    >>> filter_logits(p.log(), top_k=2, top_p=0.6).exp().tolist()
    [[0.5, 0.0, 0.0, 0.0]]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def sample(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a token from each row.

    Args:
        logits: (B, V), float32 or float64, filtered or not: token i of row b is drawn with the probability
            softmax(logits[b])[i], and with −inf never. Every row has a finite logit.
        generator: where the chance comes from, and nothing else: the same one in the same state gives the same tokens,
            and the global generators stay where they are.

    Returns:
        int64 (B,); the rows are drawn independently of each other. logits is not changed.

    >>> inf = float("inf")
    >>> sample(torch.tensor([[-inf, 0.3, -inf], [-inf, -inf, 5.0]]), torch.Generator().manual_seed(0)).tolist()
    [1, 2]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Something alive
#
# Everything is there: a model, a loss, a way to write. Run the last cell, and your GPT learns a language from its
# letters. The kit makes the text, from a small grammar:
#
# > *the big cat that two dogs follow sleeps. many kings like every small bird. ...*
#
# There are 28 letters (with the space and the full stop), so a model that knows nothing has a loss of $\ln 28 = 3.33$.
# First it finds out that letters have frequencies, then that they make words, then which words follow which. The last
# thing it learns, and the only one that needs attention over more than a few letters, is that a verb agrees with its
# subject across whatever stands between the two: *the cat that two dogs follow sleep**s***. The cell prints what the
# model writes before and after, and how many of its sentences the grammar has. Nobody told it the grammar. (With the
# solution of this page it took 66 seconds on one core, and 93 % were right.)
#
# **The picture**, left: the multiplications of each step of your `generate`, for the smallest GPT-2 and a text that
# begins with one token. (A stand-in for the model computes nothing and notes how much it is asked to.) Without the
# cache the work of a step grows with the text; with it, it is a constant with a slope that cannot be seen: after 500
# tokens the difference is a factor of more than 300. Right: the loss while the model learns.
#
# Next: the whole encoder-decoder again, with everything in it done differently, [T5](t5.ipynb).

# %%
class Meter(nn.Module):
    """Stands in for the smallest GPT-2 and computes nothing: it notes the multiplications that each call would take."""

    block, layers, D, V = 1024, 12, 768, 50257

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def forward(self, ids: Tensor, targets: Any = None, past: Any = None, positions: Any = None) -> tuple[Tensor, Any]:
        t = ids.shape[1]
        total = t if past is None else past.length + t
        if past is not None:
            past(0, *torch.zeros(3, 1, 1, t, 1))  # a head of width 1, so that the cache knows its length
        self.calls.append(self.layers * (12 * self.D**2 * t + 2 * self.D * t * total) + self.D * self.V)
        return torch.zeros(1, t, 2), past


def figure_data(steps: int = 512) -> np.ndarray:
    """(2, steps): multiplications in each step of `generate` for one text, without and with the cache."""
    rows = []
    for use_cache in (False, True):
        meter = Meter()
        generate(meter, torch.zeros(1, 1, dtype=torch.int64), steps, use_cache=use_cache)
        rows.append(meter.calls)
    return np.array(rows, dtype=np.float64)


def train(model: nn.Module, text: Tensor, steps: int, batch: int = 32, lr: float = 5e-3, seed: int = 0) -> list[float]:
    """Teach the model the text, int64 (length,), in windows of `block` tokens; the loss of each step."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95))
    losses = []
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / 30, 0.05 + 2 * (1 - step / steps))
        starts = torch.randint(len(text) - model.block, (batch,), generator=generator)
        windows = torch.stack([text[start : start + model.block + 1] for start in starts.tolist()])
        _, loss = model(windows[:, :-1], targets=windows[:, 1:])  # the one shift
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def write(model: nn.Module, language: GrammarText, texts: int, length: int, seed: int = 0) -> list[str]:
    """What the model writes after a full stop, drawn at temperature 0.8 from the nucleus of 0.95."""
    generator = torch.Generator().manual_seed(seed)
    start = language.encode(". ").expand(texts, 2)
    ids = generate(model, start, length, choose=lambda z: sample(filter_logits(z, 0.8, top_p=0.95), generator))
    return [language.decode(row[2:]) for row in ids]


def share_of_sentences(texts: list[str], language: GrammarText) -> float:
    """How many of the sentences that end within the texts the grammar has."""
    sentences = [part.strip() + "." for text in texts for part in text.split(".")[:-1]]
    return sum(map(language.accepts, sentences)) / max(1, len(sentences))


STEPS = 800  # about a minute on one core

if __name__ == "__main__":
    import matplotlib.pyplot as plt

    language = GrammarText()
    text = language(100_000, torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    model = GPT(language.vocab, block=64, d=64, n_layer=3, n_head=4)
    print("before:", write(model, language, 1, 70)[0])
    losses = train(model, text, STEPS)
    samples = write(model, language, 20, 126)
    print("after: ", "\n        ".join(samples[:6]))
    print(f"{share_of_sentences(samples, language):.0%} of its sentences are in the grammar")

    without, with_cache = figure_data()
    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    left.plot(range(1, len(without) + 1), without / 1e9, label="without cache")
    left.plot(range(1, len(without) + 1), with_cache / 1e9, label="with cache")
    left.set(
        xlabel="tokens in the text",
        ylabel="multiplications (billions)",
        title="one step of writing, GPT-2 small",
        yscale="log",
    )
    left.legend()
    right.plot(losses)
    right.axhline(math.log(language.vocab), color="grey", linestyle=":", label="a model that knows nothing")
    right.set(xlabel="step", ylabel="loss (nats per letter)", title="learning a language by its letters", ylim=(0, 3.5))
    right.legend()
    fig.savefig("kv_cache_flops.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Jay Alammar, [The illustrated GPT-2](https://jalammar.github.io/illustrated-gpt2/), a visual guide.
# - Andrej Karpathy, [Let's build GPT](https://www.youtube.com/watch?v=kCc8FmEb1nY), a lecture, and
#   [nanoGPT](https://github.com/karpathy/nanoGPT), its code.
# - [Transformer Explainer](https://poloclub.github.io/transformer-explainer/): GPT-2 in the browser, with
#   temperature and top-p to turn, interactive.
