"""Hidden grader of the page `self_attention`."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder.grading import agree_gradients, close, quiet_rng
from autograder.grading.compare import GRADIENT, Disagreement
from autograder.sandbox.callbacks import SeenModule

# ---------------------------------------------------------------- self_attention_layer

self_attention_layer = pytest.mark.exercise("self_attention_layer")

WIDTHS = (5, 3, 7)  # d_model, d_k, d_v


def layers(student, reference, draw, widths=WIDTHS, bias=False, dtype=torch.float64):
    """The student's layer, in eval mode, and the reference's, with the same random weights."""
    d_model, d_k, d_v = widths
    weights = {
        "q_proj.weight": draw.tensor(d_k, d_model, dtype=dtype, scale=0.6),
        "k_proj.weight": draw.tensor(d_k, d_model, dtype=dtype, scale=0.6),
        "v_proj.weight": draw.tensor(d_v, d_model, dtype=dtype),
    }
    if bias:
        weights |= {f"{n}_proj.bias": draw.tensor(d, dtype=dtype) for n, d in (("q", d_k), ("k", d_k), ("v", d_v))}
    theirs = student.SelfAttention(d_model, d_k, d_v, bias=bias) if bias else student.SelfAttention(d_model, d_k, d_v)
    theirs.load_reference(weights)
    theirs.train(False)
    ours = reference.SelfAttention(d_model, d_k, d_v, bias=bias).to(dtype)
    ours.load_state_dict(weights)
    return theirs, ours


def same(theirs, ours, x, **kwargs):
    """Both layers give the same."""
    with torch.no_grad():
        expected = ours(x, **kwargs)
    close(theirs(x, **kwargs), expected)


@self_attention_layer
def test_weight_layout(student, reference, draw):
    """Weights are (out, in): a single token x becomes W_V x, since it can attend to itself only."""
    theirs, ours = layers(student, reference, draw, widths=(5, 5, 5))
    same(theirs, ours, draw.tensor(1, 1, 5))


@self_attention_layer
@pytest.mark.weight(2)
def test_batch_is_kept_apart(student, reference, draw):
    """A token attends within its own sentence: sentences in one batch do not mix, and each is as if it came alone."""
    theirs, ours = layers(student, reference, draw)
    same(theirs, ours, draw.tensor(3, 1, 5))  # three sentences of one token
    x = draw.tensor(2, 3, 5)
    together = theirs(x)
    with torch.no_grad():
        close(together, torch.cat([ours(x[:1]), ours(x[1:])]))
    same(theirs, ours, x[1:])


@self_attention_layer
@pytest.mark.weight(3)
def test_equation(student, reference, draw):
    """The output is softmax(q kᵀ / √d_k) v with q, k, v each projected by its own weight; all widths may differ."""
    theirs, ours = layers(student, reference, draw)
    x = draw.tensor(1, 7, 5)
    same(theirs, ours, x)
    close(theirs(x), F.scaled_dot_product_attention(*(F.linear(x, p.detach()) for p in ours.parameters())))
    theirs, ours = layers(student, reference, draw, widths=(3, 7, 2))
    same(theirs, ours, draw.tensor(2, 5, 3))


@self_attention_layer
def test_bias(student, reference, draw):
    """With bias=True all three projections add theirs."""
    theirs, ours = layers(student, reference, draw, bias=True)
    same(theirs, ours, draw.tensor(2, 7, 5))


@self_attention_layer
@pytest.mark.weight(2)
def test_weights_are_those_used(student, reference, draw):
    """need_weights adds the very weights that mixed the values, in train and in eval mode; out stays the same."""
    theirs, ours = layers(student, reference, draw)
    x = draw.tensor(1, 7, 5)
    with torch.no_grad():
        expected = ours(x, need_weights=True)
    for training in (True, False):
        theirs.train(training)
        close(quiet_rng(theirs, x, need_weights=True), expected)
        close(theirs(x), expected[0])


@self_attention_layer
@pytest.mark.weight(2)
def test_masks(student, reference, draw):
    """A masked key takes no part (True = may attend); masks (T, T), (B, 1, T) and (B, T, T) all work."""
    theirs, ours = layers(student, reference, draw)
    x, mask = draw.tensor(2, 7, 5), draw.mask(2, 7, 7)
    for allowed in (mask, mask[0], mask[:, :1], torch.ones(7, 7).bool().tril()):
        same(theirs, ours, x, mask=allowed)
    same(theirs, ours, x, mask=mask, need_weights=True)


@self_attention_layer
def test_masked_weights_are_zero(student, reference, draw):
    """A masked pair has weight exactly 0, whatever the masked token holds, be it 1e20."""
    theirs, ours = layers(student, reference, draw)
    x = draw.tensor(2, 7, 5)
    x[:, 3] = 1e20 * x[:, 3].sign()
    mask = draw.mask(2, 7, 7, share=0.8)
    mask[:, :, 3], mask[:, :, 2] = False, True
    with torch.no_grad():
        out, weights = ours(x, mask=mask, need_weights=True)
    answer = theirs(x, mask=mask, need_weights=True)
    close(answer, (torch.zeros_like(out), torch.zeros_like(weights)), rtol=0.0, atol=math.inf)
    others = [0, 1, 2, 4, 5, 6]  # what the junk token itself asks is nobody's business
    close((answer[0][:, others], answer[1][:, others]), (out[:, others], weights[:, others]))
    close(
        answer[1][~mask], torch.zeros(int((~mask).sum())).double(), tolerance=(0, 0), what="the weights of masked pairs"
    )


@self_attention_layer
def test_empty_row(student, reference, draw):
    """A query whose whole row is masked gets weights 0 and output 0, with biases too; the others are as usual."""
    for bias in (False, True):
        theirs, ours = layers(student, reference, draw, bias=bias)
        x, mask = draw.tensor(2, 7, 5), draw.mask(2, 7, 7, empty_rows=(3,))
        mask[1] = False  # a sentence with nothing to see
        same(theirs, ours, x, mask=mask)
        same(theirs, ours, x, mask=mask, need_weights=True)


@self_attention_layer
def test_permutation(student, reference, draw):
    """Without a mask the layer is permutation equivariant: shuffled tokens give the shuffled outputs."""
    theirs, ours = layers(student, reference, draw)
    x, order = draw.tensor(1, 7, 5), draw.permutation(7)
    with torch.no_grad():
        close(theirs(x[:, order]), ours(x)[:, order])


@self_attention_layer
def test_views_and_float32(student, reference, draw):
    """x may be a view that is not contiguous, and float32 as well as float64."""
    theirs, ours = layers(student, reference, draw)
    same(theirs, ours, draw.tensor(2, 5, 11).mT)
    theirs, ours = layers(student, reference, draw, dtype=torch.float32)
    same(theirs, ours, draw.tensor(2, 7, 5, dtype=torch.float32), mask=draw.mask(7, 7), need_weights=True)


def gradients_agree(student, theirs, ours, x, **kwargs):
    """The gradients of x and of every parameter. Where the student's parameters have names of their own (see
    load_reference), their gradients need only be there, finite and not all zero."""
    agree_gradients(theirs, ours, x, **kwargs)
    cotangent = draw_like(ours, x, **kwargs)
    wanted = torch.autograd.grad(ours(x, **kwargs), list(ours.parameters()), cotangent)
    expected = dict(zip(dict(ours.named_parameters()), wanted, strict=True))
    found = student.vjp(theirs, x, cotangent=cotangent, parameters=True, **kwargs).parameters or {}
    for name, gradient in found.items():
        if gradient is None:
            raise Disagreement(f"no gradient reaches the parameter {name}")
        if name not in expected and not (gradient.isfinite().all() and gradient.any()):
            raise Disagreement(f"the gradient of the parameter {name} is 0 or not finite")
    if set(found) == set(expected):
        close(found, expected, tolerance=GRADIENT[torch.float64], what="the gradient")
    elif not found:
        raise Disagreement("the layer has no parameters")


def draw_like(ours, x, **kwargs):
    """A fixed cotangent for each output of the layer."""
    with torch.no_grad():
        outputs = ours(x, **kwargs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return [torch.linspace(-1, 1.5, o.numel(), dtype=torch.float64).sin().reshape(o.shape) for o in outputs]


@self_attention_layer
@pytest.mark.weight(3)
def test_gradients(student, reference, draw):
    """Gradients reach x and all three projections, and are right; the returned weights are differentiable too."""
    theirs, ours = layers(student, reference, draw)
    x = draw.tensor(2, 7, 5)
    gradients_agree(student, theirs, ours, x)
    gradients_agree(student, theirs, ours, x, mask=draw.mask(7, 7), need_weights=True)


@self_attention_layer
def test_gradients_of_an_empty_row(student, reference, draw):
    """Gradients stay finite where a row of the mask is empty."""
    theirs, ours = layers(student, reference, draw)
    gradients_agree(student, theirs, ours, draw.tensor(2, 7, 5), mask=draw.mask(2, 7, 7, empty_rows=(2,)))


@self_attention_layer
def test_argument_is_left_alone(student, reference, draw):
    """x and the mask are as they were after the call."""
    theirs, ours = layers(student, reference, draw)
    x, mask = draw.tensor(2, 7, 5), draw.mask(2, 7, 7)
    called = student.call(theirs, x, mask=mask)
    with torch.no_grad():
        close(called.value, ours(x, mask=mask))
    (x_after,), options = called.echo
    close(
        {"x": x_after, "mask": options["mask"]}, {"x": x, "mask": mask}, tolerance=(0, 0), what="the caller's argument"
    )


# ---------------------------------------------------------------- write_equivariance_tests
# The student's tests are judged by modules that are known to be good or bad. They arrive inside as nn.Modules, and what
# they compute runs here. Every test mixes both kinds, so that a fixed answer earns nothing, and collects all verdicts
# before it looks at them, so that each misconception leaves a pattern of its own.

write_equivariance_tests = pytest.mark.exercise("write_equivariance_tests")

LEAK = 1e-4


class Layer(nn.Module):
    """A module that insists on the shape and dtype that it was made for, with float32 parameters of order 1."""

    def __init__(self, draw, *shape: int, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype
        width = shape[-1]
        self.mix = nn.Parameter(draw.tensor(width, width, dtype=dtype, scale=width**-0.5))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape) != self.shape or x.dtype != self.dtype:
            raise ValueError(f"called with {x.dtype} {tuple(x.shape)}, made for {self.dtype} {self.shape}")
        return self.compute(self.dropout(x))

    def compute(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def attend(self, x: Tensor, causal: bool = False) -> Tensor:
        return F.scaled_dot_product_attention(x @ self.mix, x, x, is_causal=causal)


class Attention(Layer):
    """Good: self-attention with a residual connection. Permutation equivariant, batch independent; not causal."""

    def compute(self, x: Tensor) -> Tensor:
        return x @ self.mix + self.attend(x)


class PlusMean(Layer):
    """Good: equivariant. Half of its outputs are 0 but for the rounding of two sums, which depends on the order."""

    def compute(self, x: Tensor) -> Tensor:
        out = torch.tanh(x @ self.mix + x.mean(dim=0))
        half = 0.25 * x[:, : x.shape[1] // 2] + 0.5
        out[:, : half.shape[1]] = sum(half) - sum(half.flip(0))  # one row after the other
        return out


class CausalAttention(Layer):
    """Good: causal. Bad: not equivariant."""

    def compute(self, x: Tensor) -> Tensor:
        return x @ self.mix + self.attend(x, causal=True)


class PrefixMean(Layer):
    """Good: causal, though computed as the total minus the future, which so shows in the last digits.

    Half of the outputs are 0 but for these.
    """

    def compute(self, x: Tensor) -> Tensor:
        total = 4 + x.sum(dim=0)
        prefix = total - (total - x.cumsum(dim=0))
        out = prefix / torch.arange(1, len(x) + 1, dtype=x.dtype)[:, None] + torch.tanh((x * x) @ self.mix)
        half = x.shape[1] // 2
        out[:, :half] = (prefix - x.cumsum(dim=0))[:, :half]
        return out


class Normed(Layer):
    """Good: batch independent once in eval mode, where a BatchNorm uses what it has stored."""

    def __init__(self, draw, *shape: int, **options) -> None:
        super().__init__(draw, *shape, **options)
        self.norm = nn.BatchNorm1d(shape[1], dtype=self.dtype)

    def compute(self, x: Tensor) -> Tensor:
        return self.norm(x @ self.mix) + self.attend(x)


class Positions(Attention):
    """Bad: adds a vector for each position."""

    def compute(self, x: Tensor) -> Tensor:
        return super().compute(x) + 0.5 * torch.arange(len(x), dtype=x.dtype)[:, None]


class OddToken(PlusMean):
    """Bad: treats a single token, in the middle, a little differently."""

    def compute(self, x: Tensor) -> Tensor:
        out = super().compute(x)
        out[len(x) // 2] += LEAK * x[len(x) // 2]
        return out


class Alternating(Attention):
    """Bad: has a sign that flips with every swap of two tokens, so that half of all permutations leave it as it is."""

    def compute(self, x: Tensor) -> Tensor:
        first, second = torch.triu_indices(len(x), len(x), offset=1)
        return super().compute(x) + (x[first, 0] - x[second, 0]).sign().prod()


class Leak(PrefixMean):
    """Bad: output `to` contains `factor` times token `source`."""

    def __init__(self, draw, *shape: int, source: int, to: int, factor: float = LEAK, **options) -> None:
        super().__init__(draw, *shape, **options)
        self.source, self.to, self.factor = source, to, factor

    def compute(self, x: Tensor) -> Tensor:
        out = super().compute(x)
        out[self.to] += self.factor * x[self.source]
        return out


class LastToken(PlusMean):
    """Bad: treats the last token differently."""

    def compute(self, x: Tensor) -> Tensor:
        out = super().compute(x)
        out[-1] += 0.5 * x[-1]
        return out


class NarrowLeak(PrefixMean):
    """Bad: one number of token 0 contains a multiple of that number of token 1; in a batch, of the other example's."""

    def __init__(self, draw, *shape: int, column: int, factor: float) -> None:
        super().__init__(draw, *shape)
        self.column, self.factor = column, factor

    def compute(self, x: Tensor) -> Tensor:
        out = super().compute(x) if x.ndim == 2 else x @ self.mix
        first = (0,) * (x.ndim - 2)  # in a batch, the first token of either example
        out[(0, *first, self.column)] += self.factor * x[(1, *first, self.column)]
        return out


class GatedFuture(CausalAttention):
    """Bad: each token is multiplied by the next one, which does not show where the token is 0."""

    def compute(self, x: Tensor) -> Tensor:
        return super().compute(x) + torch.cat([x[:-1] * x[1:], torch.zeros_like(x[:1])])


class Flattened(Attention):
    """Bad: attends over all tokens of all examples."""

    def compute(self, x: Tensor) -> Tensor:
        return super().compute(x.reshape(1, -1, x.shape[-1])).reshape(x.shape)


class BatchLeak(Attention):
    """Bad: one token of one example sees one token of another."""

    def __init__(self, draw, *shape: int, source: int, to: int, factor: float = LEAK, **options) -> None:
        super().__init__(draw, *shape, **options)
        self.source, self.to, self.factor = source, to, factor

    def compute(self, x: Tensor) -> Tensor:
        out = super().compute(x)
        out[self.to, 1] += self.factor * x[self.source, -1]
        return out


class GatedBatch(Attention):
    """Bad: each example is multiplied by the one before it, which does not show where one of the two is 0."""

    def compute(self, x: Tensor) -> Tensor:
        return super().compute(x) + x * x.roll(1, dims=0)


def verdicts(judge, *cases):
    """`judge` gives the right verdict on every case (module, sample, right verdict, further arguments...)."""
    answers = [judge(module, sample, *more) for module, sample, _, *more in cases]
    for number, (answer, (_, _, right, *_)) in enumerate(zip(answers, cases, strict=True), start=1):
        kind = "has" if right else "lacks"
        close(answer, right, what=f"the verdict on layer {number} of {len(cases)}, which {kind} the property,")


T, D = 5, 11  # wide enough that a leak shows in every draw: it is seen through the largest of D numbers


@write_equivariance_tests
@pytest.mark.weight(2)
def test_equivariance_of_plain_layers(student, draw):
    """is_permutation_equivariant accepts attention and rejects layers that use positions, whatever the sample holds."""
    sample, zeros = draw.tensor(T, D, dtype=torch.float32), torch.zeros(T, D)
    verdicts(
        student.is_permutation_equivariant,
        (Attention(draw, T, D), sample, True, draw.rng()),
        (CausalAttention(draw, T, D), sample, False, draw.rng()),
        (Positions(draw, T, D), sample, False, draw.rng()),
        (CausalAttention(draw, T, D), zeros, False, draw.rng()),
    )


@write_equivariance_tests
@pytest.mark.weight(2)
def test_equivariance_with_small_differences(student, draw):
    """A difference of 1e-4 at a single token in the middle is no equivariance; rounding in float32 is no violation."""
    sample = draw.tensor(T, D, dtype=torch.float32)
    verdicts(
        student.is_permutation_equivariant,
        (PlusMean(draw, T, D), sample, True, draw.rng()),
        (OddToken(draw, T, D), sample, False, draw.rng()),
        (OddToken(draw, T, D, dtype=torch.float64), sample.double(), False, draw.rng()),
    )


@write_equivariance_tests
def test_equivariance_for_every_permutation(student, draw):
    """A layer that keeps up with half of all permutations, rotations among them, is not equivariant."""
    sample = draw.tensor(T, D, dtype=torch.float32)
    verdicts(
        student.is_permutation_equivariant,
        (Attention(draw, T, D), sample, True, draw.rng()),
        (Alternating(draw, T, D), sample, False, draw.rng()),
        (Alternating(draw, T, D), sample, False, draw.rng()),
        (Alternating(draw, T, D), torch.zeros(T, D), False, draw.rng()),
    )


@write_equivariance_tests
@pytest.mark.weight(2)
@pytest.mark.names("uses_train_mode")  # whoever allows for no rounding has failed the tests before
def test_equivariance_with_dropout(student, draw):
    """is_permutation_equivariant judges in eval mode: dropout is no violation, and hides none."""
    sample = draw.tensor(3, D, dtype=torch.float32)
    bad = Positions(draw, 3, D, dropout=0.1)
    verdicts(
        student.is_permutation_equivariant,
        (Attention(draw, 3, D, dropout=0.5), sample, True, draw.rng()),
        (bad, sample, False, draw.rng()),
        (bad, torch.zeros(3, D), False, draw.rng()),
    )


@write_equivariance_tests
@pytest.mark.weight(2)
def test_causality_of_plain_layers(student, draw):
    """is_causal accepts causal attention and rejects attention without a mask, whatever the sample holds."""
    sample, zeros = draw.tensor(T, D, dtype=torch.float32), torch.zeros(T, D)
    verdicts(
        student.is_causal,
        (CausalAttention(draw, T, D), sample, True),
        (Attention(draw, T, D), sample, False),
        (Attention(draw, T, D), zeros, False),
        (GatedFuture(draw, T, D), zeros, False),
    )


@write_equivariance_tests
@pytest.mark.weight(3)
def test_causality_at_every_position(student, draw):
    """is_causal finds a leak between any two tokens, be it 1e-4; rounding in float32 is no leak."""
    zeros = torch.zeros(7, D)
    verdicts(
        student.is_causal,
        (PrefixMean(draw, 7, D), zeros, True),
        (Leak(draw, 7, D, source=4, to=3, factor=0.7), zeros, False),
        (Leak(draw, 7, D, source=4, to=3), zeros, False),
        (Leak(draw, 7, D, source=6, to=0), zeros, False),
        (Leak(draw, 7, D, source=2, to=0), zeros, False),
        (Leak(draw, 7, D, source=6, to=5, dtype=torch.float64), zeros.double(), False),
        (Leak(draw, 3, D, source=0, to=1), zeros[:3], True),  # what the past leaks is no leak
    )


@write_equivariance_tests
@pytest.mark.weight(2)
def test_causality_with_dropout(student, draw):
    """is_causal judges in eval mode: dropout is no leak, and hides none."""
    zeros = torch.zeros(3, D)
    verdicts(
        student.is_causal,
        (CausalAttention(draw, 3, D, dropout=0.5), zeros, True),
        (Attention(draw, 3, D, dropout=0.1), zeros, False),
    )


@write_equivariance_tests
@pytest.mark.weight(2)
def test_batch_independence_of_plain_layers(student, draw):
    """is_batch_independent accepts attention within each example and rejects attention over all of them."""
    sample, zeros = draw.tensor(3, 5, D, dtype=torch.float32), torch.zeros(3, 5, D)
    verdicts(
        student.is_batch_independent,
        (Attention(draw, 3, 5, D), sample, True),
        (Flattened(draw, 3, 5, D), sample, False),
        (Flattened(draw, 3, 5, D), zeros, False),
        (GatedBatch(draw, 3, 5, D), zeros, False),
    )


@write_equivariance_tests
@pytest.mark.weight(2)
def test_batch_independence_of_every_example(student, draw):
    """is_batch_independent finds a leak of 1e-4 from one token of any example to one token of any other."""
    zeros = torch.zeros(3, 5, D)
    verdicts(
        student.is_batch_independent,
        (Attention(draw, 3, 5, D), zeros, True),
        (BatchLeak(draw, 3, 5, D, source=1, to=0, factor=0.7), zeros, False),
        (BatchLeak(draw, 3, 5, D, source=0, to=2), zeros, False),
        (BatchLeak(draw, 3, 5, D, source=2, to=1, dtype=torch.float64), zeros.double(), False),
        (BatchLeak(draw, 2, 5, D, source=1, to=1), zeros[:2], True),  # within an example all is allowed
        (BatchLeak(draw, 2, 23, D, source=1, to=0), torch.zeros(2, 23, D), False),  # one token of many
    )


@write_equivariance_tests
@pytest.mark.weight(2)
def test_batch_independence_in_train_mode(student, draw):
    """is_batch_independent judges in eval mode: dropout and batch norm are no violation there, and hide none."""
    zeros = torch.zeros(2, 5, D)
    verdicts(
        student.is_batch_independent,
        (Attention(draw, 2, 5, D, dropout=0.5), zeros, True),
        (Normed(draw, 2, 5, D), zeros, True),
        (Flattened(draw, 2, 5, D, dropout=0.1), zeros, False),
    )


@write_equivariance_tests
def test_two_tokens_or_examples(student, draw):
    """Two tokens, or two examples, are enough to find a violation."""
    pair, batch = draw.tensor(2, D, dtype=torch.float32), draw.tensor(2, 3, D, dtype=torch.float32)
    verdicts(
        student.is_permutation_equivariant,
        (PlusMean(draw, 2, D), pair, True, draw.rng()),  # a sum of two is the same both ways, to the last digit
        (OddToken(draw, 2, D), pair, False, draw.rng()),
    )
    verdicts(
        student.is_causal,
        (PrefixMean(draw, 2, D), pair, True),
        (Leak(draw, 2, D, source=1, to=0), pair, False),
    )
    verdicts(
        student.is_batch_independent,
        (Attention(draw, 2, 3, D), batch, True),
        (BatchLeak(draw, 2, 3, D, source=1, to=0), batch, False),
    )


@write_equivariance_tests
def test_equivariance_for_the_last_token(student, draw):
    """A layer that treats the last token differently is found every time, not by the luck of a permutation."""
    sample = draw.tensor(3, D, dtype=torch.float32)
    cases = [(LastToken(draw, 3, D), sample, False, draw.rng()) for _ in range(12)]
    verdicts(student.is_permutation_equivariant, (PlusMean(draw, 3, D), sample, True, draw.rng()), *cases)


@write_equivariance_tests
def test_causality_of_narrow_layers(student, draw):
    """is_causal looks at every token, also where there are more tokens than numbers in each."""
    zeros = torch.zeros(7, 3)
    verdicts(
        student.is_causal,
        (PrefixMean(draw, 7, 3), zeros, True),
        (Leak(draw, 7, 3, source=6, to=5, factor=0.7), zeros, False),
        (Leak(draw, 7, 3, source=3, to=2, factor=0.7), zeros, False),
    )


@write_equivariance_tests
def test_leaks_in_one_number(student, draw):
    """An output that moves in one number only has moved, be it up or down.

    One draw misses such a leak with probability 6e-6, three of them with less than 1e-15.
    """
    columns = (0, D - 1, draw.choice([1, 3, 5, 7, 9]), draw.choice([2, 4, 6, 8]))
    leaks = [(column, factor) for column in columns for factor in (2.0, -2.0)]
    pair, batch = torch.zeros(2, D), torch.zeros(2, 2, D)
    verdicts(
        student.is_causal,
        (PrefixMean(draw, 2, D), pair, True),
        *((NarrowLeak(draw, 2, D, column=c, factor=f), pair, False) for c, f in leaks),
    )
    verdicts(
        student.is_batch_independent,
        (Attention(draw, 2, 2, D), batch, True),
        *((NarrowLeak(draw, 2, 2, D, column=c, factor=f), batch, False) for c, f in leaks),
    )


@write_equivariance_tests
@pytest.mark.weight(3)
def test_layer_is_handed_back(student, draw):
    """The layer comes back in the mode it came in, with its parameters unchanged, and x is unchanged as well.

    Good and bad layers alike: a verdict that is reached early is no excuse.
    """
    for judge, good, bad, shape, *more in (
        (student.is_permutation_equivariant, Attention, Positions, (3, D), draw.rng()),
        (student.is_causal, CausalAttention, Attention, (3, D)),
        (student.is_batch_independent, Attention, Flattened, (2, 5, D)),
    ):
        for kind, right, training in ((good, True, True), (bad, False, True), (bad, False, False)):
            module, x = kind(draw, *shape, dropout=0.1).train(training), draw.tensor(*shape, dtype=torch.float32)
            before = {name: p.detach().clone() for name, p in module.named_parameters()}
            called = student.call(judge, module, x, *more)
            close(called.value, right, what="the verdict")
            seen, x_after = called.echo[0][:2]
            if not isinstance(seen, SeenModule) or seen.training != training:
                raise Disagreement(f"a layer in {'train' if training else 'eval'} mode came back in the other mode")
            close(seen.parameters, before, tolerance=(0, 0), what="the layer's parameters")
            close(x_after, x, tolerance=(0, 0), what="x")


@write_equivariance_tests
def test_randomness(student, draw):
    """Random inputs come from the rng that was given, or a generator of your own: the global state stays."""
    x, batch = draw.tensor(3, D, dtype=torch.float32), torch.zeros(2, 5, D)
    for right, kind, flat in ((True, Attention, Attention), (False, CausalAttention, Flattened)):
        close(quiet_rng(student.is_permutation_equivariant, kind(draw, 3, D), x, draw.rng()), right, what="the verdict")
        close(quiet_rng(student.is_batch_independent, flat(draw, 2, 5, D), batch), right, what="the verdict")
    for right, kind in ((True, CausalAttention), (False, Attention)):
        close(quiet_rng(student.is_causal, kind(draw, 3, D), x), right, what="the verdict")
