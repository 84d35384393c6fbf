# %% [markdown]
# # The self-attention layer
#
# *Unit 2, page 2 of 3. Before: [scaled dot-product attention](scaled_dot_product.ipynb). Next: [attention
# patterns](attention_patterns.ipynb). Papers: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2;
# [Zaheer et al. 2017, Deep Sets](https://arxiv.org/abs/1703.06114) for the symmetry; [Ribeiro et al. 2020,
# CheckList](https://arxiv.org/abs/2005.04118) for testing a model by its behaviour.*
#
# The last page took queries, keys and values as given. Where do they come from? In **self**-attention all three are
# made from one sequence, which talks to itself: each token asks a question about the others, and is rewritten by the
# answers.

# %% [markdown]
# ![Four tokens become queries, keys and values by three matrices; in a table of weights the row of the word it looks
# mostly at animal, and its new vector is mixed accordingly](diagrams/self_attention.svg)

# %% [markdown]
# ## Three roles for one vector
#
# Take the sentence "the animal did not cross the street because **it** was tired". To represent "it" well, the model
# must find out what "it" refers to. The vector of "it" should ask *"which noun could I be?"*, the vector of "animal"
# should advertise *"I am a noun, animate"*, and if the two find each other, "animal" should hand over its *content*.
# Asking, advertising and handing over are different jobs, so each token vector $x_t$ (a row of $X$, width $D$) is
# mapped by three learned matrices:
#
# $$Q = X W_Q^\top, \qquad K = X W_K^\top, \qquad V = X W_V^\top, \qquad
# \mathrm{SelfAttention}(X) = \mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{D_k}}\right) V$$
#
# | tensor | shape | note |
# |---|---|---|
# | $X$ | (B, T, D) | B sentences, T tokens, width D = `d_model` |
# | $W_Q$, $W_K$ | (Dk, D) | stored as `nn.Linear` stores them: **(out, in)**. Hence the transposes above |
# | $W_V$ | (Dv, D) | the values may have their own width |
# | $QK^\top$ | (B, T, T) | every token against every token, within one sentence |
# | result | (B, T, Dv) | one new vector per token |
#
# Why not use one matrix for queries and keys? Because $x_i^\top W^\top W x_j$ is symmetric: "it" would look at "animal"
# exactly as hard as "animal" looks at "it". (And a token's score with itself, $\lVert W x_i \rVert^2$, is never
# negative, so each token would be rather fond of itself.) Two matrices make the relation directed.
#
# ### An example to check by hand
#
# Let $D = D_k = D_v = 1$, $W_Q = W_K = W_V = 1$, and a sentence of two tokens $x = (0, \ln 3)$. Token 0 asks
# with $q = 0$: all its scores are 0, it looks at both tokens equally and becomes $\frac12 \ln 3 \approx 0.549$. Token 1
# asks with $q = \ln 3 \approx 1.0986$: its scores are $0$ and $(\ln 3)^2 \approx 1.2069$, its weights $0.2302$ and
# $0.7698$, and it becomes $0.7698 \cdot 1.0986 \approx 0.8457$.

# %%
import math

import numpy as np
import torch
from torch import Tensor, nn


# %% [markdown]
# ## Exercise `self_attention_layer`: a self-attention layer (12 points)
#
# The constructor is given; it creates the three projections under the names that everybody (and every check) knows them
# by. Write `forward`. You wrote the attention itself on the last page; this page does not need that one to be finished,
# and here the library's version may be used. (But think about what it cannot give you.)
#
# Two questions to keep in mind: whose width goes under the root? And which axis of (B, T, D) must never be mixed?

# %%
class SelfAttention(nn.Module):
    """One head of self-attention, without an output projection and without dropout.

    Args:
        d_model: width of the input, D.
        d_k: width of queries and keys.
        d_v: width of values and of the output. The three widths may all differ.
        bias: whether the three projections add a bias.

    Parameters, as named in the state dict: q_proj.weight (d_k, d_model), k_proj.weight (d_k, d_model), v_proj.weight
    (d_v, d_model), in nn.Linear's (out, in) layout, and with bias=True also q_proj.bias (d_k), k_proj.bias (d_k),
    v_proj.bias (d_v). Weights are loaded into your module under these names. Should you prefer another structure
    inside, add a method `load_reference(self, state_dict)` that copies such a dict into yours.
    """

    def __init__(self, d_model: int, d_k: int, d_v: int, bias: bool = False) -> None:
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_k, bias=bias)
        self.k_proj = nn.Linear(d_model, d_k, bias=bias)
        self.v_proj = nn.Linear(d_model, d_v, bias=bias)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, need_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """softmax(q kᵀ / √d_k) v with q, k, v projected from x.

        Args:
            x: (B, T, d_model), float32 or float64 as the parameters. T = 1 and B = 1 are ordinary cases.
            mask: bool, True = may attend, of any shape that broadcasts to (B, T, T) = (example, query, key): (T, T) for
                one mask for all, (B, 1, T) for a mask on the keys, (B, T, T) in full. None means that every token sees
                every token of its own sentence.
            need_weights: whether to return the attention weights too.

        Returns:
            out (B, T, d_v); or with need_weights=True the tuple (out, weights), where weights (B, T, T) are the very
            numbers that mixed the values: row i belongs to query i, and a masked pair has weight exactly 0. out is the
            same in both cases, and in train() and eval() mode.

        A query whose whole row is masked gets weights 0 and output 0 (also with bias=True), and gradients stay finite.
        The result is differentiable in x and in all parameters; x and mask are not changed.

        `F.scaled_dot_product_attention` may be used here, `nn.MultiheadAttention`, `F.multi_head_attention_forward` and
        the ready-made MultiHeadAttention of autograder.given may not.

        >>> layer = SelfAttention(1, 1, 1)
        >>> for parameter in layer.parameters():
        ...     _ = nn.init.ones_(parameter)
        >>> out, weights = layer(torch.tensor([[[0.0], [math.log(3.0)]]]), need_weights=True)
        >>> [round(value, 4) for value in out[0, :, 0].tolist()]
        [0.5493, 0.8457]
        >>> [[round(value, 4) for value in row] for row in weights[0].tolist()]
        [[0.5, 0.5], [0.2302, 0.7698]]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## What attention does not know
#
# Shuffle the tokens of a sentence with a permutation matrix $P$, so that $X' = PX$. Then $Q' = PQ$,
# $K' = PK$, $V' = PV$, the scores become $P\,QK^\top P^\top$, softmax works on each row whatever the order of its
# entries, and
#
# $$\mathrm{SelfAttention}(PX) = P A P^\top P V = P\,\mathrm{SelfAttention}(X).$$
#
# The outputs are shuffled exactly as the inputs were: attention is **permutation equivariant**. It sees a *bag* of
# words. In "the dog bites the man" and "the man bites the dog" every word gets the same vector, although a newspaper
# would see a difference. Only two things break the symmetry: a mask, such as the causal one, and positions that are
# written into the tokens, the subject of [unit 4](../unit4_positional_encoding/sinusoidal.ipynb).
#
# Three such properties say almost everything about how information may flow through a layer:
#
# | property | in words | what it forbids |
# |---|---|---|
# | permutation equivariant | shuffling the tokens shuffles the outputs | any use of positions |
# | causal | output $i$ depends on tokens $0 \dots i$ only | looking into the future |
# | batch independent | sentence $b$'s output depends on sentence $b$ only | mixing sentences |
#
# A layer that breaks one of these by accident usually *trains better*: a leak of the future lets a language model read
# the answer. The loss does not reveal the bug. A test does.

# %% [markdown]
# ## Testing a property instead of a value
#
# How do you test code when you do not know the right answer? You change the input in a way whose effect you *do* know.
# If the change at token 5 moves the output at token 3, the layer is not causal, whatever the output should have been.
# That is what you are going to write: three functions that receive somebody else's layer and say whether it has the
# property. Your functions will be judged like any detector: they are shown good layers, which they must accept, and
# broken ones, which they must reject. Some thoughts on what separates a test from a decoration:
#
# - **A test that cannot fail proves nothing.** Which permutation leaves every layer's output unchanged? On which inputs
#   do many wrong layers behave well?
# - **The bug may sit at one position.** A layer that leaks only from token 5 to token 3 has to be caught as well. Which
#   set of experiments covers every pair? (For permutations: swapping two neighbours is the simplest change there is,
#   and every permutation is a chain of such swaps.)
# - **"Equal" needs a tolerance, and it is no matter of taste.** Sums in another order differ in the last digits of a
#   float32 (about $10^{-7}$ of the numbers summed). A leak worth finding is larger. The threshold belongs in between.
# - **A noisy layer is not a broken one.** With dropout switched on, two calls on the *same* input already differ.
# - **Leave the place as you found it.** A test that switches a layer to another mode breaks the training run that
#   called it.
# - **Judge by outputs.** The model may run elsewhere: gradients do not pass through `f` here.
#
# One draw of random numbers can hide a leak by chance; a second or third makes that unlikely. For permutations vary the
# kind as well: exchange two neighbours, reverse everything, shuffle. But each experiment costs a call of somebody's
# model: some dozens of calls are fine, thousands are not.

# %% [markdown]
# ## Exercise `write_equivariance_tests`: write the tests yourself (14 points)
#
# What holds for all three functions:
#
# - `f` is an `nn.Module` that you know nothing about. Call it, with tensors of `x`'s shape, dtype and device, and only
#   those: it may insist on them.
# - `f` may contain dropout and may arrive in train mode. It is judged in **eval mode**, where the same input gives the
#   same output, and handed back in the mode it came in (`f.training`), with unchanged parameters.
# - `x` (float32 or float64) is a **sample of the shape, no more**: it may be all zeros, or constant. Draw inputs of
#   your own, from a standard normal distribution or the like. `x` itself is not changed.
# - T (or B) may be as small as 2.
# - A **violation** is an effect of about $10^{-4}$ or more: for instance, output $i$ contains $10^{-4}$ times a token
#   it must not see, be it at one single position, or one single pair of positions. It has to be found wherever it is.
#   Outputs are of order 1 (below 10) for standard normal inputs. Differences below $3 \cdot 10^{-6}$ are rounding and
#   no violation; nothing between the two sizes is used to judge your tests.
# - Return a Python `bool`.

# %%
def is_permutation_equivariant(f: nn.Module, x: Tensor, rng: np.random.Generator) -> bool:
    """Does shuffling the tokens shuffle f's outputs in the same way, for every permutation: f(x[p]) = f(x)[p]?

    Args:
        f: a module that maps (T, D) to (T, Dout). May contain dropout and may be in train mode; judge it in eval mode
            and hand it back in the mode in which it came, with its parameters unchanged. Call it with tensors of x's
            shape, dtype and device only.
        x: (T, D), float32 or float64, T ≥ 2: a sample of the shape. Its values may be all zero or constant, so do not
            rely on them; draw inputs of your own.
        rng: the source of all your randomness (permutations and inputs). The global random state of NumPy and torch
            stays untouched.

    Returns:
        True if the property holds up to rounding (differences below 3e-6), False if any position violates it by 1e-4 or
        more.

    >>> rng = np.random.default_rng(0)
    >>> is_permutation_equivariant(nn.Linear(3, 2), torch.zeros(4, 3), rng)  # treats each token alike
    True
    >>> is_permutation_equivariant(nn.Conv1d(4, 4, 1), torch.zeros(4, 3), rng)  # mixes tokens, a weight per position
    False
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def is_causal(f: nn.Module, x: Tensor) -> bool:
    """Does f's output at token i depend on the tokens 0..i only, for every i?

    Args:
        f: a module that maps (T, D) to (T, Dout). May contain dropout and may be in train mode; judge it in eval mode
            and hand it back in the mode in which it came, with its parameters unchanged. Call it with tensors of x's
            shape, dtype and device only.
        x: (T, D), float32 or float64, T ≥ 2: a sample of the shape. Its values may be all zero or constant, so do not
            rely on them; draw inputs of your own. Take the random numbers from a torch.Generator of your own with a
            fixed seed; the global random state stays untouched.

    Returns:
        True if changing later tokens never moves an earlier output by more than rounding (3e-6), False if for any pair
        i < j token j leaks into output i with a factor of 1e-4 or more. What output i does with token i itself is its
        own business.

    >>> is_causal(nn.Linear(3, 2), torch.zeros(4, 3))
    True
    >>> is_causal(nn.Softmax(dim=0), torch.zeros(4, 3))  # normalised over the tokens: the future counts
    False
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def is_batch_independent(f: nn.Module, x: Tensor) -> bool:
    """Does f's output for example b depend on example b only, for every b?

    Args:
        f: a module that maps (B, T, D) to (B, T, Dout). May contain dropout and may be in train mode; judge it in eval
            mode and hand it back in the mode in which it came, with its parameters unchanged. Call it with tensors of
            x's shape, dtype and device only, so do not change B.
        x: (B, T, D), float32 or float64, B ≥ 2: a sample of the shape. Its values may be all zero or constant, so do
            not rely on them; draw inputs of your own. Take the random numbers from a torch.Generator of your own with a
            fixed seed; the global random state stays untouched.

    Returns:
        True if changing the other examples never moves example b's output by more than rounding (3e-6), False if for
        any two examples c ≠ b some token of c leaks into some output of b with a factor of 1e-4 or more. Within an
        example everything may depend on everything.

    >>> is_batch_independent(nn.Softmax(dim=1), torch.zeros(2, 4, 3))
    True
    >>> is_batch_independent(nn.Softmax(dim=0), torch.zeros(2, 4, 3))
    False
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# Two sentences with the same words. Each word gets one fixed random vector, and one layer with random weights reads
# both sentences, first without a mask (top), then with the causal mask (bottom).
#
# In the top row the right matrix is the left one with the rows and columns of "dog" and "man" exchanged, and the title
# says how far the output vector of "dog" moved: not at all, up to rounding. To this layer dog and man are in the same
# place in both stories. In the bottom row the causal mask breaks the symmetry: "dog" as fifth word sees all others,
# "dog" as second word sees almost none.
#
# Next: given such matrices from a trained model, what are they doing? [Attention patterns](attention_patterns.ipynb)
# puts numbers on them.

# %%
SENTENCES = [["the", "dog", "bites", "the", "man"], ["the", "man", "bites", "the", "dog"]]


def figure_data() -> Tensor:
    """Attention weights (4, T, T), queries by keys: both sentences without a mask, then both with the causal mask."""
    return _read_sentences()[1]


def _read_sentences() -> tuple[Tensor, Tensor]:
    """The outputs (4, T, d_v) and weights (4, T, T) of one random layer, in the order of figure_data."""
    generator = torch.Generator().manual_seed(7)
    table = {word: torch.randn(12, generator=generator) for word in ["the", "dog", "bites", "man"]}
    x = torch.stack([torch.stack([table[word] for word in words]) for words in SENTENCES])  # (2, T, 12)
    layer = SelfAttention(12, 6, 5)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.35, generator=generator)
    causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
    with torch.no_grad():
        results = [layer(x, mask=mask, need_weights=True) for mask in (None, causal)]
    return torch.cat([out for out, _ in results]), torch.cat([weights for _, weights in results])


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    out, weights = _read_sentences()
    fig, axes = plt.subplots(2, 2, figsize=(8.4, 8), layout="constrained")
    for n, ax in enumerate(axes.flat):
        words = SENTENCES[n % 2]
        kind = "no mask" if n < 2 else "causal mask"
        moved = (out[n, words.index("dog")] - out[n - n % 2, SENTENCES[0].index("dog")]).abs().max().item()
        ax.set_title(kind if n % 2 == 0 else f'{kind}: "dog" moved by {moved:.2f}')
        picture = ax.imshow(weights[n].masked_fill(weights[n] == 0, math.nan).numpy(), vmin=0.0, vmax=1.0)
        ax.set_xticks(range(len(words)), words)
        ax.set_yticks(range(len(words)), words)
        ax.set_xlabel("key")
        ax.set_ylabel("query")
    fig.colorbar(picture, ax=axes, label="attention weight (white: exactly 0)", shrink=0.6)
    fig.savefig("bag_of_words.png", dpi=120)
    plt.show()

    sample = torch.zeros(5, 3)
    layer = SelfAttention(3, 4, 3)
    rng = np.random.default_rng(0)
    print("self-attention is permutation equivariant:", is_permutation_equivariant(layer, sample, rng))
    print("self-attention without a mask is causal:  ", is_causal(layer, sample))
    print("self-attention keeps its batch apart:     ", is_batch_independent(layer, torch.zeros(2, 5, 3)))

# %% [markdown]
# ## Further reading
#
# - Jay Alammar, [The illustrated transformer](https://jalammar.github.io/illustrated-transformer/), a visual guide.
# - Lee et al. 2018, [Set Transformer](https://arxiv.org/abs/1810.00825): attention on sets, and why order does not
#   matter.
# - Stanford [CS25](https://web.stanford.edu/class/cs25/), lectures on transformers.
