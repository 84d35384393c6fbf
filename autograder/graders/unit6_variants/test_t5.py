"""Hidden grader of the page `t5`."""

import math

import numpy as np
import pytest
import torch

from autograder.given import relative_position_bucket
from autograder.grading import agree, agree_gradients, close, quiet_rng
from autograder.grading.compare import GRADIENT, Disagreement, describe

# ---------------------------------------------------------------- span_corruption

span_corruption = pytest.mark.exercise("span_corruption")


def bits(text):
    """A mask from a text such as "..xx.x"."""
    return np.array([letter == "x" for letter in text])


def corrupted(student, reference, draw, noise, sentinel0=None, eos=1):
    """Tokens of which no two are alike; the right inputs and targets."""
    tokens = 100 + draw.permutation(len(noise) + 1).numpy()[: len(noise)]
    sentinel0 = 1000 if sentinel0 is None else sentinel0
    return agree(student.apply_span_mask, reference.apply_span_mask, tokens, noise, sentinel0, eos)


@span_corruption
@pytest.mark.weight(2)
def test_one_span(student, reference, draw):
    """A span becomes one sentinel in the inputs; the targets are the sentinel, the span, the next sentinel and eos."""
    for mask in ("..x....", "..xxx..", ".xxxx..", "....xx."):
        corrupted(student, reference, draw, bits(mask))


@span_corruption
@pytest.mark.weight(2)
def test_several_spans(student, reference, draw):
    """Each span has a sentinel of its own, counting down from sentinel0, in the order of the text."""
    for mask in (".xx..xxx.x..", "..x...xx..xxx..", ".xxx....xx....xxxx.."):
        corrupted(student, reference, draw, bits(mask))
    corrupted(student, reference, draw, bits(".xx..xxx.x.."), sentinel0=31999, eos=7)


@span_corruption
def test_one_token_between(student, reference, draw):
    """A single token between two spans stays, and the spans stay two."""
    for mask in (".x.x.x..", ".xx.xx.", "..xxx.x.xx.."):
        corrupted(student, reference, draw, bits(mask))


@span_corruption
@pytest.mark.weight(2)
def test_spans_at_the_ends(student, reference, draw):
    """Spans at the beginning and at the end are spans like others; the last sentinel comes behind them too."""
    for mask in (
        "x..x",
        "xx.xx",
        "xx...",
        "...xx",
    ):  # two spans first: one alone hides what their sentinels have in common
        corrupted(student, reference, draw, bits(mask))


@span_corruption
def test_nothing_and_everything(student, reference, draw):
    """Without a span the targets are sentinel0 and eos; a text of one span is a sentinel; one token is enough."""
    for mask in ("....", "xxxx", ".", "x"):
        corrupted(student, reference, draw, bits(mask))


@span_corruption
@pytest.mark.weight(2)
def test_any_mask(student, reference, draw):
    """Random masks of several densities; the arguments stay as they were; int32 stays int32."""
    for share in (0.1, 0.3, 0.5, 0.8):
        noise = draw.rng().random(23) < share
        noise[[0, -1]] = share == 0.8  # both ends, or none
        corrupted(student, reference, draw, noise)
    tokens = draw.integers(0, 90, 11).numpy().astype(np.int32)
    agree(student.apply_span_mask, reference.apply_span_mask, tokens, draw.array(11) < 0, 99, 1)
    view = np.arange(100, 122)[::2]  # not contiguous
    agree(student.apply_span_mask, reference.apply_span_mask, view, draw.array(22)[::2] < 0, 99, 1)


def span_lengths(mask, T):
    """The lengths of the runs of False and of True, in turn, of an answer that must be (T,) bool."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (T,):
        raise Disagreement(f"the mask is {describe(mask)}, expected a bool array of shape ({T},)")
    edges = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [T]]))
    if mask[0]:
        raise Disagreement("the mask begins with True: the first token of a text is never cut out")
    return runs[::2], runs[1::2]


SIZES = ((20, 0.3, 2.0), (97, 0.15, 3.0), (512, 0.15, 3.0), (61, 0.48, 3.3), (40, 0.26, 1.0), (30, 0.7, 1.0))
ROUNDED = ((10, 0.26, 1.1), (11, 0.4, 1.7))  # n decides about k after it was rounded, up or down


@span_corruption
@pytest.mark.weight(2)
def test_number_of_tokens(student, reference, draw):
    """Exactly round(T · density) tokens are cut out, at least one and never all; the mask is (T,) bool."""
    for T, density, mean_len in (*SIZES, (5, 0.01, 3.0), (4, 0.97, 3.0), (2, 0.3, 3.0)):
        for _ in range(3):
            mask = student.random_spans_mask(T, density, mean_len, draw.rng())
            span_lengths(mask, T)
            n, _ = reference.numbers(T, density, mean_len)
            if int(mask.sum()) != n:
                raise Disagreement(
                    f"{int(mask.sum())} of {T} tokens are cut out for a density of {density}, expected {n}"
                )


@span_corruption
@pytest.mark.weight(2)
def test_number_of_spans(student, reference, draw):
    """They lie in exactly round(n / mean_len) spans, at least one, with a token between two; the last ends the text."""
    for T, density, mean_len in (*SIZES, *ROUNDED, (50, 0.1, 40.0), (7, 0.57, 1.0), (3, 0.66, 1.0), (2, 0.3, 3.0)):
        for _ in range(3):
            mask = student.random_spans_mask(T, density, mean_len, draw.rng())
            _, spans = span_lengths(mask, T)
            _, k = reference.numbers(T, density, mean_len)
            if len(spans) != k:
                raise Disagreement(f"there are {len(spans)} spans in {T} tokens, expected {k}")
            if not mask[-1]:
                raise Disagreement("the mask ends with False: the pieces are laid out in turn, and the last is a span")


@span_corruption
@pytest.mark.weight(2)
def test_all_cuts_are_equally_likely(student, draw):
    """In a text of 60 000 tokens the spans, and the runs between them, have the lengths that random cuts give.

    Of k pieces of n tokens, the number that have length 1 is compared with its mean and its standard deviation,
    both exact, for the first and the second half of the spans, and of the runs between. Four checks at 6σ, of counts
    of 167 and 667 on average: below 1e-7 together, by the normal bound and the tail of a Poisson count.
    """
    T, n, k = 60_000, 12_000, 4000
    kept, spans = span_lengths(student.random_spans_mask(T, 0.2, 3.0, draw.rng()), T)
    for lengths, total, what in ((spans, n, "spans"), (kept, T - n, "runs of tokens that stay")):
        if len(lengths) != k:
            raise Disagreement(f"there are {len(lengths)} {what}, expected {k}")
        p = (k - 1) / (total - 1)  # that a piece has length 1: its end is at the first of total - 1 gaps
        both = p * (k - 2) / (total - 2)  # that two given pieces have
        for half, where in ((lengths[: k // 2], "first"), (lengths[k // 2 :], "second")):
            m = len(half)
            sigma = math.sqrt(m * p * (1 - p) + m * (m - 1) * (both - p * p))
            count = int((half == 1).sum())
            if abs(count - m * p) > 6 * sigma:
                raise Disagreement(f"{count} of the {where} {m} {what} have length 1, expected about {round(m * p)}")


@span_corruption
def test_every_cut_occurs(student, draw):
    """Of 13 tokens 5 are cut out, in 2 spans: in 200 masks each of 1+4, 2+3, 3+2 and 4+1 occurs, and each of the seven
    ways to cut the other 8.

    One of the eleven is missing by chance with a probability below 3e-13, since (6/7)^200 is 4.1e-14.
    """
    seen = [span_lengths(student.random_spans_mask(13, 0.4, 2.3, draw.rng()), 13) for _ in range(200)]
    for side, total, what in ((1, 5, "spans"), (0, 8, "runs of tokens that stay")):
        found = {tuple(lengths[side].tolist()) for lengths in seen}
        for first in range(1, total):
            if (first, total - first) not in found:
                raise Disagreement(
                    f"in 200 masks of 13 tokens no two {what} have the lengths {first} and {total - first}"
                )


@span_corruption
def test_chance_comes_from_the_generator(student, draw):
    """The same seed gives the same mask, another one another; the global generators are left alone.

    Two of the masks are equal by chance with a probability below 1e-60.
    """
    generator = draw.rng()
    once = quiet_rng(student.random_spans_mask, 500, 0.2, 3.0, generator)
    close(once, np.zeros(500, dtype=bool), rtol=0.0, atol=1.0, what="the mask")  # any
    close(student.random_spans_mask(500, 0.2, 3.0, generator), once, what="the mask of the same seed")
    if np.array_equal(student.random_spans_mask(500, 0.2, 3.0, draw.rng()), once):
        raise Disagreement("generators of two seeds give the same mask")


@span_corruption
def test_figure_of_the_masks(student):
    """The picture's array: twelve masks of 60 tokens, each with 9 tokens in 3 spans."""
    if not student.has("figure_data"):
        return
    masks = student.figure_data("masks")
    close(masks, np.zeros((24, 60), dtype=bool), rtol=0.0, atol=1.0)
    for mask in masks[:12]:
        _, spans = span_lengths(mask, 60)
        close([len(spans), int(spans.sum())], [3, 9], what="the number of spans and of their tokens in the picture")


# ---------------------------------------------------------------- t5_block

t5_block = pytest.mark.exercise("t5_block")


def blocks(student, reference, draw, is_decoder=False, d=6, d_kv=2, H=3, d_ff=11, dtype=torch.float64):
    """The student's layer and the reference's, with the same random weights; as a rule H · d_kv is d."""
    ours = reference.T5Block(d, d_kv, H, d_ff, is_decoder).to(dtype)
    state = {
        name: draw.tensor(*p.shape, dtype=dtype, scale=p.shape[-1] ** -0.5 if p.ndim == 2 else 1.0)
        for name, p in ours.named_parameters()
    }
    ours.load_state_dict(state)
    theirs = student.T5Block(d, d_kv, H, d_ff, is_decoder)
    theirs.load_reference(state)
    return theirs, ours


def same(theirs, ours, x, bias, **kwargs):
    """Both give the same; the student's answer."""
    with torch.no_grad():
        expected = ours(x, bias, **kwargs)
    answer = theirs(x, bias, **kwargs)
    close(answer, expected)
    return answer


@t5_block
@pytest.mark.weight(3)
def test_encoder_layer(student, reference, draw):
    """In an encoder: RMSNorm, attention to all with the bias on its scores, undivided; RMSNorm, ReLU network."""
    for d, d_kv, H in ((6, 2, 3), (10, 5, 2), (7, 7, 1)):
        theirs, ours = blocks(student, reference, draw, d=d, d_kv=d_kv, H=H)
        same(theirs, ours, draw.tensor(2, 5, d), draw.tensor(1, H, 5, 5))


@t5_block
@pytest.mark.weight(3)
def test_decoder_layer(student, reference, draw):
    """In a decoder self-attention is causal, and cross-attention to the memory follows, without a bias."""
    for d, d_kv, H, S in ((6, 2, 3, 7), (10, 5, 2, 3), (6, 2, 3, 5)):  # at last one whose memory the bias would fit
        theirs, ours = blocks(student, reference, draw, True, d=d, d_kv=d_kv, H=H)
        same(theirs, ours, draw.tensor(2, 5, d), draw.tensor(1, H, 5, 5), memory=draw.tensor(2, S, d))


@t5_block
@pytest.mark.weight(2)
def test_width_of_the_heads(student, reference, draw):
    """The width of a head is d_kv, and H · d_kv may be smaller or larger than d."""
    for d, d_kv, H in ((6, 2, 3), (6, 5, 3), (11, 2, 3), (5, 3, 1)):  # the first as always: H · d_kv = d
        for is_decoder in (False, True):
            theirs, ours = blocks(student, reference, draw, is_decoder, d, d_kv, H)
            memory = {"memory": draw.tensor(2, 7, d)} if is_decoder else {}
            same(theirs, ours, draw.tensor(2, 5, d), draw.tensor(1, H, 5, 5), **memory)


@t5_block
@pytest.mark.weight(2)
def test_size_of_what_comes_in(student, reference, draw):
    """The norm divides by the root mean square and subtracts nothing; eps, 1e-6, decides for tiny vectors."""
    for scale in (1e-3, 30.0):
        theirs, ours = blocks(student, reference, draw)
        same(theirs, ours, scale * (1.0 + draw.tensor(2, 5, 6)), draw.tensor(1, 3, 5, 5))


@t5_block
@pytest.mark.weight(2)
def test_bias(student, reference, draw):
    """The bias is what knows positions: another one gives another result, one of each example too, and none (0) is
    permutation equivariant.
    """
    theirs, ours = blocks(student, reference, draw)
    x = draw.tensor(2, 7, 6)
    for bias in (draw.tensor(1, 3, 7, 7), 3 * draw.tensor(2, 3, 7, 7)):
        same(theirs, ours, x, bias)
    order, zero = draw.permutation(7), torch.zeros(1, 3, 7, 7, dtype=torch.float64)
    plain = same(theirs, ours, x, zero)
    close(theirs(x[:, order], zero), plain[:, order], what="the output for shuffled tokens without a bias")


@t5_block
@pytest.mark.weight(2)
def test_masks(student, reference, draw):
    """mask (True = may attend) is for self-attention, memory_mask for cross-attention, in all shapes that broadcast."""
    theirs, ours = blocks(student, reference, draw)
    x, bias = draw.tensor(2, 5, 6), draw.tensor(1, 3, 5, 5)
    full = draw.mask(2, 3, 5, 5)
    for mask in (full, full[:, :1], full[0, 0], full[:, :1, :1]):
        same(theirs, ours, x, bias, mask=mask)
    theirs, ours = blocks(student, reference, draw, True)
    memory, seen = draw.tensor(2, 7, 6), draw.mask(2, 3, 5, 7)
    for memory_mask in (seen, seen[:, :1, :1], seen[0, 0]):
        same(theirs, ours, x, bias, memory=memory, memory_mask=memory_mask)
    first = torch.ones(5, 5, dtype=torch.bool)
    first[:, 1] = False
    same(theirs, ours, x, bias, memory=memory, mask=first, memory_mask=seen)


@t5_block
@pytest.mark.weight(2)
def test_padding_and_future(student, reference, draw):
    """What is masked, in text or memory, and what comes later in a decoder, changes nothing for the others."""
    theirs, ours = blocks(student, reference, draw, True)
    x, memory, bias = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6), draw.tensor(1, 3, 5, 5)
    real = (torch.arange(7) < 4)[None, None, None]
    with torch.no_grad():
        expected = ours(x, bias, memory=memory[:, :4])
    memory[:, 4:] = 1e4 * draw.tensor(2, 3, 6)
    close(theirs(x, bias, memory=memory, memory_mask=real), expected, what="the output with padded memory")
    later = x.clone()
    later[:, 3:] = 1e4 * draw.tensor(2, 2, 6)
    answer = theirs(later, bias, memory=memory, memory_mask=real)
    close(answer, torch.zeros_like(expected), rtol=0.0, atol=math.inf)
    close(answer[:, :3], expected[:, :3], what="the output before the change")
    theirs, ours = blocks(student, reference, draw)
    with torch.no_grad():
        expected = ours(x[:, :3], bias[:, :, :3, :3])
    answer = theirs(later, bias, mask=(torch.arange(5) < 3)[None, None, None])
    close(answer, torch.zeros_like(x), rtol=0.0, atol=math.inf)
    close(answer[:, :3], expected, what="the output of the real tokens")


@t5_block
def test_nothing_to_attend_to(student, reference, draw):
    """To a token that may attend to nothing attention writes 0; one token and one example are ordinary."""
    theirs, ours = blocks(student, reference, draw, True)
    x, memory, bias = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6), draw.tensor(1, 3, 5, 5)
    mask, seen = draw.mask(2, 1, 5, 5, empty_rows=(2,)), draw.mask(2, 1, 5, 7, empty_rows=(1, 3))
    mask[0, 0, 4] = seen[1, 0, 4] = False  # in one example alone
    same(theirs, ours, x, bias, memory=memory, memory_mask=seen)
    same(theirs, ours, x, bias, memory=memory, mask=mask, memory_mask=seen)
    same(theirs, ours, x[:1, :1], bias[:, :, :1, :1], memory=memory[:1, :1])
    theirs, ours = blocks(student, reference, draw)
    same(theirs, ours, x, bias, mask=mask)
    one_head = draw.mask(2, 3, 5, 5)
    one_head[:, 1, 3] = False
    same(theirs, ours, x, bias, mask=one_head)


@t5_block
def test_arguments_dtype_and_modes(student, reference, draw):
    """The arguments stay; float32 stays float32; a view will do; nothing is drawn, in either mode."""
    theirs, ours = blocks(student, reference, draw, True)
    x, memory, bias, mask = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6), draw.tensor(1, 3, 5, 5), draw.mask(5, 5)
    mask |= torch.eye(5, dtype=torch.bool)  # causal as well: who may attend to nothing is for another test
    mask[4, 0] = False  # and never what causal attention allows anyhow
    for training in (True, False):
        theirs.train(training)
        close(quiet_rng(theirs, x, bias, memory=memory), ours(x, bias, memory=memory).detach())
    options = {"memory": memory, "mask": mask, "memory_mask": draw.mask(2, 1, 5, 7)}
    called = student.call(theirs, x, bias, **options)
    close(called.value, ours(x, bias, **options).detach())
    close(called.echo, ((x, bias), options), tolerance=(0, 0), what="the arguments")
    theirs, ours = blocks(student, reference, draw, dtype=torch.float32)
    bias = draw.tensor(1, 5, 5, 3, dtype=torch.float32).permute(0, 3, 1, 2)
    same(theirs, ours, draw.tensor(2, 6, 5, dtype=torch.float32).mT, bias, mask=mask)


@t5_block
@pytest.mark.weight(3)
def test_gradients(student, reference, draw):
    """The gradients of x, bias, memory and all parameters are right; there are 4·D·H·d_kv + 2DF + 2D of these, and
    another 4·D·H·d_kv + D in a decoder.
    """
    for is_decoder in (False, True):
        theirs, ours = blocks(student, reference, draw, is_decoder)
        x, bias, memory = draw.tensor(2, 5, 6), draw.tensor(1, 3, 5, 5), draw.tensor(2, 7, 6)
        mask = draw.mask(2, 1, 5, 5) | torch.eye(5, dtype=torch.bool)  # causal as well: no row may be without a token
        inputs, options = (x, bias, memory) if is_decoder else (x, bias), {"mask": mask}
        agree_gradients(theirs, ours, *inputs)
        agree_gradients(theirs, ours, *inputs, **options)
        cotangent = draw.tensor(2, 5, 6)
        seen = student.vjp(theirs, *inputs, cotangent=cotangent, parameters=True, **options).parameters or {}
        named = dict(ours.named_parameters())
        count, expected = sum(g.numel() for g in seen.values() if g is not None), sum(p.numel() for p in named.values())
        if count != expected:
            raise Disagreement(f"gradients reach {count} trainable numbers, expected {expected}")
        lost = [name for name, gradient in seen.items() if gradient is None or not gradient.isfinite().all()]
        if lost:
            raise Disagreement(f"no gradient, or one that is not finite, reaches the parameter {lost[0]}")
        if set(seen) == set(named):  # else the student's parameters have names of their own, see load_reference
            wanted = torch.autograd.grad(ours(*inputs, **options), list(named.values()), cotangent)
            for name, gradient in zip(named, wanted, strict=True):
                close(seen[name], gradient, tolerance=GRADIENT[torch.float64], what=f"the gradient of {name}")


@t5_block
def test_figure_of_the_heads(student):
    """The picture's array: the attention of three heads whose queries and keys are 0 is the softmax of the bias."""
    if not student.has("figure_data"):
        return
    place = torch.arange(24)
    bucket = relative_position_bucket(place - place[:, None], True)
    past = torch.arange(16.0)
    tables = (torch.cat([-0.5 * past] * 2), 6.0 * (torch.arange(32) == 1), torch.cat([0.4 * past] * 2))
    expected = torch.stack([torch.softmax(table[bucket], dim=-1) for table in tables])
    close(student.figure_data("heads"), expected.numpy(), rtol=1e-3, atol=1e-4)
