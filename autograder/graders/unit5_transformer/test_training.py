"""Hidden grader of the page `training`."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autograder.given import BareTransformer, SequenceTask
from autograder.grading import agree, agree_gradients, close, quiet_rng
from autograder.grading.compare import Disagreement, describe

# ---------------------------------------------------------------- label_smoothing

label_smoothing = pytest.mark.exercise("label_smoothing")


def rows(draw, N=11, V=7, ignored=(), ignore_index=-100, dtype=torch.float64):
    """Logits of a few units, targets, and some rows that do not count."""
    logits, target = draw.tensor(N, V, dtype=dtype, scale=1.5), draw.integers(0, V, N)
    target[target == ignore_index] = V - 1
    target[list(ignored)] = ignore_index
    return logits, target


@label_smoothing
@pytest.mark.weight(3)
def test_smoothed(student, reference, draw):
    """The target gets 1 - eps, and all symbols, the target included, eps / V: the cross-entropy with that."""
    for V, eps in ((7, 0.1), (3, 0.4), (13, 0.25)):
        agree(student.label_smoothing_loss, reference.label_smoothing_loss, *rows(draw, V=V), eps=eps)
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, *rows(draw))  # eps is 0.1 by default


@label_smoothing
@pytest.mark.weight(2)
def test_without_smoothing(student, reference, draw):
    """With eps 0 it is plain cross-entropy; with eps 1 all symbols are equally right."""
    logits, target = rows(draw)
    loss = agree(student.label_smoothing_loss, reference.label_smoothing_loss, logits, target, eps=0.0)
    close(loss, F.cross_entropy(logits, target))
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, logits, target, eps=1.0)


@label_smoothing
def test_two_symbols(student, reference, draw):
    """Two symbols are enough, and one row."""
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, *rows(draw, V=2), eps=0.3)
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, *rows(draw, N=1), eps=0.2)


@label_smoothing
@pytest.mark.weight(2)
def test_ignored_rows(student, reference, draw):
    """Rows with ignore_index count neither in the sum nor in the number of rows; it may be one of the symbols."""
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, *rows(draw, ignored=(0, 4, 5, 10)), eps=0.2)
    logits, target = rows(draw, ignored=(1, 2, 7), ignore_index=0)
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, logits, target, eps=0.2, ignore_index=0)
    logits, target = rows(draw, ignored=(3,), ignore_index=255)
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, logits, target, ignore_index=255)


@label_smoothing
def test_nothing_counts(student, reference, draw):
    """If no row counts, the loss is 0, and the gradient too; also with no rows at all."""
    logits, target = rows(draw, N=3, ignored=(0, 1, 2))
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, logits, target)
    seen = student.vjp(student.label_smoothing_loss, logits, target, cotangent=torch.tensor(1.0).double())
    gradient = seen.grads[0] if seen.grads else None
    if gradient is not None:
        close(gradient, torch.zeros_like(logits), tolerance=(0, 0), what="the gradient")
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, logits[:0], target[:0])


@label_smoothing
def test_large_logits(student, reference, draw):
    """Logits of 1e4 give a finite loss and finite gradients."""
    logits, target = rows(draw)
    for scale in (1e3, 1e4):
        agree(student.label_smoothing_loss, reference.label_smoothing_loss, scale * logits, target, eps=0.2)
    agree_gradients(student.label_smoothing_loss, reference.label_smoothing_loss, 1e3 * logits, target, eps=0.2)


@label_smoothing
@pytest.mark.weight(2)
def test_smoothing_gradients(student, reference, draw):
    """The gradient is (p - q) / N: zero where the model says what the smoothed target asks for."""
    logits, target = rows(draw, ignored=(2, 3))
    agree_gradients(student.label_smoothing_loss, reference.label_smoothing_loss, logits, target, eps=0.2)
    q = 0.8 * F.one_hot(torch.arange(7), 7).double() + 0.2 / 7
    seen = student.vjp(
        student.label_smoothing_loss, q.log(), torch.arange(7), 0.2, cotangent=torch.tensor(1.0).double()
    )
    close(seen.grads[0] if seen.grads else None, torch.zeros(7, 7).double(), atol=1e-12, what="the gradient at p = q")


@label_smoothing
def test_smoothing_dtypes(student, reference, draw):
    """float32 logits give a float32 loss; logits may be a view that is not contiguous."""
    logits, target = rows(draw, dtype=torch.float32)
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, logits, target)
    agree(student.label_smoothing_loss, reference.label_smoothing_loss, draw.tensor(7, 11).T, target)


# ---------------------------------------------------------------- noam_schedule

noam_schedule = pytest.mark.exercise("noam_schedule")


def rates(student, reference, steps, *arguments, **options):
    """The rates of these steps are right."""
    for step in steps:
        rate = student.noam_lr(step, *arguments, **options)
        if isinstance(rate, torch.Tensor | np.ndarray | np.generic) and "float64" not in str(rate.dtype):
            raise Disagreement(f"the rate of step {step} is {describe(rate)}, expected a Python float")
        close(rate, reference.noam_lr(step, *arguments, **options), what=f"the rate of step {step}")


@noam_schedule
@pytest.mark.weight(3)
def test_warm_up(student, reference, draw):
    """Up to step `warmup` the rate rises in a straight line, to (d · warmup)^-1/2."""
    warmup = int(draw.integers(50, 100))
    rates(student, reference, (1, 2, 7, 31, warmup - 1, warmup), 37, warmup)


@noam_schedule
@pytest.mark.weight(3)
def test_decay(student, reference, draw):
    """Behind it the rate falls with the root of the step."""
    warmup = int(draw.integers(20, 40))
    rates(student, reference, (warmup + 1, 2 * warmup, 101, 1009, 100003), 37, warmup)


@noam_schedule
def test_step_zero(student, reference):
    """Step 0 has the rate of step 1."""
    rates(student, reference, (0,), 512, 4000)
    rates(student, reference, (0, 1, 2), 7, 1)


@noam_schedule
@pytest.mark.weight(2)
def test_width_and_factor(student, reference):
    """The rate goes with d_model^-1/2 and with the factor, which is 1 by default."""
    for d_model in (1, 64, 512):
        rates(student, reference, (3, 29), d_model, 11)
        rates(student, reference, (29, 3), d_model, 11, factor=2.5)


@noam_schedule
def test_schedule_picture(student, reference):
    """The picture's rates: those of four schedules, each with its peak at the end of the warm-up."""
    if not student.has("figure_data"):
        return
    shown = student.figure_data("rates")
    expected = [[reference.noam_lr(s, d, w) for s in range(1, 401)] for w in (50, 150) for d in (64, 256)]
    close(shown, torch.tensor(expected, dtype=torch.float64), what="the rates")


# ---------------------------------------------------------------- train_copy_task

# The thresholds and the measurements behind them: docs/calibration.md.
train_copy_task = pytest.mark.exercise("train_copy_task")
VOCAB, LENGTH, BATCH, STEPS, RATE, WARMUP = 12, 6, 32, 150, 0.008, 30
SIZES = {"vocab": VOCAB, "d_model": 32, "n_heads": 4, "n_layers": 1, "d_ff": 64}
COPIES = 0.97
NOISE_STEPS, NOISE = 60, 1.5
# The same for everybody and in every run: whether a loop that learns half of it copies would hang on the seed.
SEEDS, NOISE_SEED = (2002, 2004), 3000


def initial(seed, dtype, **sizes):
    """The kit's model with the weights that a seed gives."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BareTransformer(**sizes).to(dtype)


def pair(student, draw, n_layers=2, loud=1.0):
    """A small model of the kit inside and one here, in float64 and with the same weights; `loud` scales the logits."""
    sizes = {"vocab": VOCAB, "d_model": 6, "n_heads": 3, "n_layers": n_layers, "d_ff": 5}
    ours = initial(draw.seed(), torch.float64, **sizes)
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            noise = draw.tensor(*parameter.shape, scale=0.5)
            parameter.copy_(1 + noise / 2 if "norm" in name and name.endswith("weight") else noise)
        ours.decoder_norm.weight.mul_(loud)
        ours.decoder_norm.bias.mul_(loud)
    theirs = student.given.BareTransformer(**sizes)
    theirs.load_reference(ours.state_dict())
    return theirs, ours


def numbers(answer, steps):
    """The losses as a list of float."""
    values = answer.tolist() if isinstance(answer, torch.Tensor) or hasattr(answer, "tolist") else answer
    if not isinstance(values, list | tuple) or len(values) != steps:
        raise Disagreement(f"{steps} losses were expected, one for each step, as a list")
    values = [value.item() if hasattr(value, "item") else value for value in values]
    if not all(isinstance(value, float | int) for value in values):
        raise Disagreement("a loss is not a number")
    return [float(value) for value in values]


def losses(student, reference, draw, steps, lr, warmup, kind="copy", length=5, batch=3, loud=1.0):
    """Train both models on the same batches: the losses, the student's and the right ones, and both models."""
    theirs, ours = pair(student, draw, loud=loud)
    seed = draw.seed()
    task = student.given.SequenceTask(kind, length=length, batch=batch)
    found = student.train_copy(theirs, task, steps, lr, warmup, torch.Generator().manual_seed(seed))
    expected = reference.train_copy(
        ours, SequenceTask(kind, length=length, batch=batch), steps, lr, warmup, torch.Generator().manual_seed(seed)
    )
    return numbers(found, steps), expected, theirs, ours


@train_copy_task
@pytest.mark.weight(4)
def test_first_loss(student, reference, draw):
    """The first loss is the untouched model's, with shifted input, causal mask, positions, and no padding counted."""
    for length, batch in ((5, 3), (2, 1)):
        found, expected, _, _ = losses(student, reference, draw, 1, 0.01, 4, length=length, batch=batch)
        close(found, expected, rtol=1e-9, what="the list of losses")


@train_copy_task
@pytest.mark.weight(3)
def test_first_steps(student, reference, draw):
    """The first losses: fresh batches, fresh gradients, clipping to norm 1, Adam, and the right rate in each step.

    The first model is surely wrong about much: single numbers of its gradient exceed 1, not just the norm.
    """
    for lr, warmup, loud in ((0.03, 1, 6.0), (0.01, 4, 1.0)):
        found, expected, _, _ = losses(student, reference, draw, 7, lr, warmup, loud=loud)
        close(found, expected, rtol=1e-6, what="the list of losses")


@train_copy_task
@pytest.mark.weight(2)
def test_parameters_move(student, reference, draw):
    """The model is trained in place: every parameter has moved, and to the right place. It is still in train mode."""
    _, _, theirs, ours = losses(student, reference, draw, 3, 0.01, 2, loud=6.0)
    close(theirs.state_dict(), dict(ours.state_dict()), rtol=1e-5, atol=1e-7, what="the model after three steps")
    close(theirs.training.value(), True, what="the model's mode (training) afterwards")


@train_copy_task
def test_other_lengths(student, reference, draw):
    """The target may be shorter than the source. (At a rate of nearly 0, so that the optimiser has no say.)"""
    found, expected, _, _ = losses(student, reference, draw, 2, 1e-12, 2, kind="first", length=7)
    close(found, expected, rtol=1e-6, what="the list of losses")


@train_copy_task
def test_generator_decides(student, reference, draw):
    """The batches come from the generator alone, and nothing else is drawn from it or from anywhere.

    At a rate of nearly 0 the model stays as it is, so that each loss depends on its batch, and not on the optimiser.
    """
    theirs, ours = pair(student, draw)
    seed, sizes = draw.seed(), {"length": 5, "batch": 3}
    task = student.given.SequenceTask("reverse", **sizes)
    generator = torch.Generator().manual_seed(seed)
    found = numbers(quiet_rng(student.train_copy, theirs, task, 3, 1e-12, 2, generator), 3)
    expected = reference.train_copy(ours, SequenceTask("reverse", **sizes), 3, 1e-12, 2, generator)
    close(found[0], expected[0], rtol=1e-6, what="the very first loss, about which another test says more,")
    close(found, expected, rtol=1e-6, what="the list of losses")


def trained(student, kind, steps, seed):
    """A model trained by the student's loop from torch's initial weights, and its losses.

    The model is the kit's, with the weights that came back: what else was done to the one inside has no say.
    """
    model = student.given.BareTransformer(**SIZES)
    model.load_reference(initial(seed, torch.float32, **SIZES).state_dict())
    task = student.given.SequenceTask(kind, VOCAB, LENGTH, BATCH)
    answer = student.train_copy(model, task, steps, RATE, WARMUP, torch.Generator().manual_seed(seed))
    ours, state = initial(seed, torch.float32, **SIZES), model.state_dict()
    untrained = {name: torch.zeros_like(value) for name, value in ours.state_dict().items()}
    close(state, untrained, rtol=0.0, atol=math.inf, what="the trained model")
    ours.load_state_dict(state)
    return ours, numbers(answer, steps)


def copies(model, seed, n=200):
    """The share of right symbols, EOS included, in n fresh sequences that the model copies by itself."""
    src, tgt = SequenceTask("copy", VOCAB, LENGTH, n)(torch.Generator().manual_seed(seed + 1))
    inp = torch.ones_like(src[:, :1])
    for t in range(1, tgt.shape[1] + 1):
        mask = torch.ones(t, t, dtype=torch.bool).tril()
        with torch.no_grad():
            logits = model(src, inp, tgt_mask=mask, positions=torch.arange(LENGTH + 1))
        inp = torch.cat([inp, logits[:, -1:].argmax(dim=-1)], dim=1)
    counts = tgt != 0
    return (inp[:, 1:] == tgt)[counts].double().mean().item()


@train_copy_task
@pytest.mark.gate
@pytest.mark.weight(0)
def test_no_leak(student):
    """Trained on noise, which nobody can predict, the model gains nothing: the loss stays above 1.5.

    What is lower has seen the answers, through a missing causal mask or a missing shift. docs/calibration.md has the
    measured seeds.
    """
    _, found = trained(student, "noise", NOISE_STEPS, NOISE_SEED)
    last = sum(found[-10:]) / 10
    if not last >= NOISE:
        raise Disagreement(f"on unpredictable data the loss fell to {last:.2f}; no honest model gets below {NOISE}")


@train_copy_task
@pytest.mark.weight(10)
def test_copies_by_itself(student):
    """After 150 steps the model copies fresh sequences by itself: at least 97 of 100 symbols are right.

    The better of two seeds counts. docs/calibration.md has the measured seeds, and the chance that a right loop fails.
    """
    best = 0.0
    for seed in SEEDS:
        model, found = trained(student, "copy", STEPS, seed)
        first = sum(found[:5]) / 5
        if not abs(first - math.log(VOCAB)) < 0.7:
            raise Disagreement(
                f"the first losses are about {first:.2f}; an untrained model has about ln {VOCAB} = 2.48"
            )
        best = max(best, copies(model, seed))
        if best >= COPIES:
            return
    raise Disagreement(f"{best:.2f} of the symbols are right, expected at least {COPIES}; guessing gives 0.1")
