"""Hidden grader of the page `transformer`."""

import math

import pytest
import torch
import torch.nn.functional as F

from autograder.grading import agree, close, raises
from autograder.grading.compare import GRADIENT, Disagreement, describe

# ---------------------------------------------------------------- shift_and_masks

shift_and_masks = pytest.mark.exercise("shift_and_masks")


def targets(draw, batch=3, T=7, pad=0, lengths=(7, 4, 2), low=3, high=17):
    """Symbols, right-padded to the lengths in some order."""
    tgt = draw.integers(low, high, batch, T)
    for row, place in zip(tgt, draw.permutation(batch), strict=True):
        row[lengths[place] :] = pad
    return tgt


@shift_and_masks
@pytest.mark.weight(2)
def test_input(student, draw):
    """The input is BOS and then the target without its last column."""
    for bos, pad in ((1, 0), (19, 5)):
        tgt = targets(draw, pad=pad)
        inp, _ = pair(student, tgt, bos, pad)
        close(inp[:, 0], torch.full((3,), bos), what="the first column of the input")
        close(inp[:, 1:], tgt[:, :-1], what="the input behind BOS")


@shift_and_masks
@pytest.mark.weight(2)
def test_labels(student, reference, draw):
    """The labels are the target, with -100 in place of every pad, so that cross-entropy skips padding."""
    for bos, pad in ((1, 0), (19, 5)):
        tgt = targets(draw, pad=pad)
        tgt[0, 0] = bos  # in a target it is a symbol like any other
        _, labels = pair(student, tgt, bos, pad)
        close(labels, reference.make_decoder_io(tgt, bos, pad)[1], what="the tensor labels")
        logits, real = draw.tensor(3, 7, 20), tgt != pad
        expected = F.cross_entropy(logits[real], tgt[real])
        close(F.cross_entropy(logits.flatten(0, 1), labels.flatten()), expected, what="the loss with these labels")


@shift_and_masks
def test_bos_is_pad(student, reference, draw):
    """Where BOS and pad are one number, the input begins with it, and the labels still skip the pads of the target."""
    tgt = targets(draw)
    same_pair(student, reference, tgt, 0, 0)
    one = targets(draw, T=1, lengths=(1, 1, 1))
    same_pair(student, reference, one, 1, 0)


@shift_and_masks
def test_target_is_left_alone(student, reference, draw):
    """tgt is as it was after the call, and so are src and inp after those of the masks."""
    tgt = targets(draw)
    for function, arguments in (
        (student.make_decoder_io, (tgt, 1, 0)),
        (student.src_mask, (tgt, 0)),
        (student.tgt_mask, (tgt, 0)),
    ):
        called = student.call(function, *arguments)
        if not isinstance(called.value, torch.Tensor | tuple | list):
            raise Disagreement("neither a tensor nor two of them came back")
        close(called.echo[0][0], tgt, tolerance=(0, 0), what="the argument after the call")


def pair(student, tgt, bos, pad):
    """Input and labels as a tuple of two int64 tensors of the target's shape."""
    answer = student.make_decoder_io(tgt, bos, pad)
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Disagreement(f"make_decoder_io returned {describe(answer)}, expected a pair (inp, labels)")
    for name, actual in zip(("inp", "the tensor labels"), answer, strict=True):
        close(actual, tgt, tolerance=(0, math.inf), what=name)
    return tuple(answer)


def same_pair(student, reference, tgt, bos, pad):
    """Input and labels are the reference's."""
    found, expected = pair(student, tgt, bos, pad), reference.make_decoder_io(tgt, bos, pad)
    for name, actual, right in zip(("inp", "the tensor labels"), found, expected, strict=True):
        close(actual, right, what=name)


@shift_and_masks
@pytest.mark.weight(2)
def test_source_mask(student, reference, draw):
    """(B, 1, 1, S), True where a symbol is no pad, whatever number pad has and wherever it stands."""
    src = targets(draw, pad=5, low=6)
    agree(student.src_mask, reference.src_mask, src, 5)
    scattered = draw.integers(0, 3, 3, 11)
    scattered[0, 0] = 2
    agree(student.src_mask, reference.src_mask, scattered, 2)
    agree(student.src_mask, reference.src_mask, targets(draw, T=1, lengths=(1, 1, 1)), 0)


@shift_and_masks
@pytest.mark.weight(3)
def test_target_mask(student, reference, draw):
    """(B, 1, T, T), True where the key is not later than the query and no pad: both must hold."""
    scattered = torch.cat([torch.full((3, 1), 9), draw.integers(0, 3, 3, 10)], dim=1)
    agree(student.tgt_mask, reference.tgt_mask, scattered, 2)
    agree(student.tgt_mask, reference.tgt_mask, scattered[:, :1], 2)
    inp = torch.cat([torch.full((3, 1), 1), targets(draw, T=6, lengths=(6, 3, 1))], dim=1)
    agree(student.tgt_mask, reference.tgt_mask, inp, 0)


@shift_and_masks
def test_first_key(student, reference, draw):
    """Key 0 may be seen even if it has the number of pad, and no row is empty."""
    inp = torch.cat([torch.full((3, 1), 0), targets(draw, T=6, lengths=(6, 3, 1))], dim=1)
    agree(student.tgt_mask, reference.tgt_mask, inp, 0)
    agree(student.tgt_mask, reference.tgt_mask, torch.zeros(2, 5, dtype=torch.int64), 0)


@shift_and_masks
def test_figure(student, reference):
    """The picture's arrays: what the decoder may see of a padded source, and of its own input."""
    if not student.has("figure_data"):
        return
    to_source, to_itself = student.figure_data()
    src, inp = torch.tensor([[3, 4, 5, 6, 0, 0]]), torch.tensor([[1, 3, 4, 5, 6, 2, 0]])
    close(to_source, reference.src_mask(src, 0)[0, 0].expand(7, 6), what="the first array")
    close(to_itself, reference.tgt_mask(inp, 0)[0, 0], what="the second array")


# ---------------------------------------------------------------- seq2seq_transformer

seq2seq_transformer = pytest.mark.exercise("seq2seq_transformer")

SIZES = {"src_vocab": 19, "tgt_vocab": 13, "d_model": 6, "n_heads": 3, "n_enc": 1, "n_dec": 2, "d_ff": 5}


def models(student, reference, draw, dtype=torch.float64, pad_id=0, max_len=11, **options):
    """The student's model and the reference's, with the same random weights: asymmetric, logits of a few units."""
    sizes = SIZES | {name: options.pop(name) for name in list(options) if name in SIZES}
    ours = reference.Transformer(**sizes, max_len=max_len, pad_id=pad_id, **options).to(dtype)
    state = {}
    for name, value in ours.state_dict().items():
        scale = 1.2 * value.shape[-1] ** -0.5 if value.ndim == 2 else 0.5
        state[name] = draw.tensor(*value.shape, dtype=dtype, scale=scale)
        if "norm" in name and name.endswith("weight"):
            state[name] = 1 + state[name] / 2
    if options.get("tie"):
        state["output.weight"] = state["tgt_embed.weight"]
    ours.load_state_dict(state)
    theirs = student.Transformer(**sizes, max_len=max_len, pad_id=pad_id, **options)
    theirs.load_reference(state)
    return theirs, ours


def ids(draw, lengths, high, pad=0, width=None):
    """Rows of these lengths without a pad, in some order, right-padded."""
    rows = draw.integers(1, high, len(lengths), width or max(lengths))
    rows[rows == pad] = high - 1
    for row, place in zip(rows, draw.permutation(len(lengths)), strict=True):
        row[lengths[place] :] = pad
    return rows


def real(inp, pad=0):
    """Where logits have a meaning."""
    return (inp != pad) | (torch.arange(inp.shape[1]) == 0)


def same(theirs, ours, src, inp, pad=0):
    """The student's logits are the reference's where inp is no padding. Returns the student's."""
    with torch.no_grad():
        expected = ours(src, inp)
    logits = theirs(src, inp)
    compare(logits, expected, real(inp, pad), "the tensor of logits")
    return logits


def compare(actual, expected, where, what):
    close(actual, expected, rtol=0.0, atol=math.inf, what=what)
    if not actual.isfinite().all():
        actual = actual.where(where[..., None], 0.0)  # at padding anything may stand
        close(actual, expected, rtol=0.0, atol=math.inf, what=what)
    close(actual[where], expected[where], what=f"{what} (places of padding left out)")


@seq2seq_transformer
def test_ids_are_left_alone(student, reference, draw):
    """src and inp are as they were after the call."""
    theirs, ours = models(student, reference, draw)
    src, inp = ids(draw, (7, 3), 19), ids(draw, (5, 2), 13)
    called = student.call(theirs, src, inp)
    compare(called.value, ours(src, inp).detach(), real(inp), "the tensor of logits")
    close(list(called.echo[0]), [src, inp], tolerance=(0, 0), what="the caller's arguments")


@seq2seq_transformer
@pytest.mark.weight(4)
def test_logits(student, reference, draw):
    """Embeddings, encoder, decoder and output: the logits, of full rows, for other sizes, lengths and both norms."""
    theirs, ours = models(student, reference, draw)
    same(theirs, ours, ids(draw, (7, 7), 19), ids(draw, (5, 5), 13))
    same(theirs, ours, ids(draw, (2, 2, 2), 19), ids(draw, (7, 7, 7), 13))
    theirs, ours = models(student, reference, draw, norm_first=False, d_model=10, n_heads=2, n_enc=2, n_dec=1)
    same(theirs, ours, ids(draw, (7, 7), 19), ids(draw, (5, 5), 13))


@seq2seq_transformer
@pytest.mark.weight(2)
def test_encode(student, reference, draw):
    """encode gives the memory: scaled embeddings and positions through the encoder and its norm."""
    for norm_first in (True, False):
        theirs, ours = models(student, reference, draw, norm_first=norm_first)
        src = ids(draw, (7, 4, 2), 19)
        with torch.no_grad():
            expected = ours.encode(src)
        compare(theirs.encode(src), expected, src != 0, "the memory")


@seq2seq_transformer
@pytest.mark.weight(2)
def test_decode(student, reference, draw):
    """decode takes the memory that it is given, of any origin; after encode it gives what forward gives."""
    theirs, ours = models(student, reference, draw)
    src, inp = ids(draw, (7, 4, 2), 19), ids(draw, (5, 3, 1), 13)
    memory = draw.tensor(3, 7, 6)
    with torch.no_grad():
        expected = ours.decode(inp, memory, src)
    compare(theirs.decode(inp, memory, src), expected, real(inp), "the tensor of logits")
    both = theirs.decode(inp, theirs.encode(src), src)
    compare(both, theirs(src, inp), real(inp), "the tensor of logits of encode and decode")


@seq2seq_transformer
@pytest.mark.weight(3)
def test_no_future(student, reference, draw):
    """The logits at a place do not depend on later symbols of the input."""
    theirs, ours = models(student, reference, draw)
    src, inp = ids(draw, (7, 7), 19), ids(draw, (7, 7), 13)
    before = same(theirs, ours, src, inp)
    for place in (1, 4, 6):
        other = inp.clone()
        other[:, place:] = other[:, place:] % 12 + 1
        after = theirs(src, other)
        close(after, before, rtol=0.0, atol=math.inf)
        close(after[:, :place], before[:, :place], what="the tensor of logits before the change")


@seq2seq_transformer
@pytest.mark.weight(3)
def test_source_padding(student, reference, draw):
    """Padding in the source counts neither in the encoder nor in the decoder, and more of it changes nothing."""
    for pad in (0, 7):
        theirs, ours = models(student, reference, draw, pad_id=pad)
        src, inp = ids(draw, (7, 4, 2), 19, pad), ids(draw, (5, 5, 5), 13, pad)
        before = same(theirs, ours, src, inp, pad)
        longer = torch.cat([src, torch.full((3, 4), pad)], dim=1)
        close(theirs(longer, inp), before, what="the tensor of logits with more padding in the source")


@seq2seq_transformer
@pytest.mark.weight(2)
def test_target_padding(student, reference, draw):
    """Padding at the end of the input changes nothing before it."""
    theirs, ours = models(student, reference, draw)
    src, inp = ids(draw, (7, 4, 2), 19), ids(draw, (5, 3, 1), 13)
    before = same(theirs, ours, src, inp)
    after = same(theirs, ours, src, torch.cat([inp, torch.zeros(3, 2, dtype=torch.int64)], dim=1))
    close(after[:, :5][real(inp)], before[real(inp)], what="the tensor of logits with more padding in the input")


@seq2seq_transformer
def test_begins_with_pad(student, reference, draw):
    """Where BOS has the number of pad, the first symbol of the input is seen nevertheless."""
    theirs, ours = models(student, reference, draw)
    src, inp = ids(draw, (7, 4, 2), 19), ids(draw, (5, 3, 2), 13)
    inp[:, 0] = 0
    same(theirs, ours, src, inp)


@seq2seq_transformer
def test_rows_are_independent(student, reference, draw):
    """A row alone gives what it gives among others; one row, one source symbol, one target symbol are enough."""
    theirs, ours = models(student, reference, draw)
    src, inp = ids(draw, (7, 7, 7), 19), ids(draw, (5, 5, 5), 13)
    together = same(theirs, ours, src, inp)
    close(theirs(src[1:2], inp[1:2]), together[1:2], what="the tensor of logits of a row by itself")
    same(theirs, ours, ids(draw, (1,), 19), ids(draw, (5,), 13))
    same(theirs, ours, ids(draw, (7,), 19), ids(draw, (1,), 13))


@seq2seq_transformer
def test_longest_sequences(student, reference, draw):
    """max_len symbols are taken, source and input alike; one more is a ValueError, in encode, decode and forward."""
    theirs, ours = models(student, reference, draw, max_len=7)
    src, inp = ids(draw, (7, 7), 19), ids(draw, (7, 7), 13)
    same(theirs, ours, src, inp)
    long_src, long_inp = ids(draw, (8, 8), 19), ids(draw, (8, 8), 13)
    memory = draw.tensor(2, 7, 6)
    raises(ValueError, theirs.encode, long_src)
    raises(ValueError, theirs.decode, long_inp, memory, src)
    raises(ValueError, theirs, long_src, inp)
    raises(ValueError, theirs, src, long_inp)


@seq2seq_transformer
def test_dtypes(student, reference, draw):
    """A new model and weights in float32 give logits in float32; a model that was moved to float64 computes in it."""
    new = student.Transformer(**SIZES, max_len=11, pad_id=0)
    close(new(ids(draw, (7, 4), 19), ids(draw, (5, 3), 13)), torch.zeros(2, 5, 13), rtol=0.0, atol=math.inf)
    theirs, ours = models(student, reference, draw, dtype=torch.float32)
    same(theirs, ours, ids(draw, (7, 4), 19), ids(draw, (5, 3), 13))
    theirs.double()
    logits = theirs(ids(draw, (7, 4), 19), ids(draw, (5, 3), 13))
    close(logits, torch.zeros(2, 5, 13, dtype=torch.float64), rtol=0.0, atol=math.inf)


def parameter_gradients(student, theirs, ours, draw):
    """The gradients of all parameters, the student's and the reference's, for logits at places without padding."""
    src, inp = ids(draw, (7, 4), 19), ids(draw, (5, 3), 13)
    cotangent = draw.tensor(2, 5, 13) * real(inp)[..., None]
    seen = student.vjp(theirs, src, inp, cotangent=[cotangent], parameters=True)
    wanted = torch.autograd.grad(ours(src, inp), list(ours.parameters()), cotangent)
    expected = dict(zip(dict(ours.named_parameters()), wanted, strict=True))
    found = seen.parameters or {}
    for name, gradient in found.items():
        if gradient is None or not gradient.isfinite().all():
            raise Disagreement(f"no gradient, or none that is finite, reaches the parameter {name}")
    return found, expected


def compare_gradients(found, expected):
    count = sum(gradient.numel() for gradient in expected.values())
    seen = sum(gradient.numel() for gradient in found.values())
    if seen != count:
        raise Disagreement(f"the model has {seen} trainable numbers in {len(found)} parameters, expected {count}")
    if set(found) == set(expected):  # else the student's parameters have names of their own, see load_reference
        close(found, expected, tolerance=GRADIENT[torch.float64], what="the gradient")


@seq2seq_transformer
@pytest.mark.weight(2)
def test_gradients(student, reference, draw):
    """The gradients of all parameters are right, those of both embeddings and of every layer."""
    theirs, ours = models(student, reference, draw)
    compare_gradients(*parameter_gradients(student, theirs, ours, draw))


@seq2seq_transformer
@pytest.mark.weight(3)
def test_tied_weights(student, reference, draw):
    """With tie=True the output layer is the target embedding: one parameter, whose gradient is the sum of both uses."""
    theirs, ours = models(student, reference, draw, tie=True)
    same(theirs, ours, ids(draw, (7, 4), 19), ids(draw, (5, 3), 13))
    found, expected = parameter_gradients(student, theirs, ours, draw)
    compare_gradients(found, expected)
    state = theirs.state_dict()
    if not isinstance(state, dict) or not set(found) <= set(state):
        raise Disagreement("the model's parameters did not come back")
    if set(found) == set(expected):  # a step of training: both uses have moved together
        moved = {name: value - 0.1 * found[name] if name in found else value for name, value in state.items()}
        if "output.weight" in moved:
            moved["output.weight"] = moved["tgt_embed.weight"]
        theirs.load_state_dict(moved)
        with torch.no_grad():
            for name, parameter in ours.named_parameters():
                parameter -= 0.1 * expected[name]
        same(theirs, ours, ids(draw, (7, 4), 19), ids(draw, (5, 3), 13))
