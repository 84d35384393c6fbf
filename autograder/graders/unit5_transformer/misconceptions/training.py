"""Known wrong answers to the page `training`."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- label_smoothing


def with_targets(logits, target, ignore_index, q_of):
    """The mean cross-entropy with targets that q_of makes of the rows that count, (rows, V) one-hot."""
    counts = target != ignore_index
    kept = logits[counts]
    q = q_of(F.one_hot(target[counts], logits.shape[1]).to(logits.dtype))
    return -(q * F.log_softmax(kept, dim=-1)).sum() / max(1, len(kept))


@misconception("label_smoothing", symbol="label_smoothing_loss")
def v_minus_1(logits, target, eps=0.1, ignore_index=-100):
    """eps was spread over the V - 1 wrong symbols. Here it is spread over all V, the right one included.

    The two agree if you put eps · (V - 1) / V in place of eps; the numbers are close, and not equal.
    """
    V = logits.shape[1]
    return with_targets(logits, target, ignore_index, lambda q: (1 - eps) * q + eps / (V - 1) * (1 - q))


@misconception("label_smoothing", symbol="label_smoothing_loss")
def v_minus_2_annotated(logits, target, eps=0.1, ignore_index=-100):
    """eps was spread over V - 2 symbols: all but the right one and number 0, taken for padding.

    That is how a well-known tutorial does it. Here every symbol gets eps / V. What is not to count is said by
    ignore_index, and concerns whole rows.
    """
    V = logits.shape[1]

    def spread(q):
        share = torch.full_like(q, eps / (V - 2) if V > 2 else math.inf)
        share[:, 0] = 0.0
        return torch.where(q > 0, torch.full_like(q, 1 - eps), share)

    return with_targets(logits, target, ignore_index, spread)


@misconception("label_smoothing", symbol="label_smoothing_loss")
def kl_not_ce(logits, target, eps=0.1, ignore_index=-100):
    """This is the Kullback-Leibler divergence, which is smaller than the cross-entropy by the entropy of q.

    The gradients are the same, the number is another: at p = q the divergence is 0, the cross-entropy is not.
    """
    V = logits.shape[1]
    q = [1 - eps + eps / V] + (V - 1) * [eps / V]
    entropy = -sum(share * math.log(share) for share in q if share > 0)
    counts = (target != ignore_index).sum()
    return correct.label_smoothing_loss(logits, target, eps, ignore_index) - (entropy if counts else 0.0)


@misconception("label_smoothing", symbol="label_smoothing_loss")
def ignored_in_mean(logits, target, eps=0.1, ignore_index=-100):
    """The sum was divided by the number of all rows. Those with ignore_index do not count there either.

    Otherwise the same sentence has a smaller loss, and a smaller gradient, the more padding there is in its batch.
    """
    counts = (target != ignore_index).sum()
    return correct.label_smoothing_loss(logits, target, eps, ignore_index) * counts / max(1, len(target))


@misconception("label_smoothing", symbol="label_smoothing_loss")
def smooths_inputs(logits, target, eps=0.1, ignore_index=-100):
    """The model's probabilities were mixed with the uniform distribution. It is the target that is smoothed.

    With smoothed predictions the model has to be even surer to please the loss; a smoothed target is the opposite.
    """
    counts = target != ignore_index
    p = (1 - eps) * torch.softmax(logits[counts], dim=-1) + eps / logits.shape[1]
    right = p.gather(1, target[counts][:, None])
    return -right.log().sum() / max(1, len(right))


@misconception("label_smoothing", symbol="label_smoothing_loss")
def right_one_not_lowered(logits, target, eps=0.1, ignore_index=-100):
    """The right symbol kept its whole 1, and eps came on top: the targets add up to 1 + eps. It has 1 - eps."""
    V = logits.shape[1]
    return with_targets(logits, target, ignore_index, lambda q: q + eps / V)


@misconception("label_smoothing", symbol="label_smoothing_loss")
def eps_for_each(logits, target, eps=0.1, ignore_index=-100):
    """Each symbol got eps. All V of them share it: eps / V each, which is eps times the *mean* of the log p."""
    return with_targets(logits, target, ignore_index, lambda q: (1 - eps) * q + eps)


@misconception("label_smoothing", symbol="label_smoothing_loss")
def share_too_large(logits, target, eps=0.1, ignore_index=-100):
    """eps was divided by V - 1, and given to all V symbols, which adds up to more than eps. Each gets eps / V."""
    V = logits.shape[1]
    return with_targets(logits, target, ignore_index, lambda q: (1 - eps) * q + eps / (V - 1))


@misconception("label_smoothing", symbol="label_smoothing_loss")
def right_one_without_share(logits, target, eps=0.1, ignore_index=-100):
    """The right symbol has 1 - eps and no share of eps. All V symbols have one, the right one included."""
    V = logits.shape[1]
    return with_targets(logits, target, ignore_index, lambda q: (1 - eps) * q + eps / V * (1 - q))


@misconception("label_smoothing", symbol="label_smoothing_loss")
def shares_exchanged(logits, target, eps=0.1, ignore_index=-100):
    """eps and 1 - eps were exchanged: the right symbol gets eps, and the rest is spread evenly."""
    V = logits.shape[1]
    return with_targets(logits, target, ignore_index, lambda q: eps * q + (1 - eps) / V)


@misconception("label_smoothing", symbol="label_smoothing_loss")
def not_smoothed(logits, target, eps=0.1, ignore_index=-100):
    """eps was not used: this is plain cross-entropy."""
    return with_targets(logits, target, ignore_index, lambda q: q)


@misconception("label_smoothing", symbol="label_smoothing_loss")
def not_averaged(logits, target, eps=0.1, ignore_index=-100):
    """The rows were added, not averaged: divide by the number of rows that count."""
    return correct.label_smoothing_loss(logits, target, eps, ignore_index) * (target != ignore_index).sum()


@misconception("label_smoothing", symbol="label_smoothing_loss")
def mean_of_nothing(logits, target, eps=0.1, ignore_index=-100):
    """Where no row counts the result is NaN, the mean of nothing. It is to be 0, with zero gradients."""
    loss = correct.label_smoothing_loss(logits, target, eps, ignore_index)
    counts = (target != ignore_index).sum()
    return loss * counts / counts


@misconception("label_smoothing", symbol="label_smoothing_loss")
def log_after_softmax(logits, target, eps=0.1, ignore_index=-100):
    """The logarithm was taken of a softmax that is 0: −∞. `F.log_softmax` does both at once, and stays finite."""
    counts = target != ignore_index
    logp = torch.softmax(logits[counts], dim=-1).log()
    right = logp.gather(1, target[counts][:, None]).squeeze(1)
    return ((eps - 1) * right - eps * logp.mean(dim=1)).sum() / max(1, int(counts.sum()))


@misconception("label_smoothing", symbol="label_smoothing_loss")
def only_minus_100_ignored(logits, target, eps=0.1, ignore_index=-100):
    """ignore_index was not used: rows with -100 do not count, whatever is passed."""
    return correct.label_smoothing_loss(logits, target, eps)


@misconception("label_smoothing", symbol="label_smoothing_loss")
def ignored_rows_smoothed(logits, target, eps=0.1, ignore_index=-100):
    """In rows that do not count only the right symbol was left out; the smoothed part stayed. The whole row is 0."""
    loss = correct.label_smoothing_loss(logits, target, eps, ignore_index)
    counts = target != ignore_index
    others = -eps * F.log_softmax(logits[~counts], dim=-1).mean(dim=-1).sum()
    return loss + others / max(1, int(counts.sum()))


# ---------------------------------------------------------------- noam_schedule


@misconception("noam_schedule", symbol="noam_lr")
def max_not_min(step, d_model, warmup, factor=1.0):
    """The larger of the two terms was taken. It is the smaller one that counts.

    With the maximum the rate begins at its highest and rises without end after the warm-up.
    """
    step = max(step, 1)
    return factor * d_model**-0.5 * max(step**-0.5, step * warmup**-1.5)


@misconception("noam_schedule", symbol="noam_lr")
def warmup_power(step, d_model, warmup, factor=1.0):
    """The warm-up has the exponent -1/2. It is -3/2.

    The two terms must meet at step = warmup, where s · w^-3/2 is w^-1/2; s · w^-1/2 exceeds s^-1/2 from the second step
    on, if not from the first, and there is no warm-up.
    """
    step = max(step, 1)
    return factor * d_model**-0.5 * min(step**-0.5, step * warmup**-0.5)


@misconception("noam_schedule", symbol="noam_lr")
def zero_division(step, d_model, warmup, factor=1.0):
    """Step 0 was put into the formula, where 0 ** -0.5 is an error. Step 0 has the rate of step 1."""
    return factor * d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


@misconception("noam_schedule", symbol="noam_lr")
def d_model_not_rooted(step, d_model, warmup, factor=1.0):
    """The rate was divided by d_model instead of by its root."""
    return correct.noam_lr(step, d_model, warmup, factor) * d_model**-0.5


@misconception("noam_schedule", symbol="noam_lr")
def cosine_or_linear_decay(step, d_model, warmup, factor=1.0):
    """After the warm-up the rate falls along another curve. It is to fall with the root of the step, without an end.

    Cosine and linear decay end at 0 after a number of steps that has to be known beforehand; this schedule knows none.
    """
    peak = correct.noam_lr(warmup, d_model, warmup, factor)
    if step <= warmup:
        return correct.noam_lr(step, d_model, warmup, factor)
    return peak * max(0.0, 1 - (step - warmup) / (9 * warmup))


@misconception("noam_schedule", symbol="noam_lr")
def float32_rate(step, d_model, warmup, factor=1.0):
    """The rate is a float32 tensor, with seven digits. Asked for is a Python float.

    Numbers of Python are float64 and can be raised to any power; nothing here needs a tensor.
    """
    return torch.tensor(correct.noam_lr(step, d_model, warmup, factor))


@misconception("noam_schedule", symbol="noam_lr")
def step_0_is_0(step, d_model, warmup, factor=1.0):
    """Step 0 has the rate 0. It has that of step 1."""
    return correct.noam_lr(step, d_model, warmup, factor) if step else 0.0


@misconception("noam_schedule", symbol="noam_lr")
def one_step_ahead(step, d_model, warmup, factor=1.0):
    """Every step has the rate of the next one. Only step 0 does; from 1 on the formula takes step itself."""
    return correct.noam_lr(step + 1, d_model, warmup, factor)


@misconception("noam_schedule", symbol="noam_lr")
def factor_not_used(step, d_model, warmup, factor=1.0):
    """factor was not used. It multiplies the rate."""
    return correct.noam_lr(step, d_model, warmup)


@misconception("noam_schedule", symbol="noam_lr")
def width_not_used(step, d_model, warmup, factor=1.0):
    """d_model was not used: the rate is multiplied by d_model ** -0.5."""
    return correct.noam_lr(step, 1, warmup, factor)


@misconception("noam_schedule", symbol="noam_lr")
def width_makes_faster(step, d_model, warmup, factor=1.0):
    """The rate was multiplied by the root of d_model. It is divided by it: wider models take smaller steps."""
    return correct.noam_lr(step, d_model, warmup, factor) * d_model


@misconception("noam_schedule", symbol="noam_lr")
def warmup_to_one(step, d_model, warmup, factor=1.0):
    """The warm-up is step / warmup, which rises to 1. It is step · warmup^-3/2, which meets step^-1/2 at the peak."""
    step = max(step, 1)
    return factor * d_model**-0.5 * min(step**-0.5, step / warmup)


# ---------------------------------------------------------------- train_copy_task


ASKED = {"betas": (0.9, 0.98), "eps": 1e-9}


def adam(kind=torch.optim.Adam, **options):
    """What makes an optimiser of that kind, for a model's parameters and a rate."""
    return lambda parameters, lr: kind(parameters, lr=lr, **options)


as_asked = adam(**ASKED)


def trained(
    model,
    data_gen,
    steps,
    lr,
    warmup,
    generator,
    causal=True,
    shift=True,
    places=True,
    fresh=True,
    forget=True,
    early=0,
    bos=1,
    optimizer=as_asked,
    loss_of=lambda logits, tgt: F.cross_entropy(logits.flatten(0, 1), tgt.flatten(), ignore_index=0),
    rate=lambda s, w: min(s / w, math.sqrt(w / max(s, 1))),
    clip=lambda model: nn.utils.clip_grad_norm_(model.parameters(), 1.0),
):
    """The training loop with one thing wrong."""
    optimizer = optimizer(model.parameters(), lr)
    losses, batch = [], None
    for s in range(1, steps + 1):
        batch = data_gen(generator) if fresh or batch is None else batch
        src, tgt = batch
        T = tgt.shape[1]
        inp = torch.cat([torch.full_like(tgt[:, :1], bos), tgt[:, :-1]], dim=1) if shift else tgt
        mask = torch.ones(T, T, dtype=torch.bool).tril() if causal else None
        positions = torch.arange(max(T, src.shape[1])) if places else None
        logits = model(src, inp, tgt_mask=mask, positions=positions)
        loss = loss_of(logits, tgt)
        if forget:
            optimizer.zero_grad()
        loss.backward()
        clip(model)
        for group in optimizer.param_groups:
            group["lr"] = lr * rate(s + early, warmup)
        optimizer.step()
        losses.append(loss.item())
    return losses


@misconception("train_copy_task", symbol="train_copy")
def no_causal_mask(model, data_gen, steps, lr, warmup, generator):
    """The model was called without a causal mask: each place sees the symbols that it is to predict.

    The loss falls all the same, and lower than it should. When the model has to write by itself, there is nothing to
    look ahead to.
    """
    return trained(model, data_gen, steps, lr, warmup, generator, causal=False)


@misconception("train_copy_task", symbol="train_copy")
def no_target_shift(model, data_gen, steps, lr, warmup, generator):
    """Input and labels are the same: the model is asked for the symbol that it has just read.

    The input is one place behind, with BOS in front. Without that the loss falls to 0, and nothing is learned.
    """
    return trained(model, data_gen, steps, lr, warmup, generator, shift=False)


@misconception("train_copy_task", symbol="train_copy")
def no_positions(model, data_gen, steps, lr, warmup, generator):
    """The model was not told the positions of the symbols. Without them attention sees a bag of symbols.

    It then knows which symbols there are, and not in which order; the loss stays near 1.
    """
    return trained(model, data_gen, steps, lr, warmup, generator, places=False)


@misconception("train_copy_task", symbol="train_copy")
def eval_on_train_batch(model, data_gen, steps, lr, warmup, generator):
    """One batch was drawn, and used in every step.

    The losses then say how well the model knows this batch by heart. Call data_gen once in each step.
    """
    return trained(model, data_gen, steps, lr, warmup, generator, fresh=False)


@misconception("train_copy_task", symbol="train_copy")
def zero_grad_missing(model, data_gen, steps, lr, warmup, generator):
    """The gradients of earlier steps were never forgotten: backward() adds to what is there.

    Each step then goes where all steps so far would have liked to go. The first loss is right, and so is the second.
    """
    return trained(model, data_gen, steps, lr, warmup, generator, forget=False)


@misconception("train_copy_task", symbol="train_copy")
def scheduler_before_optimizer(model, data_gen, steps, lr, warmup, generator):
    """The learning rate is one step ahead: step 1 was made with the rate of step 2, and so on.

    That happens when the scheduler is advanced before the optimiser. First the step, then the next rate.
    """
    return trained(model, data_gen, steps, lr, warmup, generator, early=1)


@misconception("train_copy_task", symbol="train_copy")
def rate_one_behind(model, data_gen, steps, lr, warmup, generator):
    """The learning rate is one step behind: step 1 was made with the rate of step 0, which is 0. Steps count from 1."""
    return trained(model, data_gen, steps, lr, warmup, generator, early=-1)


@misconception("train_copy_task", symbol="train_copy")
def rate_is_constant(model, data_gen, steps, lr, warmup, generator):
    """The learning rate is lr in every step. It rises for `warmup` steps, and falls afterwards."""
    return trained(model, data_gen, steps, lr, warmup, generator, rate=lambda s, w: 1.0)


@misconception("train_copy_task", symbol="train_copy")
def rate_does_not_fall(model, data_gen, steps, lr, warmup, generator):
    """After the warm-up the learning rate stays at lr. It falls with √(warmup / s)."""
    return trained(model, data_gen, steps, lr, warmup, generator, rate=lambda s, w: min(s / w, 1.0))


@misconception("train_copy_task", symbol="train_copy")
def rate_falls_linearly(model, data_gen, steps, lr, warmup, generator):
    """After the warm-up the learning rate falls like warmup / s. It falls with the root of that."""
    return trained(model, data_gen, steps, lr, warmup, generator, rate=lambda s, w: min(s / w, w / s))


@misconception("train_copy_task", symbol="train_copy")
def no_warmup(model, data_gen, steps, lr, warmup, generator):
    """There is no warm-up: the first steps have the full learning rate."""
    return trained(model, data_gen, steps, lr, warmup, generator, rate=lambda s, w: min(1.0, math.sqrt(w / s)))


@misconception("train_copy_task", symbol="train_copy")
def rate_of_the_paper(model, data_gen, steps, lr, warmup, generator):
    """The learning rate is lr times the Noam formula, whose peak is lr · warmup^-1/2. Here lr itself is the peak."""
    return trained(model, data_gen, steps, lr, warmup, generator, rate=lambda s, w: min(s * w**-1.5, s**-0.5))


@misconception("train_copy_task", symbol="train_copy")
def not_clipped(model, data_gen, steps, lr, warmup, generator):
    """The gradient was not clipped, or not between backward() and the optimiser's step."""
    return trained(model, data_gen, steps, lr, warmup, generator, clip=lambda model: None)


@misconception("train_copy_task", symbol="train_copy")
def numbers_clipped(model, data_gen, steps, lr, warmup, generator):
    """Each number of the gradient was clipped. It is the norm of the whole gradient that is brought down to 1."""
    return trained(
        model, data_gen, steps, lr, warmup, generator, clip=lambda m: nn.utils.clip_grad_value_(m.parameters(), 1.0)
    )


@misconception("train_copy_task", symbol="train_copy")
def parameters_clipped(model, data_gen, steps, lr, warmup, generator):
    """Each parameter's gradient was clipped by itself. The norm is that of all parameters together."""

    def clip(model):
        for parameter in model.parameters():
            nn.utils.clip_grad_norm_([parameter], 1.0)

    return trained(model, data_gen, steps, lr, warmup, generator, clip=clip)


@misconception("train_copy_task", symbol="train_copy")
def adam_by_default(model, data_gen, steps, lr, warmup, generator):
    """Adam has its own settings, betas (0.9, 0.999) and eps 1e-8. Asked for are (0.9, 0.98) and 1e-9."""
    return trained(model, data_gen, steps, lr, warmup, generator, optimizer=adam())


@misconception("train_copy_task", symbol="train_copy")
def betas_by_default(model, data_gen, steps, lr, warmup, generator):
    """Adam's betas are the usual ones, (0.9, 0.999). Asked for are (0.9, 0.98)."""
    return trained(model, data_gen, steps, lr, warmup, generator, optimizer=adam(eps=1e-9))


@misconception("train_copy_task", symbol="train_copy")
def weights_decay(model, data_gen, steps, lr, warmup, generator):
    """The weights decay: AdamW does so unless told otherwise. Asked for is Adam without weight decay."""
    return trained(model, data_gen, steps, lr, warmup, generator, optimizer=adam(torch.optim.AdamW, **ASKED))


def of_all_labels(logits, tgt):
    return F.cross_entropy(logits.flatten(0, 1), tgt.flatten())


@misconception("train_copy_task", symbol="train_copy")
def padding_counts(model, data_gen, steps, lr, warmup, generator):
    """Padding counts among the labels: `ignore_index` is -100 unless told otherwise, and PAD is 0."""
    return trained(model, data_gen, steps, lr, warmup, generator, loss_of=of_all_labels)


def by_sentence(logits, tgt):
    losses = F.cross_entropy(logits.flatten(0, 1), tgt.flatten(), ignore_index=0, reduction="none").view_as(tgt)
    return (losses.sum(dim=1) / (tgt != 0).sum(dim=1)).mean()


@misconception("train_copy_task", symbol="train_copy")
def mean_of_sentences(model, data_gen, steps, lr, warmup, generator):
    """The loss is the mean of the sentences' means, where a symbol of a short one counts more. Average over labels."""
    return trained(model, data_gen, steps, lr, warmup, generator, loss_of=by_sentence)


@misconception("train_copy_task", symbol="train_copy")
def begins_with_pad(model, data_gen, steps, lr, warmup, generator):
    """The decoder's input begins with 0, which is PAD. BOS is 1."""
    return trained(model, data_gen, steps, lr, warmup, generator, bos=0)


@misconception("train_copy_task", symbol="train_copy")
def left_in_eval_mode(model, data_gen, steps, lr, warmup, generator):
    """The model is in eval mode afterwards. It comes in train mode, and is handed back in it."""
    losses = trained(model, data_gen, steps, lr, warmup, generator)
    model.eval()
    return losses
