# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Attention patterns
#
# *Unit 2, page 3 of 3. Before: [the self-attention layer](self_attention.ipynb). Next: [multi-head
# attention](../unit3_multi_head_attention/multi_head_mathematics.ipynb). Papers: [Clark et al. 2019, What Does BERT
# Look At?](https://arxiv.org/abs/1906.04341); [Abnar and Zuidema 2020, Quantifying Attention
# Flow](https://arxiv.org/abs/2005.00928); [Jain and Wallace 2019, Attention is not
# Explanation](https://arxiv.org/abs/1902.10186).*
#
# Attention weights are the one part of a transformer that can be looked at directly: an array of shape (query, key)
# whose rows are probability distributions. A model with 12 layers of 12 heads has 144 of them for each sentence, which
# is too many to look at. So people describe a head by numbers, sort heads by what they do, and combine layers into a
# single picture. This page does all three, in NumPy, and says what such pictures cannot tell.

# %% [markdown]
# ![Four tables of weights: on the previous key, on the diagonal, on the first column, and everywhere; the first two
# rows of each are framed, since there the first three cannot be told apart](diagrams/attention_patterns.svg)

# %% [markdown]
# ## How widely does a query look?
#
# Row $i$ of the weights, $w_{i\cdot}$, says how query $i$ shares one unit of attention. Its **entropy**
#
# $$H_i = -\sum_j w_{ij} \ln w_{ij} \qquad (0 \ln 0 = 0)$$
#
# is 0 if everything goes to one key and $\ln T_k$ if all keys get the same. Its exponential is easier to read:
# $e^{H_i}$ is the *effective number of keys* that query $i$ looks at. (You met the same quantity for a language model
# under the name perplexity, in [unit 0](../unit0_prerequisites/language_models.ipynb).) The logarithm is the natural
# one.
#
# ## How far does it look?
#
# The **mean distance** of query $i$ is $\sum_j w_{ij}\, |i - j|$, in tokens. A head that looks at neighbours has a
# distance near 1. Distance has no direction: looking three tokens back and three tokens ahead average to 3, not to 0.
#
# Both are numbers *per query*: the sum runs over the keys, the last axis. Any leading axes (layer, batch, head) stay.
#
# ### An example to check by hand
#
# $$w = \begin{pmatrix} 1 & 0 & 0 \\ \frac12 & \frac12 & 0 \\ \frac12 & \frac14 & \frac14 \end{pmatrix}$$
#
# | query | entropy | effective keys | mean distance |
# |---|---|---|---|
# | 0 | 0 | 1 | 0 |
# | 1 | $\ln 2 \approx 0.693$ | 2 | $\frac12 \cdot 1 + \frac12 \cdot 0 = 0.5$ |
# | 2 | $\frac12 \ln 2 + \frac12 \ln 4 \approx 1.040$ | 2.83 | $\frac12 \cdot 2 + \frac14 \cdot 1 + 0 = 1.25$ |

# %%
import numpy as np

# %% [markdown]
# ## What kind of head is it?
#
# Clark and colleagues went through BERT's 144 heads and found the same few characters again and again:
#
# | name | each query looks at | why a model wants it |
# |---|---|---|
# | previous | the token just before | word pairs, spelling; the first half of an induction head |
# | self | itself | "nothing to add", the token is passed on |
# | first | the first token | a resting place: the softmax must put its unit somewhere |
# | uniform | everything equally | an average of the context |
#
# (The third kind has become known as [attention sinks](https://arxiv.org/abs/2309.17453).)
#
# To let a program sort them we need a definition that leaves no case open. Three thoughts lead to the one below.
#
# 1. In the first two rows the characters look alike: query 0 of a causal head has no choice but key 0, which is both
#    "self" and "first"; the previous token of query 1 *is* the first. From row 2 on, the keys $i-1$, $i$ and $0$ are
#    three different ones. So only the **rows** $i \ge 2$ count.
# 2. Attention is a share of one unit. If more than half of it goes to one of the three, it cannot go to another: a
#    threshold of $\frac12$ makes the names exclusive.
# 3. Under a causal mask, "everything equally" means $\frac1{i+1}$ for each key up to $i$, and the largest weight of row
#    $i$ need not mean anything: *some* key is always the largest. So a head is uniform if it is **close to a uniform
#    head**, with or without a mask. Closeness of two distributions is their *total variation distance*
#    $\frac12 \sum_j |p_j - q_j|$, the share of attention that would have to move to turn one into the other.

# %% [markdown]
# ## Exercise `attention_pattern_metrics`: numbers that describe a head (10 points)
#
# Trained heads have zeros in their weights, from masks or from underflow. What does $0 \cdot \ln 0$ give in floating
# point?


# %% exercise="attention_pattern_metrics"
def attention_entropy(w: np.ndarray) -> np.ndarray:
    """Entropy of each query's attention, in nats: −Σ_j w[..., i, j] ln w[..., i, j].

    Args:
        w: floating-point weights (..., Tq, Tk) with any number of leading axes, none included; entries ≥ 0, rows sum to
            1 (or are all zero).

    Returns:
        (..., Tq), dtype of w. A zero entry counts 0 (never NaN), so a one-hot row and an all-zero row give 0 and a
        uniform row gives ln Tk. w is not changed.

    >>> attention_entropy(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.25, 0.25]])).round(3).tolist()
    [0.0, 0.693, 1.04]
    """
    ### BEGIN SOLUTION
    logs = np.log(w, where=w > 0, out=np.zeros_like(w))
    return np.abs(np.sum(w * logs, axis=-1))  # the sum is never positive; abs also turns -0.0 into 0.0
    ### END SOLUTION


def mean_distance(w: np.ndarray) -> np.ndarray:
    """Mean distance of each query to the keys it looks at, in tokens: Σ_j w[..., i, j] |i − j|.

    Args:
        w: floating-point weights (..., Tq, Tk) with any number of leading axes, none included. Query i stands at
            position i and key j at position j, also where Tq ≠ Tk (top-left alignment).

    Returns:
        (..., Tq), dtype of w, never negative. The sum is not divided by the row's sum: an all-zero row gives 0. w is
        not changed.

    >>> mean_distance(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.25, 0.25]])).tolist()
    [0.0, 0.5, 1.25]
    """
    ### BEGIN SOLUTION
    query, key = np.ogrid[: w.shape[-2], : w.shape[-1]]
    return np.sum(w * np.abs(query - key).astype(w.dtype), axis=-1)
    ### END SOLUTION


def classify_head(w: np.ndarray) -> str:
    """Name the pattern of one head: "previous", "self", "first", "uniform" or "other".

    Args:
        w: floating-point weights (T, T), T ≥ 4, queries on axis 0; rows sum to 1. Causal or not.

    Returns the first name whose condition holds. All means are over the rows i = 2, ..., T − 1 (the text says why):
        "previous" if the mean of w[i, i − 1] is at least 0.5;
        "self" if the mean of w[i, i] is at least 0.5;
        "first" if the mean of w[i, 0] is at least 0.5;
        "uniform" if the mean total variation distance ½ Σ_j |w[i, j] − u[i, j]| is at most 0.1, either for the full
            uniform head u[i, j] = 1/T, or for the causal one, u[i, j] = 1/(i + 1) for j ≤ i and 0 for j > i;
        "other" in all other cases.

    Two of the first three can hold only if both means are exactly 0.5; then the order above decides. w is not changed.

    >>> classify_head(np.eye(5, k=-1) + np.diag([1.0, 0, 0, 0, 0]))  # row 0 has no previous token and sees itself
    'previous'
    >>> classify_head(np.full((5, 5), 0.2))
    'uniform'
    >>> classify_head(np.eye(5)[::-1])  # looks at the mirrored position
    'other'
    """
    ### BEGIN SOLUTION
    T = w.shape[0]
    i = np.arange(2, T)
    for name, key in (("previous", i - 1), ("self", i), ("first", 0 * i)):
        if w[i, key].mean() >= 0.5:
            return name
    causal = np.tri(T) / np.arange(1, T + 1)[:, None]
    for uniform in (np.full((T, T), 1 / T), causal):
        if 0.5 * np.abs(w - uniform)[i].sum(axis=-1).mean() <= 0.1:
            return "uniform"
    return "other"
    ### END SOLUTION


# %% [markdown]
# ## From one layer to the whole network
#
# In layer 4 a token looks at its neighbour. Does its vector there depend only on that neighbour *word*? No: after three
# layers the neighbour's vector is itself a blend of other tokens. To see how far the words of the *input* reach, the
# layers must be chained.
#
# **Attention rollout** does it with matrix products. Think of a drop of ink that walks from the top of the network to
# the bottom. In each layer it moves from token $i$ to token $j$ with probability $w_{ij}$. But a transformer layer also
# has a *residual connection* (unit 5), a bypass that carries the token's own vector past the attention: with
# probability $r$ the drop stays where it is. With the heads averaged, one layer moves the drop by
#
# $$\hat A_\ell = \text{row-normalise}\big(r\, I + (1 - r)\, \bar A_\ell\big), \qquad \bar A_\ell = \frac1H \sum_h
# A_{\ell h},$$
#
# and $L$ layers by the product
#
# $$R = \hat A_L\, \hat A_{L-1} \cdots \hat A_1.$$
#
# Row $i$ of $R$ tells where the drop ends that started at output token $i$: which input tokens it is made of.
#
# **Which way round?** The output of layer 1 is $\hat A_1 X$. Layer 2 acts on that: $\hat A_2 (\hat A_1 X)$. So later
# layers stand on the *left*. The other order gives another matrix, whose rows sum to 1 just as nicely.
#
# ### An example to check by hand
#
# Two tokens, two layers, one head, $r = \frac12$. In layer 1 both tokens look at token 1, in layer 2 both look at token
# 0:
#
# $$\hat A_1 = \begin{pmatrix} \frac12 & \frac12 \\ 0 & 1 \end{pmatrix}, \qquad
# \hat A_2 = \begin{pmatrix} 1 & 0 \\ \frac12 & \frac12 \end{pmatrix}, \qquad
# R = \hat A_2 \hat A_1 = \begin{pmatrix} \frac12 & \frac12 \\ \frac14 & \frac34 \end{pmatrix}$$
#
# whereas $\hat A_1 \hat A_2$, the wrong order, has the rows $(\frac34, \frac14)$ and $(\frac12, \frac12)$.

# %% [markdown]
# ## Exercise `attention_rollout`: attention rollout (9 points)
#
# Why normalise the rows, if $\bar A$ has rows that sum to 1 anyway? Because in practice not all do: a fully masked row
# is zero, and a model in training mode may report weights after dropout.


# %% exercise="attention_rollout"
def rollout(weights: np.ndarray, residual: float = 0.5) -> np.ndarray:
    """Attention rollout: the share of each input token in each output token of a stack of layers.

    Args:
        weights: floating-point weights (L, B, H, T, T): layer, example, head, query, key. Layer 0 is the one next to
            the input; L ≥ 1. Entries ≥ 0. Rows usually sum to 1, but not always: a fully masked query has a row of
            zeros, and weights after dropout sum to something else.
        residual: r in [0, 1], the share of the residual connection. It is the same for all layers.

    Returns:
        R (B, T, T), dtype of weights: the product Â_L ··· Â_1 with later layers on the left. Each Â is
        r·I + (1 − r)·(mean of the heads), and then each row divided by its sum. R[b, i, j] is the share of input token
        j in output token i, so rows of R sum to 1. A row whose sum is 0 before the division (possible only with r = 0)
        stays 0. weights is not changed.

    >>> first = [[0.0, 1.0], [0.0, 1.0]]
    >>> second = [[1.0, 0.0], [1.0, 0.0]]
    >>> rollout(np.array([first, second]).reshape(2, 1, 1, 2, 2)).tolist()
    [[[0.5, 0.5], [0.25, 0.75]]]
    """
    ### BEGIN SOLUTION
    mixed = residual * np.eye(weights.shape[-1], dtype=weights.dtype) + (1 - residual) * weights.mean(axis=2)
    total = mixed.sum(axis=-1, keepdims=True)
    layers = mixed / np.where(total == 0, 1, total)  # (L, B, T, T)
    result = layers[0]
    for layer in layers[1:]:
        result = layer @ result
    return result
    ### END SOLUTION


# %% [markdown]
# ## The picture
#
# The upper row shows five made-up heads on eight tokens, all causal, with the name that `classify_head` gives them and
# the mean of your two numbers.
#
# The lower row is a network of four layers that contain nothing but "previous" heads. Its last layer (left) looks one
# token back, and an explanation that reads only this matrix would say that the output depends on two tokens. The
# rollout (middle) reaches four tokens back. On the right is its last row: in each of four layers the drop of ink stays
# or steps back, like four tosses of a coin, so the shares are 1, 4, 6, 4, 1 sixteenths.
#
# ## What these pictures do not say
#
# Rollout treats the value vectors, the feed-forward blocks and the size of what is added to the residual stream as if
# they did not matter. A head may look hard at a token whose value vector is nearly zero, and that happens: the first
# token often serves as such a resting place. Jain and Wallace showed that quite different attention weights can lead to
# the same prediction. Weights are a good place to look for a hypothesis. To test it, take the head away and see what
# breaks, which [unit 3](../unit3_multi_head_attention/why_multiple_heads.ipynb) will do.

# %%
T = 8


def example_heads() -> dict[str, np.ndarray]:
    """Five causal heads (T, T), softened so that they look like trained ones."""
    causal = np.tri(T)
    uniform = causal / causal.sum(axis=1, keepdims=True)
    previous = np.eye(T, k=-1)
    previous[0, 0] = 1.0
    first = np.zeros((T, T))
    first[:, 0] = 1.0
    noise = np.exp(1.8 * np.random.default_rng(3).standard_normal((T, T))) * causal
    noise /= noise.sum(axis=1, keepdims=True)
    soften = {"looks back": previous, "looks at itself": np.eye(T), "looks at the start": first}
    heads = {name: 0.75 * head + 0.25 * noise for name, head in soften.items()}
    return heads | {"looks everywhere": 0.9 * uniform + 0.1 * noise, "looks here and there": noise}


def figure_data() -> np.ndarray:
    """(2, T, T), queries by keys: the last layer's attention of a stack of four "previous" layers, and its rollout."""
    previous = np.eye(T, k=-1)
    previous[0, 0] = 1.0
    weights = np.broadcast_to(previous, (4, 1, 1, T, T))
    return np.stack([weights[-1, 0].mean(axis=0), rollout(weights)[0]])


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig = plt.figure(figsize=(13, 7.6), layout="constrained")
    upper, lower = fig.subfigures(2, 1, height_ratios=[1, 1.35])

    axes = upper.subplots(1, 5, sharey=True)
    for ax, (name, head) in zip(axes, example_heads().items(), strict=True):
        entropy, distance = attention_entropy(head).mean(), mean_distance(head).mean()
        ax.imshow(np.where(head == 0, np.nan, head), vmin=0.0, vmax=1.0)
        ax.set_title(f'{name}: "{classify_head(head)}"\nentropy {entropy:.2f}, distance {distance:.2f}', fontsize=9)
        ax.set_xlabel("key")
    axes[0].set_ylabel("query")

    last, flow = figure_data()
    axes = lower.subplots(1, 3)
    for ax, title, panel in zip(axes, ["attention of layer 4", "rollout of layers 1 to 4"], [last, flow], strict=False):
        picture = ax.imshow(np.where(panel == 0, np.nan, panel), vmin=0.0, vmax=1.0)
        ax.set_title(title)
        ax.set_xlabel("key" if panel is last else "input token")
        ax.set_ylabel("query" if panel is last else "output token")
    lower.colorbar(picture, ax=axes[:2], label="share (white: exactly 0)", shrink=0.85)
    axes[2].bar(range(T), flow[-1])
    axes[2].set_title(f"what output token {T - 1} is made of")
    axes[2].set_xlabel("input token")
    axes[2].set_ylabel("share")
    fig.savefig("rollout.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Jesse Vig, [BertViz](https://github.com/jessevig/bertviz): look at the attention of real models, interactive.
# - Abnar and Zuidema 2020, [Quantifying attention flow](https://arxiv.org/abs/2005.00928); Clark et al. 2019, [What
#   does BERT look at?](https://arxiv.org/abs/1906.04341).
# - Jain and Wallace 2019, [Attention is not explanation](https://arxiv.org/abs/1902.10186), and Wiegreffe and
#   Pinter 2019, [Attention is not not explanation](https://arxiv.org/abs/1908.04626).
