"""Hidden grader of the page `decoder`."""

import itertools
import math

import pytest
import torch

from autograder.grading import agree_gradients, close, quiet_rng, unjudged
from autograder.grading.chance import each_by_itself
from autograder.grading.compare import GRADIENT, Disagreement

decoder_layer = pytest.mark.exercise("decoder_layer")
both_norms = pytest.mark.parametrize("norm_first", [True, False], ids=["pre-LN", "post-LN"])


def layers(student, reference, draw, d_model=6, n_heads=3, d_ff=5, dtype=torch.float64, **options):
    """The student's layer and the reference's, with the same random weights: asymmetric, with biases of order 1."""
    ours = reference.DecoderLayer(d_model, n_heads, d_ff, **options).to(dtype)
    state = {}
    for name, parameter in ours.named_parameters():
        scale = 1.2 * parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.7
        state[name] = draw.tensor(*parameter.shape, dtype=dtype, scale=scale)
        if name.startswith("norm") and name.endswith("weight"):
            state[name] = 1 + state[name] / 2
    ours.load_state_dict(state)
    theirs = student.DecoderLayer(d_model, n_heads, d_ff, **options)
    theirs.load_reference(state)
    return theirs, ours


def same(theirs, ours, *inputs, **masks):
    """Both layers give the same; the student's answer."""
    with torch.no_grad():
        expected = ours(*inputs, **masks)
    answer = theirs(*inputs, **masks)
    close(answer, expected)
    return answer


def causal(T):
    return torch.ones(T, T, dtype=torch.bool).tril()


@decoder_layer
def test_arguments_are_left_alone(student, reference, draw):
    """x, memory and the masks are as they were after the call."""
    theirs, ours = layers(student, reference, draw)
    x, memory = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6)
    masks = {"tgt_mask": causal(5), "memory_mask": draw.mask(2, 1, 1, 7)}
    called = student.call(theirs, x, memory, **masks)
    with torch.no_grad():
        close(called.value, ours(x, memory, **masks))
    close(called.echo, ((x, memory), masks), tolerance=(0, 0), what="the caller's arguments")


@decoder_layer
@pytest.mark.weight(3)
@both_norms
def test_three_sublayers(student, reference, draw, norm_first):
    """Self-attention, then cross-attention to the memory, then the network, each with its norm; no masks."""
    with unjudged():  # the other variant: who knows one only is not taken for who exchanged them
        theirs, _ = layers(student, reference, draw, norm_first=not norm_first)
        theirs(draw.tensor(2, 5, 6), draw.tensor(2, 7, 6))
    theirs, ours = layers(student, reference, draw, norm_first=norm_first)
    same(theirs, ours, draw.tensor(2, 5, 6), draw.tensor(2, 7, 6))
    same(theirs, ours, draw.tensor(3, 7, 6), draw.tensor(3, 2, 6))


@decoder_layer
@pytest.mark.weight(3)
def test_target_mask(student, reference, draw):
    """tgt_mask holds for the self-attention: with a causal one, no later token reaches an earlier output."""
    for norm_first in (True, False):
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        x, memory = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6)
        before = same(theirs, ours, x, memory, tgt_mask=causal(5))
        later = x.clone()
        later[:, 3:] = draw.tensor(2, 2, 6)
        after = same(theirs, ours, later, memory, tgt_mask=causal(5))
        close(after[:, :3], before[:, :3], what="the output before the change")


@decoder_layer
@pytest.mark.weight(3)
def test_memory_mask(student, reference, draw):
    """memory_mask holds for the cross-attention: what it hides has no effect, and what it shows has."""
    for norm_first in (True, False):
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        x, memory, mask = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6), draw.mask(2, 1, 1, 7)
        before = same(theirs, ours, x, memory, memory_mask=mask)
        junk = torch.where(mask[:, 0, 0, :, None], memory, draw.tensor(2, 7, 6, scale=30.0))
        close(theirs(x, junk, memory_mask=mask), before, what="the output after a change of hidden memory")


@decoder_layer
@pytest.mark.weight(2)
def test_each_mask_has_its_place(student, reference, draw):
    """With as many source as target tokens either mask would fit either attention; each belongs to its own."""
    for norm_first in (True, False):
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        x, memory, mask = draw.tensor(2, 5, 6), draw.tensor(2, 5, 6), draw.mask(2, 1, 1, 5)
        same(theirs, ours, x, memory, memory_mask=mask)
        same(theirs, ours, x, memory, tgt_mask=causal(5))
        same(theirs, ours, x, memory, tgt_mask=causal(5), memory_mask=mask)


@decoder_layer
def test_shapes_of_masks(student, reference, draw):
    """Masks broadcast to (B, H, T, T) and (B, H, T, S): one for all, one per example, one per head."""
    theirs, ours = layers(student, reference, draw)
    x, memory = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6)
    target, source = draw.mask(2, 3, 5, 5), draw.mask(2, 3, 5, 7)
    for cut in ((0, 0), (slice(None), slice(1)), (slice(None), slice(None))):
        same(theirs, ours, x, memory, tgt_mask=target[cut], memory_mask=source[cut])
    same(theirs, ours, x, memory, tgt_mask=target[:, :1, :1], memory_mask=source[0, 0, 0])


@decoder_layer
def test_nothing_to_see(student, reference, draw):
    """Where a row of a mask is empty, the attention adds its output bias; nothing is NaN, gradients neither."""
    for norm_first in (True, False):
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        x, memory = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6)
        source = draw.mask(2, 1, 1, 7)
        source[1] = False
        target = draw.mask(2, 1, 5, 5, empty_rows=(2,))
        same(theirs, ours, x, memory, tgt_mask=target, memory_mask=source)
        nobody = torch.zeros(1, dtype=torch.bool)
        same(theirs, ours, x, memory, memory_mask=nobody.expand(2, 1, 1, 7))
        same(theirs, ours, x, memory, tgt_mask=nobody.expand(5, 5))
    agree_gradients(theirs, ours, x, memory, tgt_mask=target, memory_mask=source)


@decoder_layer
def test_small_cases(student, reference, draw):
    """One example, one token, one memory token and one head are ordinary cases."""
    for d_model, n_heads in ((5, 1), (3, 3)):
        theirs, ours = layers(student, reference, draw, d_model, n_heads, d_ff=7, norm_first=True)
        for T, S in ((1, 1), (1, 7), (5, 1)):
            same(theirs, ours, draw.tensor(1, T, d_model), draw.tensor(1, S, d_model), tgt_mask=causal(T))


@decoder_layer
def test_activations(student, reference, draw):
    """The feed-forward network has the activation that was asked for, and relu unless told otherwise."""
    for options in ({}, {"activation": "relu"}, {"activation": "gelu"}, {"activation": "gelu_tanh"}):
        theirs, ours = layers(student, reference, draw, **options)
        same(theirs, ours, draw.tensor(2, 3, 6), draw.tensor(2, 7, 6))


@decoder_layer
@pytest.mark.weight(2)
def test_dropout_knows_the_mode(student, reference, draw):
    """In eval mode nothing is dropped and nothing drawn, nor is it with dropout 0; in train mode something is.

    In train mode none of 3·2·11·6 = 396 numbers would be dropped with probability 2^-396.
    """
    x, memory = draw.tensor(2, 11, 6), draw.tensor(2, 7, 6)
    for norm_first in (True, False):
        theirs, ours = layers(student, reference, draw, dropout=0.5, norm_first=norm_first)
        with torch.no_grad():
            expected = ours(x, memory)
        theirs.train(False)
        close(quiet_rng(theirs, x, memory), expected)
        theirs.train(True)
        noisy = theirs(x, memory)
        close(noisy, torch.zeros_like(expected), rtol=0.0, atol=math.inf)
        if torch.allclose(noisy, expected):
            raise Disagreement("with dropout 0.5 the output in train mode is that of eval mode")
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        close(quiet_rng(theirs, x, memory), ours(x, memory).detach())


def dropping(student, state, d, d_ff, norm_first=True):
    """A layer of one head that writes nothing but what `state` makes it write, in train mode with dropout 0.25."""
    theirs = student.DecoderLayer(d, 1, d_ff, dropout=0.25, norm_first=norm_first)
    blank = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes(d, d_ff).items()}
    ones = {f"norm{n}.weight": torch.ones(d, dtype=torch.float64) for n in (1, 2, 3)}
    theirs.load_reference(blank | ones | state)
    theirs.train(True)
    return theirs


@decoder_layer
@pytest.mark.parametrize("sublayer", ["self_attn.out_proj", "cross_attn.out_proj", "ffn.fc2"])
def test_what_dropout_drops(student, draw, sublayer):
    """Each number that a sub-layer returns, by itself, is dropped or divided by 1 - dropout; the stream stays whole.

    The bias of the sub-layer's last matrix is all that is written. Four counts, each with a false alarm in 1e9.
    """
    bias = draw.tensor(7).abs() + 0.5
    theirs = dropping(student, {f"{sublayer}.bias": bias}, 7, 3)
    x = draw.tensor(11, 17, 7)
    out = student.seeded(theirs, x, draw.tensor(11, 5, 7))
    close(out, torch.zeros_like(x), rtol=0.0, atol=math.inf)
    written, name = out - x, sublayer.partition(".")[0]
    if ((written - bias).abs() < 1e-9).all():
        raise Disagreement(f"in train mode nothing of what {name} returns is dropped")
    dropped = written.abs() < 1e-9
    if not (dropped | ((written - bias / 0.75).abs() < 1e-9)).all():
        raise Disagreement(f"in train mode some number that {name} returns is neither 0 nor divided by 1 - dropout")
    each_by_itself(dropped, 0.25, "returned numbers")


def whole(out, stream, written, finish):
    """Whether each token of `out` is its stream plus what was written into it, with some of four numbers dropped.

    The others are divided by 0.75.
    """
    kept = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)  # (16, 4)
    factors = kept / 0.75
    possible = finish(stream[..., None, :] + factors * written[..., None, :])  # (B, T, .., 4)
    return bool(((possible - out[..., None, :]).abs().amax(dim=-1).amin(dim=-1) < 1e-6).all())


@decoder_layer
@both_norms
def test_what_is_read_is_whole(student, draw, norm_first):
    """In train mode too a sub-layer reads all numbers of its input: nothing of that is dropped."""
    x, memory, mix = draw.tensor(5, 11, 4), draw.tensor(5, 3, 4), draw.tensor(4, 4)
    attention = {"self_attn.v_proj.weight": mix, "self_attn.out_proj.weight": torch.eye(4).double()}
    network = {"ffn.fc1.weight": mix, "ffn.fc1.bias": torch.full((4,), 20.0).double()}
    network |= {"ffn.fc2.weight": torch.eye(4).double()}
    stream, copy = (x, norm(x)) if norm_first else (norm(norm(x)), norm(norm(x)))  # what the network adds to and reads
    parts = [  # the name, the weights, the stream, what is written, what follows
        ("self_attn", attention, x, (norm(x) if norm_first else x) @ mix.T, lambda t: norm(norm(norm(t)))),
        ("ffn", network, stream, copy @ mix.T + 20, norm),
    ]
    for name, weights, before, written, finish in parts:
        theirs = dropping(student, weights, 4, 4, norm_first)
        out = student.seeded(theirs, x, memory, tgt_mask=torch.eye(11, dtype=torch.bool))
        close(out, torch.zeros_like(x), rtol=0.0, atol=math.inf)
        if not whole(out, before, written, (lambda t: t) if norm_first else finish):
            raise Disagreement(f"in train mode {name} does not write what all numbers of its input give")


def norm(x):
    """A layer norm with weight 1 and bias 0."""
    return torch.nn.functional.layer_norm(x, x.shape[-1:])


def shapes(d, d_ff):
    """The parameters and their shapes."""
    found = {}
    for part in ("self_attn", "cross_attn"):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= {f"{part}.{name}.weight": (d, d), f"{part}.{name}.bias": (d,)}
    found |= {"ffn.fc1.weight": (d_ff, d), "ffn.fc1.bias": (d_ff,), "ffn.fc2.weight": (d, d_ff), "ffn.fc2.bias": (d,)}
    return found | {f"norm{n}.{kind}": (d,) for n in (1, 2, 3) for kind in ("weight", "bias")}


@decoder_layer
def test_dtypes_and_views(student, reference, draw):
    """float32 weights and inputs give float32; inputs may be views that are not contiguous."""
    theirs, ours = layers(student, reference, draw, dtype=torch.float32)
    x, memory = draw.tensor(2, 5, 6, dtype=torch.float32), draw.tensor(2, 7, 6, dtype=torch.float32)
    same(theirs, ours, x, memory, tgt_mask=causal(5))
    theirs, ours = layers(student, reference, draw, norm_first=True)
    same(theirs, ours, draw.tensor(2, 6, 5).mT, draw.tensor(7, 2, 12)[..., ::2].transpose(0, 1), tgt_mask=causal(5))


@decoder_layer
@pytest.mark.weight(3)
@both_norms
def test_gradients(student, reference, draw, norm_first):
    """The gradients of x, memory and all parameters are right: all three norms and both attentions learn."""
    theirs, ours = layers(student, reference, draw, norm_first=norm_first)
    x, memory = draw.tensor(2, 5, 6), draw.tensor(2, 7, 6)
    masks = {"tgt_mask": causal(5), "memory_mask": draw.mask(2, 1, 1, 7)}
    agree_gradients(theirs, ours, x, memory, **masks)
    cotangent = draw.tensor(2, 5, 6)
    found = student.vjp(theirs, x, memory, cotangent=[cotangent], parameters=True, **masks).parameters or {}
    for name, gradient in found.items():
        if gradient is None or not gradient.isfinite().all():
            raise Disagreement(f"no gradient, or none that is finite, reaches the parameter {name}")
    wanted = torch.autograd.grad(ours(x, memory, **masks), list(ours.parameters()), cotangent)
    expected = dict(zip(dict(ours.named_parameters()), wanted, strict=True))
    count = sum(parameter.numel() for parameter in expected.values())
    seen = sum(gradient.numel() for gradient in found.values())
    if seen != count:
        raise Disagreement(f"the layer has {seen} trainable numbers in {len(found)} parameters, expected {count}")
    if set(found) == set(expected):  # else the student's parameters have names of their own, see load_reference
        close(found, expected, tolerance=GRADIENT[torch.float64], what="the gradient")


@decoder_layer
def test_figure(student):
    """The picture's arrays: outputs by target tokens, none of them later; outputs by memory, nothing of padding."""
    if not student.has("figure_data"):
        return
    by_target, by_memory = student.figure_data()
    close(by_target, torch.zeros(7, 7), rtol=0.0, atol=math.inf)
    close(by_memory, torch.zeros(7, 9), rtol=0.0, atol=math.inf)
    close(by_target.triu(1), torch.zeros(7, 7), tolerance=(0, 0), what="the influence of later tokens")
    close(by_memory[:, 7:], torch.zeros(7, 2), tolerance=(0, 0), what="the influence of padding")
    if not (by_target.tril() + torch.ones(7, 7).triu(1) > 0).all() or not (by_memory[:, :7] > 0).all():
        raise Disagreement("some output hears nothing of a token that it may see")
