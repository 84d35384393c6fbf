# %% [markdown]
# # Modern variants: CLIP, experts, linear attention, state-space models
#
# *Unit 6, page 5 of 5, about three hours; its four exercises do not need each other. Before: [ViT](vit.ipynb). Next:
# [unit 7](../unit7_attention_core/online_softmax.ipynb). Papers: [Radford et al. 2021,
# CLIP](https://arxiv.org/abs/2103.00020), section 2.3 and figure 3; [Shazeer et al. 2017, mixture of
# experts](https://arxiv.org/abs/1701.06538); [Fedus et al. 2021, Switch
# Transformers](https://arxiv.org/abs/2101.03961), section 2.2; [Jiang et al. 2024,
# Mixtral](https://arxiv.org/abs/2401.04088), section 2.1; [Katharopoulos et al. 2020, Transformers are
# RNNs](https://arxiv.org/abs/2006.16236), section 3; [Gu et al. 2022, S4D](https://arxiv.org/abs/2206.11893).*
#
# BERT, GPT, T5 and ViT changed what goes into a transformer and what is asked of it, and left the block nearly alone.
# Each of the four ideas on this page replaces one part:
#
# - **the question.** CLIP asks no longer "which word?" or "which class?", but "which of these texts belongs to this
#   image?";
# - **the feed-forward network.** A mixture of experts holds many of them, and each token uses two;
# - **the softmax.** Linear attention does without it, and the whole past then fits into one small matrix;
# - **attention.** A state-space model has none: a state is carried from token to token, by a rule that is also a
#   convolution.

# %% [markdown]
# ![A block with its stream, and four changes around it: at the top CLIP's table of image and text pairs; the
# feed-forward network becomes a router with four experts of which two are used; attention becomes a small state that
# every token adds to; or a recurrence](diagrams/modern.svg)

# %% [markdown]
# ## What changed, and why
#
# The rows are those of the pages before, and one more; what is new is bold. A dot means: as in the model of 2017. Where
# two things stand, they are its encoder and its decoder; in CLIP, images and texts.
#
# | | 2017 | BERT | GPT-2 | T5 | ViT | CLIP | Mixtral | linear | SSM |
# |---|---|---|---|---|---|---|---|---|---|
# | made of | encoder, decoder | encoder | decoder | · | encoder | **two encoders** | decoder | any | **no attention** |
# | a token sees | all; past | all | past | · | all | all; past | past | past | past |
# | norm | LayerNorm, post | · | pre | RMSNorm, pre | pre | pre | RMSNorm, pre | any | RMSNorm, pre (Mamba) |
# | positions | sinusoids | learned | learned | by distance | learned | learned | rotary | any | **none needed** |
# | scores | divided | · | · | not divided | · | · | in groups | $\phi(q)\cdot\phi(k)$ | **a recurrence** |
# | activation | ReLU | GELU | GELU, tanh | · | GELU | $x\,\sigma(1.7x)$ | SwiGLU, **2 of 8** | any | SiLU (Mamba) |
# | linear layers | with biases | · | · | without | · | · | without | any | any |
# | input | source; target | [CLS] A [SEP] B [SEP] | text | with holes | patches | **both** | text | any | any |
# | is asked for | next token | hidden ones; B? | next token | holes | a class | **pairs** | next token | any | any |
# | tied | embeddings, output | · | · | · | nothing | nothing | nothing | any | embedding, output (Mamba) |
# | **kept per token** | key, value | – | key, value | key, value | – | – | key, value | **nothing** | **nothing** |
#
# The last row is about writing, and about the second half of this page: for token 10 000 GPT looks at 10 000 keys, the
# last two at a state that is as large as it was for token 1.

# %%
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder.given import SwiGLU


# %% [markdown]
# ## CLIP: which text belongs to which image?
#
# Class labels are few and expensive. Images with a text beside them are free: CLIP was trained on 400 million. Two
# encoders, one for images (a ViT) and one for texts (a small GPT), each make one vector of width $D$. Take a batch of
# $N$ pairs, set the lengths of all vectors to 1, and compare everything with everything:
#
# $$S_{ij} = e^{s} \; \frac{u_i \cdot w_j}{\lVert u_i \rVert \, \lVert w_j \rVert}, \qquad u_i: \text{image } i,\quad
# w_j: \text{text } j$$
#
# On the diagonal are the pairs that belong together. The rest of the batch serves as wrong answers, for free. Row $i$
# asks which of the $N$ texts belongs to image $i$: a classification with $N$ classes, whose right answer is $i$. Column
# $j$ asks which image belongs to text $j$. Both questions are put, and both are
# [cross-entropies](../unit0_prerequisites/numerics.ipynb):
#
# $$L = \frac12 \left( \frac1N \sum_i -\ln \mathrm{softmax}(S_{i,:})_i \;+\; \frac1N \sum_j -\ln
# \mathrm{softmax}(S_{:,j})_j \right)$$
#
# - **The scale is learned, as a logarithm.** A cosine is at most 1, and a softmax of numbers in $[-1, 1]$ is always
#   nearly uniform: with $N = 100$ the right answer could never get more than 7 %. So the cosines are multiplied by
#   $e^s$. The parameter is $s$, so that the factor is positive whatever the optimiser does. It starts at $\ln(1/0.07)$
#   and is held below $\ln 100$ by the training loop, not by the loss. (A temperature $\tau$ *divides*; $e^s = 1/\tau$.)
# - **Two directions are two losses.** In the example below the images cannot tell the texts apart, but the texts can
#   tell the images apart.
# - Without learning anything the loss is $\ln N$. With $N = 1$ it is 0: there is nothing to confuse.
# - Large batches make hard questions. CLIP used $N = 32\,768$.
#
# **By hand.** $u_1 = (2, 0)$, $u_2 = (0, 3)$, and two texts that say the same, $w_1 = (1, 0)$, $w_2 = (5, 0)$; $e^s =
# \ln 3$ times each cosine gives
#
# $$S = \begin{pmatrix} \ln 3 & \ln 3 \\ 0 & 0 \end{pmatrix} \qquad \text{rows: } (\tfrac12, \tfrac12) \text{ twice}
# \qquad \text{columns: } (\tfrac34, \tfrac14) \text{ twice}$$
#
# From images to texts the loss is $\ln 2 = 0.693$, from texts to images $\frac12(\ln\frac43 + \ln 4) = 0.837$, together
# 0.765.

# %% [markdown]
# ## Exercise `clip_loss`: the loss of CLIP (12 points)
#
# `F.cross_entropy` takes logits with the classes in axis 1.

# %%
def clip_loss(img: Tensor, txt: Tensor, logit_scale: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the two cross-entropies over the table of cosines, and the table.

    Args:
        img: (N, D), float32 or float64, one vector for each image. N = 1 is an ordinary case. None is zero; their
            lengths may be anything from 1e-4 to 1e4 and do not matter.
        txt: (N, D), one vector for each text, of the same dtype; text i belongs to image i.
        logit_scale: a tensor without axes, the *logarithm* s of the factor; exp(s) may be as large as 1e4.

    Returns:
        (loss, logits). logits (N, N): exp(s) times the cosine of image i and text j in row i, column j. loss, a tensor
        without axes: half of the mean over images of −ln softmax over the texts, at the right text, plus half of the
        mean over texts of −ln softmax over the images, at the right image. Same dtype as img; natural logarithm; finite
        for every scale. Differentiable in all three arguments, none of which is changed.

    >>> img, txt = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [5.0, 0.0]])
    >>> loss, logits = clip_loss(img, txt, torch.tensor(3.0).log().log())  # a factor of ln 3
    >>> logits.exp().round(decimals=4).tolist()
    [[3.0, 3.0], [1.0, 1.0]]
    >>> round(loss.item(), 3)
    0.765
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## A mixture of experts
#
# Two thirds of a model's weights sit in its [feed-forward networks](../unit5_transformer/feed_forward.ipynb), and more
# of them help. But every token pays for all of them. A **mixture of experts** (MoE) cuts that bond: it holds $E$
# networks, and a **router**, one small matrix, picks $k$ of them for each token.
#
# $$r = W_r\, x \in \mathbb{R}^E \qquad \mathcal{T} = \text{the } k \text{ largest of } r \qquad g_e = \frac{e^{r_e}}
# {\sum_{e' \in \mathcal{T}} e^{r_{e'}}} \qquad y = \sum_{e \in \mathcal{T}} g_e \, \mathrm{SwiGLU}_e(x)$$
#
# Mixtral has $E = 8$ and $k = 2$ in each of its 32 layers: 47 billion weights, of which a token meets 13 billion.
#
# - **Every token by itself.** Two neighbours may go to different experts. Nothing here depends on the rest of the
#   sentence, or of the batch. (In *expert choice* routing, [Zhou et al. 2022](https://arxiv.org/abs/2202.09368), the
#   experts pick tokens. That balances the load, and lets the future decide about the past.)
# - **The gates of the chosen sum to 1.** A softmax over all $E$ and then the top $k$, *without* dividing again, makes a
#   smaller sum, of a size that changes from token to token. Dividing again, and a softmax over the chosen logits only,
#   are the same thing: why?
# - **What does the router learn from?** "The $k$ largest" has no gradient. What has one is $g_e$: if the chosen expert
#   helped, its logit is raised. (With $k = 1$ the gate is always 1 and there is nothing to learn from. The Switch
#   Transformer, with $k = 1$, therefore does *not* divide again.)
# - **An expert that was not chosen gets no gradient**, and is not computed. That is the saving.
#
# **By hand**: $E = 3$, $k = 2$, logits $(0, \ln 3, \ln 2)$, and experts that would answer 10, 20 and 30. The second and
# third are chosen, with gates $\frac35$ and $\frac25$: $y = 12 + 12 = 24$. Not divided again, the gates would be
# $\frac36$ and $\frac26$, and $y = 20$.
#
# ### Keeping them all busy
#
# An expert that is used more often learns more, and is used still more often. Left alone, most of them starve. A second
# loss, added with a small factor (0.01 or so), pulls the other way. For $N$ tokens, with $p = \mathrm{softmax}(r)$ over
# *all* experts:
#
# $$f_e = \frac{\text{number of tokens that picked } e}{N} \qquad P_e = \frac1N \sum_{n} p_{n,e} \qquad
# L_{\text{balance}} = E \sum_e f_e \, P_e$$
#
# $f$ is what happened, and has no gradient; $P$ is what was wanted, and has one. Where $f_e$ is large, $P_e$ is pushed
# down. Each token picks $k$ experts, so $\sum_e f_e = k$, and a perfectly balanced load gives $E \cdot E \cdot \frac kE
# \cdot \frac1E = k$. (That is the constant in Hugging Face's Mixtral. Others divide by $k$ as well.)
#
# **By hand**: $E = 2$, $k = 1$, two tokens, both with logits $(\ln 3, 0)$: $f = (1, 0)$, $P = (\frac34, \frac14)$, loss
# $2 \cdot \frac34 = 1.5$. With the logits of one token exchanged, $f = P = (\frac12, \frac12)$ and the loss is 1.

# %% [markdown]
# ## Exercise `moe_top_k`: a mixture of experts (17 points)
#
# `given.SwiGLU(d_model, d_ff)` is the gated network of [unit 5](../unit5_transformer/feed_forward.ipynb), with the
# parameters `w1` (gate), `w3` (content) and `w2`. Let each expert see only the tokens that picked it, if you can. (That
# is not checked: computing all of them for everyone gives the same numbers.)

# %%
class TopKMoE(nn.Module):
    """A router and E SwiGLU networks, of which each token uses the k that the router likes best.

    Args:
        d: D, the width of input and output. d_ff: F, the hidden width of each expert.
        n_experts: E. k: how many experts a token uses, 1 ≤ k ≤ E; anything else is a ValueError.

    Parameters, as named in the state dict, (out, in), without biases: router.weight (E, D); for each expert e from 0
    experts.e.w1.weight (F, D), the gate, experts.e.w3.weight (F, D), the content, and experts.e.w2.weight (D, F).
    Weights are loaded into your module under these names; a module with another structure inside has a method
    `load_reference(self, state_dict)` that copies such a dict into it; it may be called more than once, and replaces
    all weights.
    """

    def __init__(self, d: int, d_ff: int, n_experts: int, k: int) -> None:
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Send each token to its k best experts and mix their answers.

        Args:
            x: (B, T, D), in the dtype of the parameters; of any memory layout. B = 1 and T = 1 are ordinary cases, and
                so are experts that no token picks.

        Returns:
            (y, router_logits). y (B, T, D): for each token the sum of its k experts' answers, times the softmax of its
            k largest router logits (so that these factors sum to 1). router_logits (B·T, E): the router's numbers,
            before any softmax; row b·T + t belongs to token t of row b. Same dtype. Differentiable in x and all
            parameters; an expert that no token picks gets a gradient of 0, or none. No two logits of a token are equal.
            Nothing is drawn at random; x is not changed.

        >>> moe = TopKMoE(2, 1, 3, 2).double()
        >>> state = {"router.weight": torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [math.log(2), 0.0]])}
        >>> for e in range(3):  # for x = (1, 0) expert e answers silu(1) · (e + 1) in both numbers
        ...     state[f"experts.{e}.w1.weight"] = torch.tensor([[1.0, 0.0]])
        ...     state[f"experts.{e}.w3.weight"] = torch.tensor([[e + 1.0, 0.0]])
        ...     state[f"experts.{e}.w2.weight"] = torch.tensor([[1.0], [1.0]])
        >>> load = getattr(moe, "load_reference", moe.load_state_dict)
        >>> _ = load({name: value.double() for name, value in state.items()})
        >>> y, router_logits = moe(torch.tensor([[[1.0, 0.0]]]).double())
        >>> (y / F.silu(torch.tensor(1.0))).round(decimals=4).tolist()  # 3/5 · 2 + 2/5 · 3
        [[[2.4, 2.4]]]
        >>> router_logits.exp().round(decimals=4).tolist()
        [[1.0, 3.0, 2.0]]
        """
        # YOUR CODE HERE
        raise NotImplementedError()


def load_balancing_loss(router_logits: Tensor, k: int) -> Tensor:
    """E · Σ f_e P_e: large where the experts that were picked often are also the ones that were wanted most.

    Args:
        router_logits: (N, E), for N ≥ 1 tokens; no two of a token are equal. k: how many experts a token picks, those
            with its largest logits; 1 ≤ k ≤ E.

    Returns:
        A tensor without axes, in the dtype of router_logits. f_e: the number of tokens that picked e, divided by N (so
        that Σ f_e = k); a constant for the gradient. P_e: the mean over tokens of the softmax over all E logits. A
        perfectly balanced load gives k. Differentiable in router_logits, which is not changed.

    >>> logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    >>> round(load_balancing_loss(logits, 1).item(), 4)
    1.5
    >>> round(load_balancing_loss(torch.stack([logits[0], logits[1].flip(0)]), 1).item(), 4)
    1.0
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Linear attention
#
# Look once more at [attention](../unit1_attention_fundamentals/attention_from_scratch.ipynb), for a single query $i$
# under a [causal mask](../unit2_self_attention/scaled_dot_product.ipynb), with any positive similarity:
#
# $$o_i = \frac{\sum_{j \le i} \mathrm{sim}(q_i, k_j)\, v_j}{\sum_{j \le i} \mathrm{sim}(q_i, k_j)}
# \qquad\qquad \text{softmax: } \mathrm{sim}(q, k) = e^{q \cdot k / \sqrt{D}}$$
#
# If the similarity were a plain product of *features*, $\mathrm{sim}(q, k) = \phi(q) \cdot \phi(k)$, the query could be
# taken out of both sums:
#
# $$o_i = \frac{\phi(q_i)^\top S_i}{\phi(q_i)^\top z_i}, \qquad S_i = \sum_{j \le i} \phi(k_j)\, v_j^\top, \qquad
# z_i = \sum_{j \le i} \phi(k_j)$$
#
# $S$ is a matrix, $(D_k, D_v)$; $z$ a vector, $(D_k)$. They hold *everything* about the past, and the next token only
# adds to them: $S_i = S_{i-1} + \phi(k_i)\, v_i^\top$. So there are two ways to the same numbers:
#
# | | parallel | recurrent |
# |---|---|---|
# | computes | all tokens at once | one token after another |
# | intermediate | $T \times T$ similarities | $S$ and $z$: $D_k D_v + D_k$ numbers, for any $T$ |
# | work | $T^2$ | $T$ |
# | for | training on a GPU | writing, without [GPT's cache](gpt.ipynb) that grows |
#
# - **$\phi$ must be positive**, or the denominator may be 0. The paper takes $\phi(x) = \mathrm{elu}(x) + 1$: $x + 1$
#   for $x > 0$, and $e^x$ below. There is no $1/\sqrt{D}$.
# - **Token $i$ sees itself**: add first, then read.
# - **What it costs.** A softmax can look sharply at one key. A sum of $D_k D_v$ numbers cannot keep a million keys
#   apart, and linear attention is weaker at looking things up. Its successors add a decay that forgets
#   ([RetNet](https://arxiv.org/abs/2307.08621), [gated linear attention](https://arxiv.org/abs/2312.06635)), or write
#   over what was stored ([Schlag et al. 2021](https://arxiv.org/abs/2102.11174)).
# - **Long sums need room.** bfloat16 has 8 bits for the digits: at 256 it cannot count on, since 256 + 1 is rounded to
#   256. Keep $S$ and $z$ in float32, whatever the dtype of the inputs.
#
# **By hand**: $D_k = D_v = 1$, $k = (0, 1, 0)$ with $\phi(k) = (1, 2, 1)$, and $v = (6, 3, 0)$. (With $D_k = 1$ the
# query cancels.)
#
# | after token | $S$ | $z$ | $o$ |
# |---|---|---|---|
# | 1 | 6 | 1 | 6 |
# | 2 | 6 + 2·3 = 12 | 3 | 4 |
# | 3 | 12 + 1·0 = 12 | 4 | 3 |

# %% [markdown]
# ## Exercise `linear_attention`: linear attention, twice (16 points)

# %%
def linear_attention_parallel(q: Tensor, k: Tensor, v: Tensor, causal: bool = True) -> Tensor:
    """Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j) for all queries i at once, with φ(x) = elu(x) + 1.

    Args:
        q, k: (B, H, T, Dk), entries between −10 and 10, of any memory layout. v: (B, H, T, Dv), of the same dtype.
            T = 1 is an ordinary case.
        causal: True: j runs over 0..i. False: over all T.

    Returns:
        (B, H, T, Dv), same dtype; float16 and bfloat16 are computed in float32 and rounded at the end. Differentiable
        in q, k and v, none of which is changed. A table of T × T numbers may be made.

    >>> q, k, v = torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]), torch.tensor([6.0, 3.0, 0.0])
    >>> q, k, v = (x.view(1, 1, 3, 1) for x in (q, k, v))
    >>> linear_attention_parallel(q, k, v).flatten().tolist()
    [6.0, 4.0, 3.0]
    >>> linear_attention_parallel(q, k, v, causal=False).flatten().tolist()
    [3.0, 3.0, 3.0]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


State = tuple[Tensor, Tensor]


def linear_attention_recurrent(
    q_t: Tensor, k_t: Tensor, v_t: Tensor, state: State | None = None
) -> tuple[Tensor, State]:
    """The same for one more token, from the sums over all tokens before it.

    Args:
        q_t, k_t: (B, H, Dk), of token t, entries between −10 and 10. v_t: (B, H, Dv), of the same dtype.
        state: what the call for the token before has returned; None for the first token.

    Returns:
        (o_t, state): o_t (B, H, Dv), same dtype, is what linear_attention_parallel gives for token t. state is a pair
        (S, z), with S = Σ φ(k_j) v_jᵀ of shape (B, H, Dk, Dv) and z = Σ φ(k_j) of shape (B, H, Dk), over all tokens so
        far, this one included; both float32 for float16 and bfloat16 inputs, else in the dtype of the inputs.
        Differentiable. No argument is changed, the old state included: it may be continued in several ways.

    Make no tensor that is much larger than S.

    >>> state = None
    >>> for key, value in [(0.0, 6.0), (1.0, 3.0), (0.0, 0.0)]:
    ...     q_t, k_t, v_t = (torch.full((1, 1, 1), x) for x in (0.0, key, value))
    ...     o_t, state = linear_attention_recurrent(q_t, k_t, v_t, state)
    ...     print(o_t.item(), [x.item() for x in state])
    6.0 [6.0, 1.0]
    4.0 [12.0, 3.0]
    3.0 [12.0, 4.0]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## State-space models
#
# Now drop queries and keys altogether and keep the state. In a (diagonal, discrete) **state-space model** each channel
# $d$ of the input has $N$ numbers of memory. They fade, take in the input, and are read out:
#
# $$h_t = a \odot h_{t-1} + b\, x_t \qquad\qquad y_t = \sum_{n} c_n\, h_{t,n} \qquad\qquad a, b, c, h \in \mathbb{R}^N
# \text{ for each channel}$$
#
# $a_n$ near 1 remembers long, near 0 forgets at once, a negative one swings. Channels do not meet; a linear layer
# before or after sees to that, as the output projection does for heads. Unroll the recurrence from $h = 0$:
#
# $$y_t = \sum_{s=0}^{t} K_s\, x_{t-s}, \qquad K_s = \sum_n c_n\, a_n^s\, b_n$$
#
# The whole layer is a **convolution** with a kernel as long as the text. So, again, two ways to the same numbers:
#
# - **the scan**, one step after another: constant memory, for writing;
# - **the convolution**, for training: all $T$ at once in $O(T \log T)$, by the fast Fourier transform (FFT), in which a
#   convolution is a product.
#
# Two traps, one in each:
#
# - **Update, then read.** Read before the input has come in, and every output is one step late.
# - **The FFT thinks in circles.** For it, after the last number comes the first again. A product of two spectra of
#   length $T$ is the *circular* convolution, in which the end of the text runs into its beginning: the future leaks
#   into the past. Zeros at the end, enough for the longest tail, keep it straight: lengths $T$ and $L$ make
#   $T + L - 1$.
#
# **By hand**: one channel, $N = 1$, $a = \frac12$, $b = 1$, $c = 2$, so $K = (2, 1, \frac12, \frac14)$; $x = (4, 0, 0,
# 8)$.
#
# | $t$ | $h_t$ | $y_t$ |
# |---|---|---|
# | 0 | 4 | 8 |
# | 1 | 2 | 4 |
# | 2 | 1 | 2 |
# | 3 | $\frac12$ + 8 = 8.5 | 17 = 2·8 + ¼·4 |
#
# Circular, $y_0$ would be $2 \cdot 4 + 1 \cdot 8 = 16$.
#
# **Where this leads.** S4 and S4D choose $a$ cleverly (complex, so that the memory oscillates). In **Mamba** ([Gu and
# Dao 2023](https://arxiv.org/abs/2312.00752)) $a$, $b$ and $c$ depend on the token, so that the model decides what to
# remember. Then there is no kernel any more, and no FFT. But the scan can still be done in parallel, since "first
# $h \mapsto a_1 h + u_1$, then $h \mapsto a_2 h + u_2$" is again such a map, $h \mapsto a_2 a_1 h + (a_2 u_1 + u_2)$,
# and pieces can be joined in any grouping, just like the pieces of a
# [softmax](../unit7_attention_core/online_softmax.ipynb) in unit 7. And linear attention is one of these models: its
# state is $S$, with $a = 1$ ([Dao and Gu 2024](https://arxiv.org/abs/2405.21060) tell the whole story).

# %% [markdown]
# ## Exercise `ssm_scan`: a state-space model, twice (14 points)
#
# NumPy, this time. `np.fft.rfft(x, n, axis=...)` fills up with zeros to length `n` by itself.

# %%
def ssm_scan(
    x: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, h0: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """h_t = a h_{t−1} + b x_t, then y_t = Σ_n c_n h_t,n, one step after another.

    Args:
        x: float32 or float64 (B, T, D), T ≥ 1. a, b, c: (D, N), of the same dtype, for each channel and each of its N
            numbers of memory; any values, such as 0, negative ones, or 1.
        h0: (B, D, N), the state before the first step; None stands for zeros.

    Returns:
        (y, h_T): y (B, T, D), and the state after the last step, (B, D, N). Both in the dtype of x. Going on with h_T
        as h0 gives what one call for the whole would have given. No argument is changed.

    `scipy` may not be used.

    >>> x = np.array([4.0, 0.0, 0.0, 8.0]).reshape(1, 4, 1)
    >>> y, h = ssm_scan(x, np.array([[0.5]]), np.array([[1.0]]), np.array([[2.0]]))
    >>> y.ravel().tolist(), h.ravel().tolist()
    ([8.0, 4.0, 2.0, 17.0], [8.5])
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def ssm_convolution(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """y_t = Σ_s kernel[s] x_{t−s} for each channel, over those s for which both exist.

    Args:
        x: float32 or float64 (B, T, D), T ≥ 1. kernel: (D, L), of the same dtype, for each channel; L ≥ 1 may be
            smaller or larger than T.

    Returns:
        (B, T, D) in the dtype of x: the first T outputs. Output t depends on inputs 0..t only, but for rounding, which
        an FFT spreads over all outputs. No argument is changed.

    `scipy` may not be used; `np.fft` is the fast way, and not the only one.

    >>> x = np.array([4.0, 0.0, 0.0, 8.0]).reshape(1, 4, 1)
    >>> ssm_convolution(x, np.array([[2.0, 1.0, 0.5, 0.25]])).ravel().round(9).tolist()
    [8.0, 4.0, 2.0, 17.0]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The pictures
#
# 1. **CLIP**: twelve "images" and "texts", each a different noisy view of the same thing, before and after two linear
#    encoders were trained with your loss for 80 steps. At first the cosines say nothing. Then the diagonal stands out.
# 2. **Experts**: how many of 150 tokens picked each of six experts, two picks a token, before and after the router was
#    trained on your balancing loss alone. The dotted line is an even load.
# 3. **Linear attention**: the weights that the recurrent form gives, though it computes none of them (unit vectors as
#    values bring them to light); and what has to be kept for one head of width 4 after $t$ tokens: a table, the keys
#    and values of a cache, or your state.
# 4. **State-space model**: a kernel with three memories (a slow one, a fast one, a swinging one), an input of three
#    pulses, and the output: line by the scan, dots by the convolution.
#
# That was the last page about architectures. Unit 7 asks how attention is computed fast: [the softmax of a
# stream](../unit7_attention_core/online_softmax.ipynb).
#
# **Further reading.** [van den Oord et al. 2018](https://arxiv.org/abs/1807.03748) for the contrastive loss and what it
# bounds; [Zhai et al. 2023, SigLIP](https://arxiv.org/abs/2303.15343), which asks about each pair by itself;
# [Lepikhin et al. 2020, GShard](https://arxiv.org/abs/2006.16668) on experts that live on different machines;
# [Gu et al. 2021, S4](https://arxiv.org/abs/2111.00396); Sasha Rush and Sidd Karamcheti, *The Annotated S4*.

# %%
def figure_data(part: str) -> np.ndarray:
    """The numbers of one picture, made by your functions.

    "clip": (2, 12, 12), cosines before and after training, images in rows.
    "experts": (2, 6), tokens per expert before and after.
    "attention": (2, 48, 48), the weights of linear attention by the parallel and the recurrent form, queries in rows.
    "state": (48,), how many numbers the state holds after each token, for Dk = Dv = 4.
    "ssm": (4, 64), the kernel, an input, and its output by the scan and by the convolution.
    """
    generator = torch.Generator().manual_seed(6)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def descend(loss: Tensor, parameters: list[Tensor], rate: float) -> None:
        for p in parameters:
            p.grad = None
        loss.backward()
        with torch.no_grad():
            for p in parameters:
                if p.grad is not None:
                    p -= rate * p.grad

    if part == "clip":
        things = normal(12, 8)
        views = [things @ normal(8, 20) + 0.5 * normal(12, 20) for _ in range(2)]
        encoders = [(0.2 * normal(20, 6)).requires_grad_() for _ in range(2)]
        scale = torch.tensor(math.log(1 / 0.07), dtype=torch.float64, requires_grad=True)
        tables = []
        for _ in range(81):
            loss, logits = clip_loss(views[0] @ encoders[0], views[1] @ encoders[1], scale)
            tables.append((logits / scale.exp()).detach())
            descend(loss, [*encoders, scale], rate=0.05)
        return torch.stack([tables[0], tables[-1]]).numpy()
    if part == "experts":
        moe = TopKMoE(8, 4, 6, 2).double()
        router = normal(6, 8)
        router[:, 0] = torch.tensor([3.0, 2.0, 1.0, 0.0, -1.0, -2.0])  # an opinion about a number that all tokens share
        state = {f"experts.{e}.{name}.weight": normal(4, 8) for e in range(6) for name in ("w1", "w3")}
        state |= {f"experts.{e}.w2.weight": normal(8, 4) for e in range(6)} | {"router.weight": router}
        getattr(moe, "load_reference", moe.load_state_dict)(state)
        x = normal(1, 150, 8)
        x[..., 0] = 1.0
        loads = []
        for _ in range(31):
            _, router_logits = moe(x)
            loads.append(router_logits.topk(2).indices.flatten().bincount(minlength=6))
            descend(load_balancing_loss(router_logits, 2), list(moe.parameters()), rate=2.0)  # the router alone moves
        return torch.stack([loads[0], loads[-1]]).numpy()
    if part == "attention":
        T = 48
        q, k, v = 2 * normal(1, 1, T, 4), 2 * normal(1, 1, T, 4), torch.eye(T, dtype=torch.float64)[None, None]
        state, rows = None, []
        for t in range(T):
            o_t, state = linear_attention_recurrent(q[:, :, t], k[:, :, t], v[:, :, t], state)
            rows.append(o_t[0, 0])
        return torch.stack([linear_attention_parallel(q, k, v)[0, 0], torch.stack(rows)]).numpy()
    if part == "state":
        state, sizes = None, []
        for _ in range(48):
            _, state = linear_attention_recurrent(normal(1, 1, 4), normal(1, 1, 4), normal(1, 1, 4), state)
            sizes.append(sum(x.numel() for x in state))
        return np.array(sizes)
    if part == "ssm":
        a, b, c = np.array([[0.97, 0.6, -0.8]]), np.ones((1, 3)), np.array([[0.5, 1.0, 0.5]])
        x = np.zeros((1, 64, 1))
        x[0, [4, 24, 28], 0] = 1.0, 1.0, -0.5
        kernel = (c[..., None] * a[..., None] ** np.arange(64) * b[..., None]).sum(axis=1)  # (1, 64)
        y, _ = ssm_scan(x, a, b, c)
        return np.stack([kernel[0], x[0, :, 0], y[0, :, 0], ssm_convolution(x, kernel)[0, :, 0]])
    raise ValueError(f'part {part!r}: expected "clip", "experts", "attention", "state" or "ssm"')


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    torch.set_num_threads(1)  # for matrices as small as these, more threads only get in each other's way
    fig, axes = plt.subplots(2, 3, figsize=(14, 8), layout="constrained")
    for ax, cosines, when in zip(axes[0], figure_data("clip"), ("before", "after"), strict=False):
        picture = ax.imshow(cosines, vmin=-1, vmax=1, cmap="RdBu_r")
        ax.set_title(f"CLIP: cosines {when} training")
        ax.set_xlabel("text")
        ax.set_ylabel("image")
    fig.colorbar(picture, ax=axes[0, :2], shrink=0.8)
    for offset, load, when in zip((-0.2, 0.2), figure_data("experts"), ("before", "after"), strict=True):
        axes[0, 2].bar(np.arange(6) + offset, load, width=0.4, label=f"{when} balancing")
    axes[0, 2].axhline(50, color="grey", linestyle=":")
    axes[0, 2].set_title("150 tokens, two experts each")
    axes[0, 2].set_xlabel("expert")
    axes[0, 2].set_ylabel("tokens that picked it")
    axes[0, 2].legend()
    parallel, recurrent = figure_data("attention")
    axes[1, 0].imshow(np.where(np.tri(48, dtype=bool), recurrent, np.nan), cmap="Greens", vmax=0.2)
    axes[1, 0].set_title(f"recurrent weights (parallel: {np.abs(parallel - recurrent).max():.0e} apart)")
    axes[1, 0].set_xlabel("key")
    axes[1, 0].set_ylabel("query")
    tokens = np.arange(1, 49)
    for counts, name in ((tokens**2, "table, t × t"), (8 * tokens, "cache, 8 t"), (figure_data("state"), "state")):
        axes[1, 1].loglog(tokens, counts, label=name)
    axes[1, 1].set_title("numbers kept after t tokens")
    axes[1, 1].set_xlabel("t")
    axes[1, 1].legend()
    kernel, pulses, scanned, convolved = figure_data("ssm")
    axes[1, 2].stem(pulses, linefmt="C7-", markerfmt="C7.", basefmt="none", label="input")
    axes[1, 2].plot(kernel, color="C1", linestyle=":", label="kernel")
    axes[1, 2].plot(scanned, color="C0", label="by the scan")
    axes[1, 2].plot(convolved, ".", color="C3", markersize=4, label="by the convolution")
    axes[1, 2].set_title("a state-space model with three memories")
    axes[1, 2].set_xlabel("step")
    axes[1, 2].set_ylim(-0.7, 3.4)
    axes[1, 2].legend(ncols=2, fontsize=9)
    fig.savefig("modern.png", dpi=110)
    plt.show()
