# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Why attention: from one vector to a look back
#
# *Unit 1, page 1 of 4. Before: [networks and their gradients](../unit0_prerequisites/networks.ipynb). Next: [the
# mathematics of attention](attention_mathematics.ipynb). Papers: [Sutskever et al. 2014, Sequence to Sequence Learning
# with Neural Networks](https://arxiv.org/abs/1409.3215); [Bahdanau et al. 2014, Neural Machine Translation by Jointly
# Learning to Align and Translate](https://arxiv.org/abs/1409.0473); [Luong et al. 2015, Effective Approaches to
# Attention-based Neural Machine Translation](https://arxiv.org/abs/1508.04025).*
#
# Translate this sentence without looking back at it: read it once, word by word, close your eyes, and write down the
# French. That is what the first neural translation systems did. One network, the *encoder*, read the source sentence
# and ended in a single vector. A second network, the *decoder*, received that vector and nothing else. It worked for
# short sentences and fell apart on long ones, because a vector of fixed size has to hold five words or fifty.
#
# A human translator does something else: before writing each word, they look back at the part of the source that
# matters now. **Attention is this look back.** This page builds the encoder, shows what is lost on the way, and then
# asks the question that attention rests on: *how well does this part of the source fit what I need now?*

# %% [markdown]
# ![An encoder reads two words and padding; its last real state, one vector, is all that the decoder gets; above it,
# dashed, a look back from the decoder at every state that is not padding](diagrams/intuition.svg)

# %% [markdown]
# ## The encoder: a network that reads
#
# A recurrent network keeps a *state* $h$, a vector of width $H_d$, and updates it with each word vector $x_t$ of width
# $D$:
#
# $$h_t = \tanh(W_{ih}\, x_t + W_{hh}\, h_{t-1} + b), \qquad h_{-1} = 0$$
#
# | symbol | meaning | shape |
# |---|---|---|
# | $x_t$ | word $t$ of a sentence, $t = 0 \dots T-1$ | $(D,)$ |
# | $W_{ih}$ | from the input to the state | $(H_d, D)$, that is (out, in) |
# | $W_{hh}$ | from the old state to the new one | $(H_d, H_d)$ |
# | $h_t$ | what the network knows after word $t$ | $(H_d,)$ |
#
# The same weights are used at every step. Steps depend on one another, so there is a loop over *time*, and it cannot be
# avoided; the sentences of a batch do not depend on one another, so there need be no loop over *them*.
#
# Weights are stored as (out, in), like those of `nn.Linear`. With examples in rows, $W x$ for all of them at once is
# `x @ W.T`.
#
# ### Padding
#
# The sentences of a batch have different lengths and are filled up at the end with padding, some vector that means
# nothing. A sentence of length 2 in an array of length 3:
#
# ```
#   step t          0      1      2
#   input           x_0    x_1    PAD
#   state           h_0    h_1    0          after the end there is no state: we write zeros
#   last                   h_1               what the decoder receives
# ```
#
# "The last state" is the one after the last *real* word, at a different step in each sentence. If you take step $T-1$
# for all of them, the short sentences have been reading padding for a while, and what they know about their words has
# been stirred each time. Nothing crashes; the model is just worse, and worse in a way that depends on which sentences
# happen to share a batch.
#
# ### An example to check by hand
#
# All widths 1, $W_{ih} = 1$, $W_{hh} = \frac12$, $b = 0$. The sentence is $(1, 0)$, padded with a 9:
#
# $$h_0 = \tanh(1) \approx 0.7616, \qquad h_1 = \tanh(0 + \tfrac12 \cdot 0.7616) \approx 0.3634$$
#
# So the states are $(0.7616,\ 0.3634,\ 0)$ and the last state is $0.3634$.

# %%
import math

import numpy as np

# %% [markdown]
# ## Exercise `rnn_encoder_last_state`: an encoder that stops reading in time (10 points)
#
# Loop over time, with all sentences of the batch at once.


# %% exercise="rnn_encoder_last_state"
def rnn_encode(
    x: np.ndarray, lengths: np.ndarray, W_ih: np.ndarray, W_hh: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Read right-padded sentences with a tanh recurrent network.

    h_t = tanh(W_ih x_t + W_hh h_{t−1} + b), starting from a state of zeros.

    Args:
        x: word vectors (B, T, D), floating point; rows from lengths[i] on are padding with arbitrary (finite, perhaps
            huge) contents.
        lengths: int64 (B,), each in 1..T: the number of real words of each sentence. In no particular order.
        W_ih: (Hd, D). W_hh: (Hd, Hd). b: (Hd,). All of x's dtype; weights are stored (out, in).

    Returns:
        states (B, T, Hd): the state after each word; exactly 0 from step lengths[i] on.
        last (B, Hd): the state after the last real word, that is after step lengths[i] − 1.
        Both have the dtype of x. No argument is changed, and the contents of the padding change neither of them.

    >>> one, half, zero = np.array([[1.0]]), np.array([[0.5]]), np.zeros(1)
    >>> states, last = rnn_encode(np.array([[[1.0], [0.0], [9.0]]]), np.array([2]), one, half, zero)
    >>> states[0, :, 0].round(4).tolist(), last.round(4).tolist()
    ([0.7616, 0.3634, 0.0], [[0.3634]])
    """
    ### BEGIN SOLUTION
    batch, steps, _ = x.shape
    states = np.zeros((batch, steps, W_hh.shape[0]), dtype=x.dtype)
    last = np.zeros((batch, W_hh.shape[0]), dtype=x.dtype)
    for t in range(steps):
        real = (t < lengths)[:, None]  # (B, 1): has sentence i a word at step t?
        new = np.tanh(x[:, t] @ W_ih.T + last @ W_hh.T + b)  # (B, Hd)
        last = np.where(real, new, last)  # a sentence that is over keeps its state
        states[:, t] = np.where(real, new, 0)
    return states, last
    ### END SOLUTION


# %% [markdown]
# ## What is lost on the way
#
# How much does the last state still know about word $t$? Replace that word by another one and see how far the last
# state moves. The left panel of the picture below does this for every $t$. Each step multiplies the past by $W_{hh}$
# and squeezes it through a tanh, so the influence of a word shrinks with every word that follows it. The first words
# of a long sentence are nearly gone. (Better cells, such as the GRU of [page 4](bottleneck.ipynb), forget more slowly.
# But a vector of fixed size has a limit that no cell can lift.)
#
# Now the idea. The encoder has computed *all* the states $h_0 \dots h_{T-1}$ anyway, and state $t$ knows word $t$ well:
# it has just read it. Why throw all of them away but the last? Keep them, and let the decoder choose. For each word
# that it writes,
#
# 1. the decoder's own state asks a question: the **query** $q$;
# 2. each encoder state is compared with it: the **keys** $k_j$, one **score** per key;
# 3. a softmax turns the scores into weights that sum to 1 ([page 2](attention_mathematics.ipynb));
# 4. the weighted average of the encoder states is what the decoder gets to see: the *context*
#    ([page 3](attention_from_scratch.ipynb)).
#
# The rest of this page is step 2. For $T_q$ queries and $T_k$ keys there are $T_q \times T_k$ scores, one for **every
# pair**, and the array of scores is (B, Tq, Tk): queries along rows, keys along columns. $T_q$ and $T_k$ differ in
# general, because a sentence and its translation do.
#
# ## Multiplicative scores
#
# Luong, Pham and Manning compared three ways to score a query $q$ (width $D_q$) against a key $k$ (width $D_k$):
#
# | mode | score | parameters | idea |
# |---|---|---|---|
# | `dot` | $q^\top k$ | none; needs $D_q = D_k$ | fit = pointing in the same direction |
# | `general` | $q^\top W k$ | $W$ of shape $(D_q, D_k)$ | first translate the key into the query's language |
# | `concat` | $v^\top \tanh(W [q; k])$ | $W$ of shape $(A, D_q + D_k)$, $v$ of shape $(A,)$ | a small network |
#
# In `general` the order matters: $q^\top W k = \sum_{ij} q_i W_{ij} k_j$, the first index of $W$ belongs to the query.
# A square $W$ with its axes swapped raises no error and is still wrong. The same holds for the order in $[q; k]$: the
# query comes first.
#
# None of these scores is divided by anything. That the dot product needs a scale is a discovery of the transformer's
# authors, two years later, and the subject of the [next page](attention_mathematics.ipynb).
#
# ### An example to check by hand
#
# $q = (1, 2)$, $k_0 = (3, 0)$, $k_1 = (0, 1)$.
#
# - `dot`: $1 \cdot 3 + 2 \cdot 0 = 3$ and $1 \cdot 0 + 2 \cdot 1 = 2$.
# - `general` with $W = \begin{pmatrix} 0 & 1 \\ 0 & 0 \end{pmatrix}$: $q^\top W k = q_0 k_1$ (first entry of the query,
#   second of the key): $1 \cdot 0 = 0$ and $1 \cdot 1 = 1$. With $W^\top$ it would be $6$ and $0$.
# - `concat` with $A = 1$, $W = (1, 0, 0, 1)$, $v = 2$: $2 \tanh(q_0 + k_1)$, which is $2 \tanh 1 \approx 1.5232$ and
#   $2 \tanh 2 \approx 1.9281$.

# %% [markdown]
# ## Exercise `luong_scores`: dot, general and concat scores (8 points)


# %% exercise="luong_scores"
def luong_scores(
    q: np.ndarray, k: np.ndarray, W: np.ndarray | None = None, v: np.ndarray | None = None, mode: str = "dot"
) -> np.ndarray:
    """Score every query against every key, in one of Luong's three ways.

    Args:
        q: queries (B, Tq, Dq), floating point.
        k: keys (B, Tk, Dk), dtype of q. Tk may differ from Tq.
        W: for "general" (Dq, Dk); for "concat" (A, Dq + Dk), where the first Dq columns belong to the query. Not used
            by "dot".
        v: for "concat" (A,). Not used by the other two.
        mode: "dot" (qᵀk), "general" (qᵀWk) or "concat" (vᵀ tanh(W[q; k])).

    Returns:
        (B, Tq, Tk), dtype of q: [n, i, j] is the score of query i against key j of example n. There is no scaling, no
        bias and no softmax. No argument is changed.

    Raises:
        ValueError if mode is none of the three, or if mode is "dot" and Dq ≠ Dk.

    >>> q, k = np.array([[[1.0, 2.0]]]), np.array([[[3.0, 0.0], [0.0, 1.0]]])
    >>> luong_scores(q, k).tolist()
    [[[3.0, 2.0]]]
    >>> luong_scores(q, k, W=np.array([[0.0, 1.0], [0.0, 0.0]]), mode="general").tolist()
    [[[0.0, 1.0]]]
    >>> W = np.array([[1.0, 0.0, 0.0, 1.0]])
    >>> luong_scores(q, k, W=W, v=np.array([2.0]), mode="concat").round(4).tolist()
    [[[1.5232, 1.9281]]]
    """
    ### BEGIN SOLUTION
    if mode == "dot":
        if q.shape[-1] != k.shape[-1]:
            raise ValueError(f"dot scores need queries and keys of one width, not {q.shape[-1]} and {k.shape[-1]}")
        return q @ np.swapaxes(k, 1, 2)
    if mode == "general":
        return q @ W @ np.swapaxes(k, 1, 2)
    if mode == "concat":
        width = q.shape[-1]
        query_part = q @ W[:, :width].T  # (B, Tq, A)
        key_part = k @ W[:, width:].T  # (B, Tk, A)
        return np.tanh(query_part[:, :, None] + key_part[:, None]) @ v
    raise ValueError(f"mode {mode!r}: it is one of 'dot', 'general', 'concat'")
    ### END SOLUTION


# %% [markdown]
# ## Additive scores
#
# A year earlier, Bahdanau, Cho and Bengio had started the whole story with a small network of one hidden layer of width
# $A$ and one output, fed with a query and a key:
#
# $$s(q, k) = v^\top \tanh(W_q\, q + W_k\, k + b)$$
#
# | symbol | shape | |
# |---|---|---|
# | $W_q$ | $(A, D_q)$ | brings the query to width $A$ |
# | $W_k$ | $(A, D_k)$ | brings the key to width $A$; not the same matrix |
# | $b$, $v$ | $(A,)$ | |
#
# The tanh sits *inside* the sum over $A$: each of the $A$ hidden units makes its own decision about the pair, and $v$
# weighs them up. Take it away and $v^\top W_q q$ is the same number for every key; the softmax over the keys cancels
# it, and the query has no say at all in where the attention goes. Because every tanh lies between −1 and 1, no score
# can exceed $\sum_a |v_a|$ in size.
#
# It looks as if the network had to run $T_q \cdot T_k$ times. Most of its work need not: $W_q q_i$ does not know about
# $j$ and $W_k k_j$ does not know about $i$. So the projections are computed once per query and once per key, and only
# the sum and the tanh are done for each pair. In NumPy this is broadcasting: a (B, Tq, 1, A) array plus a
# (B, 1, Tk, A) array is a (B, Tq, Tk, A) array that holds all pairs. (Adding query $t$ to key $t$ is something else,
# and for $T_q = T_k$ it raises no error.)
#
# Compare with `concat` above: write $W$ as the two blocks $[W_q \mid W_k]$ and the two are the same, but for the bias.
#
# ### An example to check by hand
#
# $A = 1$, $W_q = (1, 0)$, $W_k = (0, 1)$, $v = 2$, and $q$, $k_0$, $k_1$ as above. With $b = 0$ the scores are again
# $2\tanh 1$ and $2 \tanh 2$; with $b = -1$ they are $2 \tanh 0 = 0$ and $2 \tanh 1 \approx 1.5232$.

# %% [markdown]
# ## Exercise `additive_attention`: Bahdanau's scores (10 points)


# %% exercise="additive_attention"
def additive_scores(
    q: np.ndarray, k: np.ndarray, Wq: np.ndarray, Wk: np.ndarray, b: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """Score every query against every key by a small network: vᵀ tanh(Wq q + Wk k + b).

    Args:
        q: queries (B, Tq, Dq), floating point. k: keys (B, Tk, Dk). Tq, Tk, Dq and Dk may all differ.
        Wq: (A, Dq). Wk: (A, Dk). b: (A,). v: (A,). All of q's dtype; weights are stored (out, in).

    Returns:
        (B, Tq, Tk), dtype of q: [n, i, j] is the score of query i against key j of example n. These are scores, not
        weights: no softmax is taken. No argument is changed.

    >>> q, k = np.array([[[1.0, 2.0]]]), np.array([[[3.0, 0.0], [0.0, 1.0]]])
    >>> Wq, Wk, v = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([2.0])
    >>> additive_scores(q, k, Wq, Wk, np.array([-1.0]), v).round(4).tolist()
    [[[0.0, 1.5232]]]
    """
    ### BEGIN SOLUTION
    query_part = (q @ Wq.T)[:, :, None]  # (B, Tq, 1, A)
    key_part = (k @ Wk.T)[:, None]  # (B, 1, Tk, A)
    return np.tanh(query_part + key_part + b) @ v  # (B, Tq, Tk)
    ### END SOLUTION


# %% [markdown]
# ## The picture
#
# Left: how far the last state of a random encoder moves when one word of a sentence of 20 is exchanged. The last words
# have pushed the first ones out.
#
# Middle and right: what keeping all states buys. Six source words; six queries that are noisy copies of their vectors
# in reverse order, as if a decoder that writes the sentence backwards knew what it wants next. The dot product sees at
# once which source word each of them means. The additive score with *random* weights sees nothing yet: it has to be
# learned, and what it learns is not limited to "points in the same direction". On [page 4](bottleneck.ipynb) you will
# train it, and see such a diagonal appear by itself.
#
# Next: [how scores become weights](attention_mathematics.ipynb), and why a dot product should be scaled.

# %%
WORDS = ["the", "green", "dog", "bit", "a", "man"]


def figure_data() -> np.ndarray:
    """(20,): how far the encoder's last state moves if word t of a sentence of 20 words is exchanged (mean of 50)."""
    rng = np.random.default_rng(1)
    n, T, D, Hd = 50, 20, 8, 16
    W_ih, W_hh = rng.standard_normal((Hd, D)) / math.sqrt(D), 0.9 * rng.standard_normal((Hd, Hd)) / math.sqrt(Hd)
    x, lengths, b = rng.standard_normal((n, T, D)), np.full(n, T), np.zeros(Hd)
    _, last = rnn_encode(x, lengths, W_ih, W_hh, b)
    moved = np.zeros(T)
    for t in range(T):
        other = x.copy()
        other[:, t] = rng.standard_normal((n, D))
        moved[t] = np.linalg.norm(rnn_encode(other, lengths, W_ih, W_hh, b)[1] - last, axis=1).mean()
    return moved


def example_scores() -> tuple[np.ndarray, np.ndarray]:
    """Dot scores and untrained additive scores (T, T) of noisy queries that want the words in reverse order."""
    rng = np.random.default_rng(4)
    k = rng.standard_normal((1, len(WORDS), 12))
    q = k[:, ::-1] + 0.4 * rng.standard_normal(k.shape)
    Wq, Wk = rng.standard_normal((2, 7, 12)) / math.sqrt(12)
    additive = additive_scores(q, k, Wq, Wk, np.zeros(7), 2 * rng.standard_normal(7))
    return luong_scores(q, k)[0], additive[0]


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    moved = figure_data()
    axes[0].bar(range(len(moved)), moved)
    axes[0].set_title("what the last state remembers")
    axes[0].set_xlabel("position of the exchanged word")
    axes[0].set_ylabel("mean distance that the last state moves")
    for ax, title, scores in zip(axes[1:], ["dot scores", "additive scores, untrained"], example_scores(), strict=True):
        fig.colorbar(ax.imshow(scores), ax=ax, label="score", shrink=0.8)
        ax.set_title(title)
        ax.set_xticks(range(len(WORDS)), WORDS, rotation=60)
        ax.set_yticks(range(len(WORDS)), WORDS[::-1])
        ax.set_xlabel("key: a word of the source")
        ax.set_ylabel("query: the word wanted next")
    fig.savefig("look_back.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Sutskever et al. 2014, [Sequence to sequence learning](https://arxiv.org/abs/1409.3215); Bahdanau et al. 2014,
#   [Learning to align and translate](https://arxiv.org/abs/1409.0473); Luong et al. 2015, [Effective
#   approaches](https://arxiv.org/abs/1508.04025).
# - Jay Alammar, [Visualizing a neural machine translation
#   model](https://jalammar.github.io/visualizing-neural-machine-translation-mechanics-of-seq2seq-models-with-attention/),
#   a visual guide.
# - Olah and Carter 2016, [Attention and augmented recurrent neural
#   networks](https://distill.pub/2016/augmented-rnns/), interactive.
