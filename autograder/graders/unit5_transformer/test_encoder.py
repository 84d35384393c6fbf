"""Hidden grader of the page `encoder`."""

import itertools
import math

import pytest
import torch

from autograder.grading import agree_gradients, close, quiet_rng, unjudged
from autograder.grading.chance import each_by_itself
from autograder.grading.compare import GRADIENT, Disagreement


def weights(draw, ours, dtype=torch.float64):
    """A random state dict: matrices that keep the size of what they multiply, vectors of order 1, all of them apart."""
    return {
        name: draw.tensor(*p.shape, dtype=dtype, scale=1.2 * p.shape[-1] ** -0.5 if p.ndim == 2 else 1.0)
        for name, p in ours.named_parameters()
    }


def same(theirs, ours, x, **kwargs):
    """Both give the same; the student's answer."""
    with torch.no_grad():
        expected = ours(x, **kwargs)
    answer = theirs(x, **kwargs)
    close(answer, expected)
    return answer


def all_gradients(student, theirs, ours, x, mask):
    """The gradients of x and of all parameters are right; there are as many trainable numbers as in ours."""
    agree_gradients(theirs, ours, x, mask=mask)
    cotangent = torch.linspace(-1, 1.5, x.numel(), dtype=x.dtype).sin().reshape(x.shape)
    found = student.vjp(theirs, x, cotangent=cotangent, parameters=True, mask=mask).parameters or {}
    named = dict(ours.named_parameters())
    for name, gradient in found.items():
        if gradient is None or not gradient.isfinite().all():
            raise Disagreement(f"no gradient, or one that is not finite, reaches the parameter {name}")
    count, expected = sum(g.numel() for g in found.values()), sum(p.numel() for p in named.values())
    if count != expected:
        raise Disagreement(f"there are {count} trainable numbers in {len(found)} parameters, expected {expected}")
    if set(found) == set(named):  # else the student's parameters have names of their own, see load_reference
        wanted = torch.autograd.grad(ours(x, mask=mask), list(named.values()), cotangent)
        for name, gradient in zip(named, wanted, strict=True):
            close(found[name], gradient, tolerance=GRADIENT[torch.float64], what=f"the gradient of {name}")


def padding(*lengths, S=7):
    """(B, 1, 1, S), True at the real tokens."""
    return (torch.arange(S) < torch.tensor(lengths)[:, None])[:, None, None]


# ---------------------------------------------------------------- encoder_layer

encoder_layer = pytest.mark.exercise("encoder_layer")


def layers(student, reference, draw, d_model=6, n_heads=3, d_ff=11, dtype=torch.float64, **options):
    """The student's layer and the reference's, with the same random weights."""
    ours = reference.EncoderLayer(d_model, n_heads, d_ff, **options).to(dtype)
    state = weights(draw, ours, dtype)
    ours.load_state_dict(state)
    theirs = student.EncoderLayer(d_model, n_heads, d_ff, **options)
    theirs.load_reference(state)
    return theirs, ours


def other_variant(student, reference, draw, norm_first):
    """Ask for an answer of the other variant: who knows one only is not taken for who exchanged them."""
    with unjudged():
        theirs, _ = layers(student, reference, draw, norm_first=norm_first)
        theirs(draw.tensor(2, 5, 6))


@encoder_layer
@pytest.mark.weight(3)
def test_post_norm_layer(student, reference, draw):
    """Without norm_first, the default: norm1(x + attention), then norm2 of that plus the feed-forward network."""
    other_variant(student, reference, draw, norm_first=True)
    for sizes in ((6, 3, 11), (10, 2, 7), (5, 1, 13)):
        theirs, ours = layers(student, reference, draw, *sizes)
        same(theirs, ours, draw.tensor(2, 7, sizes[0]))


@encoder_layer
@pytest.mark.weight(3)
def test_pre_norm_layer(student, reference, draw):
    """With norm_first both sub-layers read a normalised copy: norm1 before attention, norm2 before the network."""
    other_variant(student, reference, draw, norm_first=False)
    for sizes in ((6, 3, 11), (10, 2, 7), (5, 1, 13)):
        theirs, ours = layers(student, reference, draw, *sizes, norm_first=True)
        same(theirs, ours, draw.tensor(2, 7, sizes[0]))


@encoder_layer
@pytest.mark.weight(2)
def test_layer_masks(student, reference, draw):
    """The mask reaches attention (True = may attend), in all shapes that broadcast to (B, H, S, S)."""
    for norm_first in (False, True):
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        x, mask = draw.tensor(2, 7, 6), draw.mask(2, 3, 7, 7)
        for allowed in (mask[0, 0], mask[:, :1], padding(7, 3), mask):
            same(theirs, ours, x, mask=allowed)


@encoder_layer
@pytest.mark.weight(2)
def test_padding_of_a_layer(student, reference, draw):
    """What stands in the padding, and how much of it there is, does not change the real tokens."""
    for norm_first in (False, True):
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        x = draw.tensor(2, 7, 6)
        x[1, 3:] = 1e4 * draw.tensor(4, 6)
        with torch.no_grad():
            expected = ours(x[1:, :3])[0]
        close(theirs(x, mask=padding(7, 3))[1, :3], expected, what="the output of the real tokens")


@encoder_layer
def test_layer_activations(student, reference, draw):
    """The activation is that of the feed-forward network: relu, or either GELU."""
    for activation in ("relu", "gelu", "gelu_tanh"):
        theirs, ours = layers(student, reference, draw, activation=activation)
        same(theirs, ours, draw.tensor(2, 5, 6))


@encoder_layer
def test_layer_permutation(student, reference, draw):
    """Shuffled tokens give the shuffled result: a layer knows no positions."""
    theirs, ours = layers(student, reference, draw)
    x, order = draw.tensor(1, 7, 6), draw.permutation(7)
    with torch.no_grad():
        close(theirs(x[:, order]), ours(x)[:, order])


@encoder_layer
def test_small_layers(student, reference, draw):
    """One example, one token, and tokens that may attend to nothing are ordinary cases; the arguments stay."""
    for norm_first in (False, True):
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        same(theirs, ours, draw.tensor(1, 1, 6))
        x, mask = draw.tensor(2, 5, 6), draw.mask(2, 1, 5, 5, empty_rows=(3,))
        called = student.call(theirs, x, mask=mask)
        close(called.value, ours(x, mask=mask).detach())
        close(called.echo, ((x,), {"mask": mask}), tolerance=(0, 0), what="the caller's arguments")
        same(theirs, ours, x, mask=torch.zeros(5, 5, dtype=torch.bool))


@encoder_layer
@pytest.mark.weight(2)
def test_layer_modes(student, reference, draw):
    """In eval mode, and with dropout 0, nothing is drawn; in train mode something is dropped, but never the stream.

    That nothing of 2·11·6 = 132 numbers were dropped in either sub-layer has the probability 2^-264.
    """
    x = draw.tensor(2, 11, 6)
    for norm_first in (False, True):
        theirs, ours = layers(student, reference, draw, norm_first=norm_first, dropout=0.5)
        with torch.no_grad():
            expected = ours(x)
        theirs.train(False)
        close(quiet_rng(theirs, x), expected)
        theirs.train(True)
        noisy = student.seeded(theirs, x)
        close(noisy, torch.zeros_like(expected), rtol=0.0, atol=math.inf)
        if torch.allclose(noisy, expected):
            raise Disagreement("with dropout 0.5 the output in train mode is that of eval mode")
        silent = {name: torch.zeros_like(p) if "out_proj" in name or "fc2" in name else p.detach()
                  for name, p in ours.named_parameters()}  # fmt: skip
        theirs = student.EncoderLayer(6, 3, 11, norm_first=norm_first, dropout=0.5)
        theirs.load_reference(silent)
        theirs.train(True)
        ours.load_state_dict(silent)
        close(student.seeded(theirs, x), ours(x).detach(), what="the output where nothing is written")
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        close(quiet_rng(theirs, x), ours(x).detach())


def blank(d, d_ff):
    """A state dict of a layer that writes nothing."""
    sizes = {f"self_attn.{name}_proj": (d, d) for name in "qkv"} | {"self_attn.out_proj": (d, d)}
    sizes |= {"ffn.fc1": (d_ff, d), "ffn.fc2": (d, d_ff)}
    state = {f"{name}.weight": torch.zeros(size, dtype=torch.float64) for name, size in sizes.items()}
    state |= {f"{name}.bias": torch.zeros(size[0], dtype=torch.float64) for name, size in sizes.items()}
    for norm in ("norm1", "norm2"):
        state |= {f"{norm}.weight": torch.ones(d).double(), f"{norm}.bias": torch.zeros(d).double()}
    return state


def dropping(student, state, d, d_ff, norm_first=True):
    """A layer of one head with these weights, in train mode with dropout 0.25."""
    theirs = student.EncoderLayer(d, 1, d_ff, dropout=0.25, norm_first=norm_first)
    theirs.load_reference(state)
    theirs.train(True)
    return theirs


@encoder_layer
@pytest.mark.parametrize("writes", ["self_attn.out_proj", "ffn.fc2"], ids=["attention", "network"])
def test_each_written_number_is_dropped_by_itself(student, draw, writes):
    """Of what a sub-layer writes each number, by itself, is dropped or divided by 1 - dropout.

    The bias of the sub-layer's last matrix is all that is written. Four counts, each with a false alarm in 1e9.
    """
    bias = draw.tensor(7).abs() + 0.5
    theirs = dropping(student, blank(7, 5) | {f"{writes}.bias": bias}, 7, 5)
    x = draw.tensor(11, 17, 7)
    written = student.seeded(theirs, x)
    close(written, torch.zeros_like(x), rtol=0.0, atol=math.inf)
    written = written - x
    dropped = written.abs() < 1e-9
    if not (dropped | ((written - bias / 0.75).abs() < 1e-9)).all():
        raise Disagreement("in train mode some number that is written is neither 0 nor divided by 1 - dropout")
    each_by_itself(dropped, 0.25, "written numbers")


def whole(out, stream, written, finish):
    """Whether each token of `out` is its stream plus what was written into it, with some of four numbers dropped.

    The others are divided by 0.75, or by its square, where attention weights or hidden numbers are dropped too.
    """
    kept = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)  # (16, 4)
    factors = torch.cat([kept / 0.75, kept / 0.75**2])
    possible = finish(stream[..., None, :] + factors * written[..., None, :])  # (B, T, .., 4)
    return bool(((possible - out[..., None, :]).abs().amax(dim=-1).amin(dim=-1) < 1e-6).all())


@encoder_layer
@pytest.mark.parametrize("norm_first", [True, False], ids=["pre-LN", "post-LN"])
def test_what_is_read_is_whole(student, draw, norm_first):
    """In train mode too a sub-layer reads all numbers of its input: nothing of that is dropped."""
    x, mix = draw.tensor(5, 11, 4), draw.tensor(4, 4)
    stream, copy = (x, norm(x)) if norm_first else (norm(x), norm(x))  # what the network adds to, and what it reads
    attention = {"self_attn.v_proj.weight": mix, "self_attn.out_proj.weight": torch.eye(4).double()}
    network = {"ffn.fc1.weight": mix[:1], "ffn.fc1.bias": torch.full((1,), 20.0).double()}
    network |= {"ffn.fc2.weight": torch.ones(4, 1).double()}
    parts = [  # of one head and one hidden number: the name, the weights, the stream, what is written, what follows
        ("attention", attention, x, (norm(x) if norm_first else x) @ mix.T, lambda t: norm(norm(t))),
        ("the network", network, stream, (copy @ mix[:1].T + 20).expand(x.shape), norm),
    ]
    for name, weights, before, written, finish in parts:
        theirs = dropping(student, blank(4, 1) | weights, 4, 1, norm_first)
        out = student.seeded(theirs, x, mask=torch.eye(11, dtype=torch.bool))
        close(out, torch.zeros_like(x), rtol=0.0, atol=math.inf)
        if not whole(out, before, written, (lambda t: t) if norm_first else finish):
            raise Disagreement(f"in train mode {name} does not write what all numbers of its input give")


def norm(x):
    """A layer norm with weight 1 and bias 0."""
    return torch.nn.functional.layer_norm(x, x.shape[-1:])


@encoder_layer
def test_layer_in_float32(student, reference, draw):
    """float32 stays float32; x may be a view that is not contiguous."""
    theirs, ours = layers(student, reference, draw, dtype=torch.float32)
    same(theirs, ours, draw.tensor(2, 5, 6, dtype=torch.float32), mask=draw.mask(5, 5))
    theirs, ours = layers(student, reference, draw)
    same(theirs, ours, draw.tensor(2, 6, 5).mT)


@encoder_layer
@pytest.mark.weight(3)
def test_layer_gradients(student, reference, draw):
    """The gradients of x and of all parameters are right; there are 4(D² + D) + 2DF + F + D + 4D of these."""
    for norm_first in (False, True):
        theirs, ours = layers(student, reference, draw, norm_first=norm_first)
        all_gradients(student, theirs, ours, draw.tensor(2, 5, 6), draw.mask(2, 1, 5, 5))


# ---------------------------------------------------------------- encoder_stack

encoder_stack = pytest.mark.exercise("encoder_stack")


def stacks(student, reference, draw, n_layers=3, d_model=6, n_heads=3, d_ff=5, dtype=torch.float64, **options):
    """The student's encoder and the reference's, with the same random weights."""
    ours = reference.Encoder(n_layers, d_model, n_heads, d_ff, **options).to(dtype)
    state = weights(draw, ours, dtype)
    ours.load_state_dict(state)
    theirs = student.Encoder(n_layers, d_model, n_heads, d_ff, **options)
    if state:
        theirs.load_reference(state)
    return theirs, ours


@encoder_stack
@pytest.mark.weight(2)
def test_stack_of_one(student, reference, draw):
    """One layer is found by the module, with its parameters under layers.0, and gives the layer's result."""
    for norm_first in (False, True):
        theirs, ours = stacks(student, reference, draw, 1, norm_first=norm_first)
        same(theirs, ours, draw.tensor(2, 5, 6))


@encoder_stack
@pytest.mark.weight(3)
def test_stack_of_several(student, reference, draw):
    """Each layer has weights of its own, and reads what the one before has written."""
    for n_layers, norm_first in ((2, False), (3, True), (5, False)):
        theirs, ours = stacks(student, reference, draw, n_layers, norm_first=norm_first)
        same(theirs, ours, draw.tensor(2, 5, 6))


@encoder_stack
@pytest.mark.weight(2)
def test_final_norm(student, reference, draw):
    """With final_norm a layer norm follows the last layer, in pre-LN and in post-LN stacks; without it none does."""
    for norm_first in (True, False):
        theirs, ours = stacks(student, reference, draw, 2, norm_first=norm_first, final_norm=True)
        same(theirs, ours, draw.tensor(2, 5, 6))


@encoder_stack
@pytest.mark.weight(3)
def test_mask_for_every_layer(student, reference, draw):
    """All layers get the mask: what stands in the padding does not reach the real tokens, at any depth."""
    for norm_first in (True, False):
        theirs, ours = stacks(student, reference, draw, norm_first=norm_first, final_norm=True)
        same(theirs, ours, draw.tensor(2, 5, 6), mask=draw.mask(2, 1, 5, 5))
        same(theirs, ours, draw.tensor(2, 7, 6), mask=padding(7, 3))  # what comes out of the padding is no 0 either
        x = draw.tensor(2, 7, 6)
        x[1, 3:] = 1e4 * draw.tensor(4, 6)
        with torch.no_grad():
            expected = ours(x[1:, :3])[0]
        close(theirs(x, mask=padding(7, 3))[1, :3], expected, what="the output of the real tokens")


@encoder_stack
@pytest.mark.weight(2)
def test_stack_of_none(student, reference, draw):
    """Without layers the result is x, or its norm."""
    x = draw.tensor(2, 5, 6)
    theirs, _ = stacks(student, reference, draw, 0)
    close(theirs(x), x)
    theirs, ours = stacks(student, reference, draw, 0, final_norm=True)
    same(theirs, ours, x)


@encoder_stack
def test_stack_options(student, reference, draw):
    """The activation and the dropout reach the layers; in eval mode nothing is drawn; the arguments stay."""
    x, mask = draw.tensor(2, 5, 6), draw.mask(5, 5)
    theirs, ours = stacks(student, reference, draw, 2, activation="gelu_tanh", dropout=0.5)
    theirs.train(False)
    called = student.call(theirs, x, mask=mask)
    close(called.value, ours(x, mask=mask).detach())
    close(called.echo, ((x,), {"mask": mask}), tolerance=(0, 0), what="the caller's arguments")
    close(quiet_rng(theirs, x), ours(x).detach())
    theirs.train(True)
    noisy = student.seeded(theirs, x)
    close(noisy, torch.zeros_like(noisy), rtol=0.0, atol=math.inf)
    if torch.allclose(noisy, ours(x)):
        raise Disagreement("with dropout 0.5 the output in train mode is that of eval mode")
    theirs, ours = stacks(student, reference, draw, 2, dtype=torch.float32)
    same(theirs, ours, x.float())


@encoder_stack
@pytest.mark.weight(2)
def test_stack_gradients(student, reference, draw):
    """The gradients of x and of the parameters of all layers and of the final norm are right."""
    theirs, ours = stacks(student, reference, draw, 2, norm_first=True, final_norm=True)
    all_gradients(student, theirs, ours, draw.tensor(2, 5, 6), draw.mask(2, 1, 5, 5))


@encoder_stack
def test_influence_picture(student):
    """The picture: with n layers an output depends on the n nearest tokens on either side, and never on the padding."""
    if not student.has("figure_data"):
        return
    influence = torch.from_numpy(student.figure_data())
    close(influence, torch.zeros(3, 10, 12), rtol=0.0, atol=math.inf, what="the picture")
    rows, columns = torch.arange(10)[:, None], torch.arange(12)
    for picture, reach in zip(influence, (1, 2, 4), strict=True):
        seen = ((rows - columns).abs() <= reach) & (columns < 10)
        if not torch.equal(picture > 0, seen):
            raise Disagreement(f"with a reach of {reach} tokens the picture is not the band that it should be")
