# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Training
#
# *Unit 5, page 9 of 9, about 2 hours. Before: [generation](generation.ipynb). Next: unit 6,
# [variants](../unit6_variants/bert.ipynb). Papers: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), sections
# 5.3 and 5.4; [Szegedy et al. 2016, Rethinking the Inception Architecture](https://arxiv.org/abs/1512.00567), section
# 7, for label smoothing; [Müller et al. 2019, When Does Label Smoothing Help?](https://arxiv.org/abs/1906.02629);
# [Xiong et al. 2020](https://arxiv.org/abs/2002.04745) on why the warm-up is needed.*
#
# Three things made the transformer of 2017 train: a loss that does not ask for the impossible, a learning rate that
# begins at nearly nothing, and a training loop in which input, mask and labels fit together. The first two are a line
# each. The third is where the time goes.
#
# ![A one-hot target and a smoothed one; the learning rate as the lower of a rising line and a falling
# curve](diagrams/training.svg)
#
# ## A target that leaves room for doubt
#
# Cross-entropy with a one-hot target asks for probability 1. A softmax never gets there, so the logits are pushed apart
# for as long as the training lasts, and the model becomes surer than it has reason to be. **Label smoothing** asks for
# a little less: of the unit of probability, $\varepsilon$ is spread evenly over *all* $V$ symbols, the right one
# included:
#
# $$q_k = (1 - \varepsilon)\,[k = y] + \frac{\varepsilon}{V}, \qquad
# \mathcal L = -\sum_k q_k \log p_k, \qquad p = \mathrm{softmax}(z)$$
#
# Its gradient by the logits is $p - q$ (as in [unit 0](../unit0_prerequisites/numerics.ipynb), with $q$ in place of the
# one-hot vector). It vanishes at $p = q$, which logits of ordinary size can reach. There the loss is not 0 but the
# entropy of $q$, so do not expect a smoothed loss to approach 0, nor its exponential to be a perplexity.
#
# By hand, $V = 2$ and $\varepsilon = 0.2$: the logits $(0, \ln 3)$ give $p = (\frac14, \frac34)$. If the right symbol
# is number 1, $q = (0.1, 0.9)$, and
#
# $$\mathcal L = -0.1 \ln\tfrac14 - 0.9 \ln\tfrac34 = 0.1386 + 0.2589 = 0.3975,$$
#
# where plain cross-entropy would be $-\ln\frac34 = 0.2877$. The lowest possible value is the entropy of $q$, $0.3251$.
#
# There are relatives that give other numbers: $\frac{\varepsilon}{V-1}$ for each *wrong* symbol; $\frac{\varepsilon}
# {V-2}$, with nothing for padding, in a well-known tutorial; and the Kullback-Leibler divergence, which is the loss
# minus the entropy of $q$ (the same gradient, another number). Ours is the formula above, torch's.
#
# As always, positions that hold padding do not count, neither in the sum nor in the number it is divided by.

# %%
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder.given import BareTransformer, SequenceTask

# %% [markdown]
# ## Exercise `label_smoothing`: label smoothing (10 points)
#
# `F.log_softmax` is your friend; `F.cross_entropy`, which has an option for all this, may not be used.


# %% exercise="label_smoothing"
def label_smoothing_loss(logits: Tensor, target: Tensor, eps: float = 0.1, ignore_index: int = -100) -> Tensor:
    """Cross-entropy with smoothed targets, averaged over the rows that count.

    Args:
        logits: (N, V), float32 or float64, finite; they may be large, such as 1e4. V ≥ 2.
        target: int64 (N,), the right symbol of each row, 0 ... V - 1, or ignore_index: such a row does not count.
            (ignore_index may be one of the symbols, 0 for instance.)
        eps: share that is spread over all V symbols, 0 ≤ eps ≤ 1. With 0 it is plain cross-entropy.
        ignore_index: see target.

    Returns:
        a tensor without axes, in the dtype of logits: the mean over the rows that count of -Σ_k q_k log p_k, with p the
        softmax of the row and q_k = (1 - eps) · [k is the target] + eps / V. Natural logarithm. If no row counts (or
        N = 0), it is 0, and so are the gradients. Differentiable in logits; no argument is changed.

    `F.cross_entropy` and `nn.CrossEntropyLoss` may not be used.

    >>> logits = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]])
    >>> round(label_smoothing_loss(logits, torch.tensor([1, -100]), eps=0.2).item(), 4)
    0.3975
    >>> round(label_smoothing_loss(logits, torch.tensor([1, -100]), eps=0.0).item(), 4)
    0.2877
    """
    ### BEGIN SOLUTION
    counts = target != ignore_index
    logp = F.log_softmax(logits[counts], dim=-1)  # (rows that count, V)
    right = logp.gather(1, target[counts][:, None]).squeeze(1)
    losses = -(1 - eps) * right - eps * logp.mean(dim=1)
    return losses.sum() / max(1, len(losses))
    ### END SOLUTION


# %% [markdown]
# ## A learning rate that begins small
#
# At the beginning a post-LN transformer has large gradients near its output, and Adam knows nothing about their size
# yet: its running averages are made of a few steps. A full-sized step then does damage that takes long to repair.
# Hence the **warm-up**: the rate rises linearly for $w$ steps, and then falls with the square root of the step.
#
# $$\eta(s) = f \cdot d^{-1/2} \cdot \min\!\left(s^{-1/2},\; s \cdot w^{-3/2}\right)$$
#
# The two arguments of the minimum are equal at $s = w$, where the rate has its peak $f \cdot (d\,w)^{-1/2}$. Step 0 is
# outside of the formula ($0^{-1/2}$), but schedulers ask for it; here it counts as step 1. The factor $d^{-1/2}$ makes
# wider models take smaller steps. (The schedule is called "Noam" after one of the authors.)
#
# By hand, $d = 4$, $w = 4$, $f = 1$: step 1 has $\frac12 \min(1, \frac18) = 0.0625$, step 4 has $\frac12 \cdot \frac12
# = 0.25$, which is $(4 \cdot 4)^{-1/2}$, and step 16 has $\frac12 \cdot \frac14 = 0.125$.

# %% [markdown]
# ## Exercise `noam_schedule`: the learning rate of the paper (6 points)


# %% exercise="noam_schedule"
def noam_lr(step: int, d_model: int, warmup: int, factor: float = 1.0) -> float:
    """The learning rate of a step: factor · d_model^-½ · min(step^-½, step · warmup^-3/2).

    Args:
        step: 0, 1, 2, ...; step 0 has the rate of step 1.
        d_model: width of the model, at least 1.
        warmup: number of steps during which the rate rises, at least 1.
        factor: multiplies the rate.

    Returns a Python float (a float32 tensor, say, has not enough digits).

    >>> [noam_lr(step, d_model=4, warmup=4) for step in (0, 1, 4, 16)]
    [0.0625, 0.0625, 0.25, 0.125]
    """
    ### BEGIN SOLUTION
    step = max(step, 1)
    return factor * d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
    ### END SOLUTION


# %% [markdown]
# ## A loop in which everything fits together
#
# The task could not be simpler: **copy** the source. A transformer of one layer each learns it within some seconds. If
# everything is right, that is; and the trouble is that the loss does not tell. Here is what one finds when the trained
# model has to copy fresh sequences by itself, step by step:
#
# | model | loss at the end | symbols right |
# |---|---|---|
# | right | ~ 0 | nearly all |
# | without the causal mask | ~ 0 | from a fifth to two thirds |
# | without the shift | ~ 0 | about as many as by guessing |
# | without positions | stays near 1 | about a third |
#
# Two of the three wrong ones have a *perfect* loss. They have found another way to the label: it stands in their input.
# Only writing shows the difference, because there the answer does not exist yet.
#
# There is a second test that takes no decoding: data that *cannot* be learned. If the target is noise, unrelated to the
# source, then no honest model gets below the entropy of the noise. One that does has seen the answer.
#
# So that all this is up to you, the kit's `BareTransformer` does as little by itself as torch's `nn.Transformer`: it
# attends where it is told, and knows of positions what it is told. Each step of your loop:
#
# 1. draw a **fresh** batch (a model that sees one batch over and over learns that batch);
# 2. make input and labels from the target (see [the whole transformer](transformer.ipynb));
# 3. call the model with a causal mask and with positions;
# 4. cross-entropy over the labels that are no padding;
# 5. gradients: forget the old ones, compute the new ones, clip them to norm 1;
# 6. the learning rate of *this* step, then the optimiser's step.
#
# The rate has the shape of the Noam schedule, with its peak given instead of the width. In step $s = 1, 2, \dots$
#
# $$\eta(s) = \text{lr} \cdot \min\!\left(\frac{s}{w},\; \sqrt{\frac{w}{s}}\right)$$
#
# By hand, lr $= 0.1$ and $w = 4$: 0.025, 0.05, 0.075, 0.1, and then $0.1 \sqrt{4/5} \approx 0.0894$. Off by one is a
# popular mistake here: a scheduler that is advanced before the optimiser gives step 1 the rate of step 2.

# %% [markdown]
# ## Exercise `train_copy_task`: train a transformer to copy (20 points)
#
# All choices are written down, so that the first losses can be compared to the last digit. Then the grader trains a
# model with your loop and lets it copy fresh sequences.


# %% exercise="train_copy_task"
def train_copy(
    model: nn.Module,
    data_gen: Callable[[torch.Generator], tuple[Tensor, Tensor]],
    steps: int,
    lr: float,
    warmup: int,
    generator: torch.Generator,
) -> list[float]:
    """Train a sequence-to-sequence model in place, and return its losses.

    Args:
        model: logits = model(src, inp, tgt_mask=..., positions=...), (B, T, V) for src int64 (B, S) and inp int64
            (B, T). tgt_mask: bool, True = may attend, broadcastable to (B, H, T, T); without it every symbol of inp
            sees all others. positions: int64, at least as long as S and T; symbol t of src, and of inp, stands at
            positions[t]; without it no symbol has a position. Padding in src the model leaves out by itself. Parameters
            are float32 or float64. It comes in train mode, in which it is to be trained and handed back; it has no
            dropout. (It is a BareTransformer of the kit.)
        data_gen: data_gen(generator) gives a batch: src int64 (B, S) and tgt int64 (B, T), both right-padded with 0
            (PAD); each row of tgt ends with 2 (EOS) before the padding. T may differ from S.
        steps: number of steps, at least 1.
        lr: the highest learning rate. warmup: the step that has it, at least 1.
        generator: for data_gen. Nothing else is drawn from it, or from anywhere.

    In step s = 1 ... steps: one batch is drawn, by one call of data_gen. The decoder's input is 1 (BOS) and then tgt
    without its last column; the labels are tgt, of which PAD does not count. The mask is causal (whether it also hides
    padding makes no difference), and symbol t of src and of inp has position t. The loss is the mean cross-entropy over
    all labels of the batch that count. Its gradient is clipped to norm 1 (over all parameters together, as
    `nn.utils.clip_grad_norm_` does), and the parameters are changed by Adam with betas (0.9, 0.98), eps 1e-9 and
    without weight decay, at the rate lr · min(s / warmup, √(warmup / s)).

    Returns:
        the loss of each step as a float, before the parameters are changed: `steps` numbers.

    >>> _ = torch.manual_seed(0)
    >>> model = BareTransformer(vocab=12, d_model=16, n_heads=2, n_layers=1, d_ff=16)
    >>> task = SequenceTask("copy", length=4, batch=32)
    >>> losses = train_copy(model, task, steps=60, lr=0.02, warmup=10, generator=torch.Generator().manual_seed(0))
    >>> len(losses), losses[0] > 2, losses[-1] < 1
    (60, True, True)
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, 0.98), eps=1e-9)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / warmup, math.sqrt(warmup / (s + 1))))
    losses = []
    for _ in range(steps):
        src, tgt = data_gen(generator)
        inp = torch.cat([torch.ones_like(tgt[:, :1]), tgt[:, :-1]], dim=1)
        T = inp.shape[1]
        positions = torch.arange(max(T, src.shape[1]), device=tgt.device)
        causal = positions[:T] <= positions[:T, None]
        logits = model(src, inp, tgt_mask=causal, positions=positions)
        loss = F.cross_entropy(logits.flatten(0, 1), tgt.flatten(), ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        losses.append(loss.item())
    return losses
    ### END SOLUTION


# %% [markdown]
# ## The picture
#
# Left, the schedule for two widths and two warm-ups: a wider model gets a smaller rate, a longer warm-up a later and
# lower peak. Middle, what label smoothing does to the loss of a right symbol, as its logit rises above those of 9
# others. Without smoothing more is always better. With it there is a best distance, and beyond that the loss *rises*.
#
# Right, your loop trains four models to copy: one as it should be, and three that are each deprived of one thing, by a
# wrapper that keeps it from the model. The legend says how many symbols each gets right when it writes by itself. Look
# at the losses first, and guess.
#
# That is the whole transformer of 2017. [Unit 6](../unit6_variants/bert.ipynb) takes it apart again: the encoder alone
# is BERT, the decoder alone is GPT.


# %%
class Deprived(nn.Module):
    """Passes everything on to a model, but for one thing."""

    def __init__(self, model: nn.Module, of: str | None) -> None:
        super().__init__()
        self.model, self.of = model, of

    def forward(
        self, src: Tensor, inp: Tensor, tgt_mask: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        if self.of == "shift" and self.training:  # undo it: what is to be predicted stands in the input
            inp = torch.cat([inp[:, 1:], torch.full_like(inp[:, :1], 2)], dim=1)
        mask = None if self.of == "causal mask" else tgt_mask
        return self.model(src, inp, tgt_mask=mask, positions=None if self.of == "positions" else positions)


def copied(model: nn.Module, generator: torch.Generator) -> float:
    """The share of right symbols in 200 fresh sequences that the model copies by itself (greedy decoding)."""
    src, tgt = SequenceTask("copy", length=6, batch=200)(generator)
    inp = torch.ones_like(src[:, :1])
    model.eval()
    with torch.no_grad():
        for t in range(1, tgt.shape[1] + 1):
            causal = torch.ones(t, t, dtype=torch.bool).tril()
            logits = model(src, inp, tgt_mask=causal, positions=torch.arange(7))
            inp = torch.cat([inp, logits[:, -1:].argmax(dim=-1)], dim=1)
    counts = tgt != 0
    return (inp[:, 1:] == tgt)[counts].double().mean().item()


def experiment(of: str | None, steps: int = 150, seed: int = 0) -> tuple[list[float], float]:
    """Train one model; its losses, and how well it copies."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Deprived(BareTransformer(12, 32, 4, 1, 64), of)
    generator = torch.Generator().manual_seed(seed)
    losses = train_copy(model, SequenceTask("copy", length=6, batch=32), steps, 0.008, 30, generator)
    return losses, copied(model, generator)


def figure_data(name: str = "rates") -> Tensor:
    """What two of the panels show.

    "rates": (4, 400), steps 1 ... 400 for (d, w) = (64, 50), (256, 50), (64, 150), (256, 150). "losses": (3, 81), with
    eps 0, 0.1 and 0.3, of a right symbol whose logit is 0, 0.1, ... 8 among 9 others with logit 0.
    """
    if name == "rates":
        rates = [[noam_lr(step, d, w) for step in range(1, 401)] for w in (50, 150) for d in (64, 256)]
        return torch.tensor(rates, dtype=torch.float64)
    logits = F.pad(torch.arange(81, dtype=torch.float64)[:, None] / 10, (0, 9))
    right = torch.tensor([0])
    losses = [[label_smoothing_loss(row[None], right, eps).item() for row in logits] for eps in (0.0, 0.1, 0.3)]
    return torch.tensor(losses, dtype=torch.float64)


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    torch.set_num_threads(1)  # for matrices as small as these, more threads only get in each other's way
    rates, smoothed = figure_data("rates"), figure_data("losses")
    fig, (left, middle, last) = plt.subplots(1, 3, figsize=(16, 4.6), layout="constrained")
    for curve, name in zip(rates, ("d 64, w 50", "d 256, w 50", "d 64, w 150", "d 256, w 150"), strict=True):
        left.plot(range(1, 401), curve, label=name)
    left.set_title("the learning rate")
    left.set_xlabel("step")
    for curve, share_of_all in zip(smoothed, (0.0, 0.1, 0.3), strict=True):
        (line,) = middle.plot(torch.arange(81) / 10, curve, label=f"eps = {share_of_all}")
        middle.plot(curve.argmin() / 10, curve.min(), "o", color=line.get_color())
    middle.set_title("label smoothing: the loss, and its minimum")
    middle.set_xlabel("logit of the right symbol (9 others have 0)")
    for of in (None, "causal mask", "shift", "positions"):
        measured, copied_right = experiment(of)
        name = "as it should be" if of is None else f"without {of}"
        last.plot(range(1, len(measured) + 1), measured, label=f"{name}: {copied_right:.0%} right")
    last.set_title("learning to copy: the loss does not tell")
    last.set_xlabel("step")
    last.set_ylabel("training loss")
    for ax in (left, middle, last):
        ax.legend()
        ax.set_ylim(0, None)
    fig.savefig("training.png", dpi=110)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Müller et al. 2019, [When does label smoothing help?](https://arxiv.org/abs/1906.02629); Vaswani et al. 2017,
#   [Attention is all you need](https://arxiv.org/abs/1706.03762), section 5.
# - Stanford [CS336](https://stanford-cs336.github.io/), language models from scratch: lectures and assignments.
