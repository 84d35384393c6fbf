"""Hidden grader of the page `triton_kernels`: 60 % in Triton's interpreter, without a GPU; memory and speed on one."""

import importlib.util
import math

import pytest
import torch

from autograder.grading import close
from autograder.grading.accuracy import near_as_plain
from autograder.grading.compare import Disagreement
from autograder.grading.compiling import CARDS, blank
from autograder.grading.context import Deferred
from autograder.grading.gpu import Chain, Work
from autograder.grading.racing import TIERS
from autograder.installed import needs

F16, F32 = torch.float16, torch.float32


@pytest.fixture(autouse=True)
def triton_is_here() -> None:
    if importlib.util.find_spec("triton") is None:
        raise Deferred(f"Triton is not installed on this machine (Linux only): {needs('kernels')}")


def inputs(draw, q_len, kv_len=None, D=16, batch=1, heads=2, dtype=F32):
    """q (B, H, q_len, D), k and v (B, H, kv_len, D)."""
    q, k, v, _ = draw.attention(batch, heads, q_len, kv_len or q_len, D, D, dtype=dtype)
    return q, k, v


def padded(tensor, room=7):
    """The same numbers as a view into a larger tensor of NaN, with `room` rows behind each head and columns beside."""
    *lead, rows, width = tensor.shape
    outer = torch.full((*lead, rows + room, width + 5), math.nan, dtype=tensor.dtype)
    view = outer[..., :rows, :width]
    view.copy_(tensor)
    return view


def pair(found, what="two values, o and lse,"):
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Disagreement(f"{what} are asked for")
    return found


def finite(found, like, what):
    """Shape and dtype are those of `like`, and each number is one."""
    close(torch.zeros_like(found) if isinstance(found, torch.Tensor) else found, torch.zeros_like(like), what=what)
    broken = int((~torch.isfinite(found)).sum())
    if broken:
        raise Disagreement(f"{what} is NaN or infinite at {broken} of {found.numel()} places")


def relative(found, exact, allowed, what):
    """float16, no NaN, and the norm of the error at most `allowed` times the norm."""
    finite(found, exact.half(), what)
    error = ((found.double() - exact).norm() / exact.norm()).item()
    if not error <= allowed:
        raise Disagreement(f"the relative error of {what} is {error:.2g}, allowed {allowed:g}")


def counted(seen, **limits):
    """What was counted in the interpreter stays within the limits."""
    if not seen.measured.get("launches"):
        raise Disagreement("no kernel was launched: the computation is to be done by Triton kernels")
    names = {
        "wild_loads": "elements were read that belong to no tensor of the call",
        "shared_stores": "times a program stored where another one had stored before: on a GPU, a race",
        "largest_bytes": "bytes has the largest tensor that was made",
        "stored_bytes": "bytes were stored",
        "loaded_bytes": "bytes were loaded",
        "dot_flops": "FLOPs were spent in tl.dot",
    }
    for name, limit in {"wild_loads": 0, **limits}.items():
        if seen.measured[name] > limit:
            raise Disagreement(f"{seen.measured[name]} {names[name]}; at most {int(limit)} are expected")


def by_kernels(seen, **least):
    """Kernels have done at least so much: an answer that was computed some other way is none."""
    for name, least_count in {"launches": 1, **least}.items():
        if seen.measured.get(name, 0) < least_count:
            raise Disagreement(
                f"{name} of the kernels: {seen.measured.get(name, 0)}, and this call takes {int(least_count)}; the "
                "computation is to be done by Triton kernels"
            )


# ---------------------------------------------------------------- triton_flash_forward

triton_flash_forward = pytest.mark.exercise("triton_flash_forward")


def forward(student, reference, q, k, v, is_causal=False):
    """float32: o and lse are the reference's."""
    o, lse = pair(student.flash_fwd(q, k, v, is_causal))
    exact_o, exact_lse = reference.flash_fwd(q, k, v, is_causal)
    close(o, exact_o, what="o")
    close(lse, exact_lse, rtol=1e-5, atol=1e-4, what="lse")


@triton_flash_forward
@pytest.mark.gate
@pytest.mark.weight(0)
def test_by_kernels(student, draw):
    """Kernels multiply queries, keys and values, and store the output."""
    q, k, v = inputs(draw, 16)
    seen = student.measure(student.flash_fwd, q, k, v, False)
    by_kernels(seen, dot_flops=4 * 2 * 16 * 16 * 16, loaded_bytes=3 * q.nbytes, stored_bytes=q.nbytes)


@triton_flash_forward
@pytest.mark.weight(3)
def test_one_tile(student, reference, draw):
    """A short text gives the output of plain attention, and the natural logsumexp of the scaled scores."""
    for D in (16, 32):
        forward(student, reference, *inputs(draw, 16, D=D))
        forward(student, reference, *inputs(draw, 32, D=D, batch=2, heads=3))


@triton_flash_forward
@pytest.mark.weight(3)
@pytest.mark.parametrize("D", [64, 128])
def test_wide_heads(student, reference, draw, D):
    """Heads of width 64 and 128, with as many keys as 128."""
    forward(student, reference, *inputs(draw, 64, 128, D=D, heads=1))


@triton_flash_forward
@pytest.mark.weight(4)
def test_ragged_lengths(student, reference, draw):
    """Lengths that no tile divides, with NaN in memory right behind them: nothing of that gets in."""
    for q_len, kv_len in ((1, 1), (17, 17), (127, 129), (45, 7), (3, 150)):
        q, k, v = (padded(t) for t in inputs(draw, q_len, kv_len))
        forward(student, reference, q, k, v)


@triton_flash_forward
@pytest.mark.weight(4)
def test_causal(student, reference, draw):
    """With is_causal query i sees keys 0..i (top-left), for fewer, as many or more keys, over several tiles."""
    for q_len, kv_len in ((1, 1), (17, 17), (130, 130), (260, 260), (40, 170), (170, 40)):
        q, k, v = inputs(draw, q_len, kv_len, heads=1)
        k[..., 0], q[..., 0] = torch.linspace(0.0, 3.0, kv_len), 2.0  # later keys would get more
        forward(student, reference, q, k, v, True)


@triton_flash_forward
@pytest.mark.weight(2)
def test_many_tiles(student, reference, draw):
    """Over many tiles, whether the largest score comes first or last."""
    q, k, v = inputs(draw, 40, 300, heads=1)
    q[..., 0], k[..., 0] = 4.0, torch.linspace(-9.0, 9.0, 300)
    forward(student, reference, q, k, v)
    forward(student, reference, q, k.flip(2), v)


@triton_flash_forward
@pytest.mark.weight(3)
def test_views(student, reference, draw):
    """q, k and v may be views with any strides, such as heads split off with transpose(1, 2)."""
    q = draw.tensor(2, 33, 3, 16, dtype=F32).transpose(1, 2)
    k = draw.tensor(2, 3, 16, 47, dtype=F32).mT
    v = draw.tensor(3, 2, 47, 32, dtype=F32).transpose(0, 1)[..., ::2]
    forward(student, reference, q, k, v)
    forward(student, reference, q, k, v, True)


@triton_flash_forward
@pytest.mark.weight(2)
def test_large_scores(student, reference, draw):
    """Scores of some hundreds, above and below zero, neither overflow nor vanish."""
    q, k, v = inputs(draw, 33, 70, D=32)
    for sign in (1.0, -1.0):
        q[..., 0], k[..., 0] = sign * 60.0, 60.0
        o, lse = pair(student.flash_fwd(q, k, v))
        exact_o, exact_lse = reference.exact_forward(q, k, v)
        close(o.double(), exact_o, rtol=2e-3, atol=2e-3, what="o")
        close(lse.double(), exact_lse, rtol=1e-5, atol=1e-3, what="lse")


@triton_flash_forward
@pytest.mark.weight(3)
def test_float16(student, reference, draw):
    """float16 comes back as float16, with lse in float32, and a relative error of at most 0.004."""
    for is_causal in (False, True):
        q, k, v = inputs(draw, 100, 100, D=32, dtype=F16)
        o, lse = pair(student.flash_fwd(q, k, v, is_causal))
        exact_o, exact_lse = reference.exact_forward(q, k, v, is_causal)
        relative(o, exact_o, 0.004, "o")
        close(lse, exact_lse.float(), rtol=0.0, atol=1e-3, what="lse")


@triton_flash_forward
@pytest.mark.weight(2)
def test_float16_sums(student, reference, draw):
    """In float16, values of some hundreds add up beyond 65504 before they are divided: sums are kept in float32."""
    q, k, v = inputs(draw, 20, 300, heads=1, dtype=F16)
    q, v = q * 0.01, (v + 8.0) * 40.0
    o, _ = pair(student.flash_fwd(q, k, v))
    relative(o, reference.exact_forward(q, k, v)[0], 0.004, "o")


@triton_flash_forward
@pytest.mark.weight(2)
def test_float16_level(student, reference, draw):
    """In float16, scores near 100 or -100 cost no accuracy: they are scaled and exponentiated in float32."""
    for sign in (1.0, -1.0):
        q, k, v = inputs(draw, 40, 70, D=32, dtype=F16)
        q[..., 0], k[..., 0] = sign * 23.5, 24.0
        o, _ = pair(student.flash_fwd(q, k, v))
        relative(o, reference.exact_forward(q, k, v)[0], 0.004, "o")


@triton_flash_forward
@pytest.mark.weight(4)
def test_addresses(student, reference, draw):
    """Nothing is read or written beside the tensors of the call; each element of o and lse is stored once."""
    for is_causal in (False, True):
        q, k, v = inputs(draw, 77, 45)
        seen = student.measure(student.flash_fwd, q, k, v, is_causal)
        close(pair(seen.value)[0], reference.flash_fwd(q, k, v, is_causal)[0], what="o")
        counted(seen, shared_stores=0, stored_bytes=q.nbytes + 4 * 2 * 77)


def worked(student, reference, draw, is_causal, share):
    """The products of 512 queries and keys are at most this share of all."""
    q, k, v = inputs(draw, 512, heads=1)
    seen = student.measure(student.flash_fwd, q, k, v, is_causal)
    close(pair(seen.value)[0], reference.flash_fwd(q, k, v, is_causal)[0], what="o")
    counted(seen, dot_flops=share * 4 * 512 * 512 * 16)


@triton_flash_forward
def test_work(student, reference, draw):
    """Every score is computed once."""
    worked(student, reference, draw, False, 1.05)


@triton_flash_forward
@pytest.mark.weight(2)
@pytest.mark.names("causal_tiles_not_skipped")
def test_causal_work(student, reference, draw):
    """A causal call skips the tiles above the diagonal."""
    worked(student, reference, draw, True, 0.65)


@triton_flash_forward
def test_forward_memory(student, reference, draw):
    """No tensor is made that is larger than the largest of q, k and v: no table of scores, and no mask of that size."""
    for is_causal in (False, True):
        q, k, v = inputs(draw, 200, 300, heads=1)
        seen = student.measure(student.flash_fwd, q, k, v, is_causal)
        close(pair(seen.value)[0], reference.flash_fwd(q, k, v, is_causal)[0], what="o")
        counted(seen, largest_bytes=k.nbytes)


@triton_flash_forward
def test_again(student, reference, draw):
    """The same input gives the same bits, and the arguments are as they were."""
    q, k, v = inputs(draw, 50)
    called = student.call(student.flash_fwd, q, k, v, True)
    close(pair(called.value)[0], reference.flash_fwd(q, k, v, True)[0], what="o")
    close(called.echo, ((q, k, v, True), {}), tolerance=(0.0, 0.0), what="the caller's arguments")
    close(student.flash_fwd(q, k, v, True), tuple(called.value), tolerance=(0.0, 0.0), what="the second result")


@triton_flash_forward
@pytest.mark.weight(0)
@pytest.mark.parametrize("card", CARDS)
def test_compiles(student, compiler, card):
    """For information, no points: what the compiler makes of a causal call with bfloat16 heads of width 64."""
    q = blank(1, 16, 8192, 64)
    compiler(student.flash_fwd, card, q, q, q, True)


# ---------------------------------------------------------------- triton_flash_backward

triton_flash_backward = pytest.mark.exercise("triton_flash_backward")


def as_it_is(t):
    return t


def backward(student, reference, q, k, v, is_causal=False, views=(as_it_is, as_it_is), draw=None, atol=1e-4):
    """float32: the three gradients are the reference's. `views` lay out do and o."""
    do = views[0](draw.tensor(*q.shape, dtype=q.dtype))
    o, lse = reference.flash_fwd(q, k, v, is_causal)
    found = student.flash_bwd(do, q, k, v, views[1](o), lse, is_causal)
    three(found)
    expected = reference.flash_bwd(do, q, k, v, o, lse, is_causal)
    for name, ours, theirs in zip("qkv", found, expected, strict=True):
        close(ours, theirs, rtol=1e-3, atol=atol, what=f"d{name}")


def three(found):
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise Disagreement("three values, dq, dk and dv, are asked for")
    return found


@triton_flash_backward
@pytest.mark.gate
@pytest.mark.weight(0)
def test_gradients_by_kernels(student, reference, draw):
    """Kernels compute the five products of a backward pass, and store the gradients."""
    q, k, v = inputs(draw, 16)
    do, (o, lse) = draw.tensor(*q.shape, dtype=F32), reference.flash_fwd(q, k, v, False)
    seen = student.measure(student.flash_bwd, do, q, k, v, o, lse, False)
    by_kernels(seen, dot_flops=10 * 2 * 16 * 16 * 16, loaded_bytes=4 * q.nbytes, stored_bytes=3 * q.nbytes)


@triton_flash_backward
@pytest.mark.weight(3)
def test_gradients_of_one_tile(student, reference, draw):
    """The gradients of a short text are those of plain attention."""
    for D in (16, 32):
        backward(student, reference, *inputs(draw, 16, D=D, heads=3), draw=draw)
    backward(student, reference, *inputs(draw, 32, D=64, heads=1), draw=draw)
    backward(student, reference, *inputs(draw, 16, D=128, heads=1), draw=draw)


@triton_flash_backward
@pytest.mark.weight(4)
def test_gradients_of_ragged_lengths(student, reference, draw):
    """Lengths that no tile divides, with NaN in memory right behind them: nothing of that gets in."""
    for q_len, kv_len in ((1, 1), (17, 19), (140, 37), (37, 140)):
        q, k, v = (padded(t) for t in inputs(draw, q_len, kv_len))
        backward(student, reference, q, k, v, views=(padded, padded), draw=draw)


@triton_flash_backward
@pytest.mark.weight(4)
@pytest.mark.names("causal_bwd_missing")
def test_causal_gradients(student, reference, draw):
    """With is_causal no gradient flows between a query and a later key; keys that no query sees get 0."""
    for q_len, kv_len in ((1, 1), (17, 17), (135, 135), (30, 140), (140, 30)):
        q, k, v = inputs(draw, q_len, kv_len, heads=1)
        k[..., 0], q[..., 0] = torch.linspace(0.0, 3.0, kv_len), 2.0
        backward(student, reference, q, k, v, True, draw=draw)


@triton_flash_backward
@pytest.mark.weight(3)
def test_gradients_of_views(student, reference, draw):
    """q, k, v, o and do may be views with any strides, each with its own."""
    q = draw.tensor(2, 33, 3, 16, dtype=F32).transpose(1, 2)
    k = draw.tensor(2, 3, 16, 47, dtype=F32).mT
    v = draw.tensor(3, 2, 47, 32, dtype=F32).transpose(0, 1)[..., ::2]
    columns = lambda t: t.mT.contiguous().mT  # noqa: E731 - (B, H, D, T) in memory
    heads_first = lambda t: t.transpose(0, 1).contiguous().transpose(0, 1)  # noqa: E731 - (H, B, T, D) in memory
    for is_causal, views in ((False, (heads_first, columns)), (True, (columns, heads_first))):
        backward(student, reference, q, k, v, is_causal, views, draw)


@triton_flash_backward
@pytest.mark.weight(2)
def test_gradients_at_a_level(student, reference, draw):
    """Scores near 100 or -100 leave the gradients finite and right, for lengths that no tile divides."""
    for sign in (1.0, -1.0):
        for is_causal in (False, True):
            q, k, v = inputs(draw, 40, 45, heads=1)
            q[..., 0], k[..., 0] = sign * 20.0, 20.0
            backward(student, reference, q, k, v, is_causal, draw=draw, atol=2e-3)


@triton_flash_backward
@pytest.mark.weight(3)
def test_float16_gradients(student, reference, draw):
    """float16 gradients come back as float16, with a relative error of at most 0.006."""
    for is_causal in (False, True):
        q, k, v = inputs(draw, 70, 60, D=32, heads=1, dtype=F16)
        half_gradients(student, reference, q, k, v, draw.tensor(*q.shape, dtype=F16), is_causal)


def half_gradients(student, reference, q, k, v, do, is_causal):
    o, lse = reference.flash_fwd(q, k, v, is_causal)
    found = three(student.flash_bwd(do, q, k, v, o, lse, is_causal))
    for name, ours, exact in zip("qkv", found, reference.exact_backward(do, q, k, v, is_causal), strict=True):
        relative(ours, exact, 0.006, f"d{name}")


@triton_flash_backward
@pytest.mark.weight(3)
def test_float16_gradients_level(student, reference, draw):
    """In float16, scores near 100, -20 or -100 cost no accuracy: the weights are made again in float32."""
    for level in (23.5, -4.7, -23.5):
        q, k, v = inputs(draw, 40, 70, D=32, heads=1, dtype=F16)
        q[..., 0], k[..., 0] = level, 24.0
        half_gradients(student, reference, q, k, v, draw.tensor(*q.shape, dtype=F16), False)


def one_writer(student, reference, draw, q_len, kv_len, heads=1):
    """No address is stored to by two programs, for such lengths."""
    for is_causal in (False, True):
        q, k, v = inputs(draw, q_len, kv_len, heads=heads)
        do, (o, lse) = draw.tensor(*q.shape, dtype=F32), reference.flash_fwd(q, k, v, is_causal)
        seen = student.measure(student.flash_bwd, do, q, k, v, o, lse, is_causal)
        expected = reference.flash_bwd(do, q, k, v, o, lse, is_causal)
        close(three(seen.value), expected, rtol=1e-3, atol=1e-4, what="(dq, dk, dv)")
        counted(seen, shared_stores=0)


@triton_flash_backward
@pytest.mark.weight(2)
def test_backward_addresses(student, reference, draw):
    """Nothing is read or written beside the tensors of the call, and the programs of one block of keys, or of the
    blocks of another head, do not store where others have stored."""
    one_writer(student, reference, draw, 140, 16)  # one block of keys: nobody shares dq
    one_writer(student, reference, draw, 13, 9, heads=3)


@triton_flash_backward
@pytest.mark.weight(2)
@pytest.mark.names("race_on_dq")
def test_no_race(student, reference, draw):
    """No address is stored to by two programs, where there are many blocks of keys and of queries."""
    one_writer(student, reference, draw, 140, 16)
    one_writer(student, reference, draw, 13, 9, heads=3)
    one_writer(student, reference, draw, 16, 150)  # one block of queries: only dq can be shared
    one_writer(student, reference, draw, 140, 150)


@triton_flash_backward
@pytest.mark.weight(4)
def test_backward_work(student, reference, draw):
    """A causal call skips the tiles that causality empties; nothing larger than q, k and v is made."""
    q, k, v = inputs(draw, 512, heads=1)
    do, (o, lse) = draw.tensor(*q.shape, dtype=F32), reference.flash_fwd(q, k, v, True)
    seen = student.measure(student.flash_bwd, do, q, k, v, o, lse, True)
    expected = reference.flash_bwd(do, q, k, v, o, lse, True)
    close(three(seen.value), expected, rtol=1e-3, atol=1e-4, what="(dq, dk, dv)")
    counted(seen, largest_bytes=q.nbytes, dot_flops=0.65 * 7 * 2 * 512 * 512 * 16)


@triton_flash_backward
def test_backward_again(student, reference, draw):
    """The same input gives the same bits, and the arguments are as they were."""
    q, k, v = inputs(draw, 50)
    do, (o, lse) = draw.tensor(*q.shape, dtype=F32), reference.flash_fwd(q, k, v, True)
    called = student.call(student.flash_bwd, do, q, k, v, o, lse, True)
    expected = reference.flash_bwd(do, q, k, v, o, lse, True)
    close(three(called.value), expected, rtol=1e-3, atol=1e-4, what="(dq, dk, dv)")
    close(called.echo, ((do, q, k, v, o, lse, True), {}), tolerance=(0.0, 0.0), what="the caller's arguments")
    again = student.flash_bwd(do, q, k, v, o, lse, True)
    close(again, tuple(called.value), tolerance=(0.0, 0.0), what="the second result")


@triton_flash_backward
@pytest.mark.weight(0)
@pytest.mark.parametrize("card", CARDS)
def test_backward_compiles(student, compiler, card):
    """For information, no points: what the compiler makes of a causal call with bfloat16 heads of width 64."""
    q, lse = blank(1, 16, 8192, 64), blank(1, 16, 8192, dtype=F32)
    compiler(student.flash_bwd, card, q, q, q, q, q, lse, True)


# ---------------------------------------------------------------- triton_decode

triton_decode = pytest.mark.exercise("triton_decode")


def caches(draw, lengths, room, heads, kv_heads, D=16, dtype=F32):
    """q (B, Hq, D), caches (B, Hkv, room, D) with NaN behind each text's end, and the lengths."""
    batch = len(lengths)
    q = draw.tensor(batch, heads, D, dtype=dtype)
    k, v = draw.tensor(batch, kv_heads, room, D, dtype=dtype), draw.tensor(batch, kv_heads, room, D, dtype=dtype)
    for b, length in enumerate(lengths):
        k[b, :, length:] = v[b, :, length:] = math.nan
    return q, k, v, torch.tensor(lengths, dtype=torch.int32)


def decode(student, reference, *args):
    close(student.decode_attention(*args), reference.decode_attention(*args))


@triton_decode
@pytest.mark.gate
@pytest.mark.weight(0)
def test_decoded_by_kernels(student, draw):
    """Kernels read the caches, and store the output."""
    q, k, v, lengths = caches(draw, [64, 64], 64, 2, 2)
    seen = student.measure(student.decode_attention, q, k, v, lengths)
    by_kernels(seen, loaded_bytes=k.nbytes + v.nbytes, stored_bytes=q.nbytes)


@triton_decode
@pytest.mark.weight(3)
def test_full_caches(student, reference, draw):
    """Where every text fills its cache, the output is plain attention of one query per head."""
    for D in (16, 32, 64):
        decode(student, reference, *caches(draw, [64, 64], 64, 3, 3, D))
    decode(student, reference, *caches(draw, [100, 100], 100, 2, 2))
    decode(student, reference, *caches(draw, [40], 40, 1, 1, 128))


@triton_decode
@pytest.mark.weight(5)
def test_ragged_texts(student, reference, draw):
    """Each text is as long as `lengths` says, from 1 to the whole cache; behind that is NaN, and it stays there."""
    decode(student, reference, *caches(draw, [1, 100, 37, 64, 65], 100, 2, 2))
    decode(student, reference, *caches(draw, [200, 16, 199, 128], 200, 3, 3))


@triton_decode
@pytest.mark.weight(2)
def test_no_tokens(student, reference, draw):
    """A text without tokens gives 0, beside texts that have some."""
    decode(student, reference, *caches(draw, [0, 40, 0], 70, 2, 2))
    decode(student, reference, *caches(draw, [0], 5, 1, 1))


@triton_decode
@pytest.mark.weight(4)
def test_groups(student, reference, draw):
    """Query head h uses key-value head h // (Hq / Hkv), for groups of 1, 4, 8 and 20."""
    for heads, kv_heads in ((3, 3), (12, 3), (16, 2), (20, 1)):
        decode(student, reference, *caches(draw, [70, 33], 70, heads, kv_heads))


@triton_decode
@pytest.mark.weight(3)
def test_uneven_pieces(student, reference, draw):
    """Pieces whose scores are far apart are weighted by their sums of exponentials, over a long text."""
    q, k, v, lengths = caches(draw, [700, 513], 700, 2, 1)
    q[..., 0], k[0, :, :, 0] = 8.0, torch.linspace(-12.0, 12.0, 700)
    decode(student, reference, q, k, v, lengths)
    decode(student, reference, q, k.flip(2), v.flip(2), torch.tensor([700, 0], dtype=torch.int32))


@triton_decode
@pytest.mark.weight(2)
def test_views_of_caches(student, reference, draw):
    """The query and the caches may be views with any strides."""
    q = draw.tensor(2, 16, 6, dtype=F32).mT
    k = draw.tensor(2, 50, 3, 16, dtype=F32).transpose(1, 2)
    v = draw.tensor(3, 2, 50, 32, dtype=F32).transpose(0, 1)[..., ::2]
    decode(student, reference, q, k, v, torch.tensor([50, 21], dtype=torch.int32))


@triton_decode
@pytest.mark.weight(2)
def test_float16_decode(student, reference, draw):
    """float16 comes back as float16 with a relative error of at most 0.004, also with scores near 100 or -100."""
    q, k, v, lengths = caches(draw, [150, 77], 150, 4, 2, 32, F16)
    for level in (0.0, 23.5, -23.5):
        if level:
            q[..., 0], k[..., 0] = level, 23.5
        exact = reference.decode_attention(q.double(), k, v, lengths)
        relative(student.decode_attention(q, k, v, lengths), exact, 0.004, "the output")


@triton_decode
@pytest.mark.weight(2)
def test_decode_addresses(student, reference, draw):
    """Nothing is read or written beside the tensors of the call, and no address is stored to by two programs."""
    for heads, kv_heads in ((3, 3), (8, 2), (15, 3)):
        q, k, v, lengths = caches(draw, [200, 0, 37], 230, heads, kv_heads)
        seen = student.measure(student.decode_attention, q, k, v, lengths)
        close(seen.value, reference.decode_attention(q, k, v, lengths))
        counted(seen, shared_stores=0)


def loaded(student, reference, draw, lengths, room, heads, kv_heads):
    """All loads together are at most 1.25 times the used part of both caches."""
    q, k, v, lengths = caches(draw, lengths, room, heads, kv_heads, 32)
    seen = student.measure(student.decode_attention, q, k, v, lengths)
    close(seen.value, reference.decode_attention(q, k, v, lengths))
    counted(seen, loaded_bytes=1.25 * 2 * int(lengths.sum()) * kv_heads * 32 * 4)


@triton_decode
@pytest.mark.weight(1)
def test_loads_of_used_keys(student, reference, draw):
    """Every used key and value is loaded once, and what lies behind a text's end is not loaded."""
    loaded(student, reference, draw, [512, 37, 300], 640, 2, 2)


@triton_decode
@pytest.mark.weight(2)
@pytest.mark.names("loads_per_query_head")
def test_loads(student, reference, draw):
    """Every used key and value is loaded once for all query heads of its group."""
    loaded(student, reference, draw, [512, 37, 300], 640, 2, 2)  # groups of one first: whatever fails is no group's
    loaded(student, reference, draw, [512, 37, 300], 640, 8, 2)


@triton_decode
def test_decode_memory(student, reference, draw):
    """No tensor as large as a quarter of a cache is made."""
    q, k, v, lengths = caches(draw, [512, 37, 300], 640, 8, 2, 32)
    seen = student.measure(student.decode_attention, q, k, v, lengths)
    close(seen.value, reference.decode_attention(q, k, v, lengths))
    counted(seen, largest_bytes=k.nbytes // 4 - 1)


@triton_decode
@pytest.mark.weight(2)
def test_many_programs(student, reference, draw):
    """A single long text with one key-value head is worked on by at least four programs that each load keys."""
    q, k, v, lengths = caches(draw, [1024], 1024, 4, 1)
    seen = student.measure(student.decode_attention, q, k, v, lengths)
    close(seen.value, reference.decode_attention(q, k, v, lengths))
    counted(seen)
    if 0 < seen.measured["readers"] < 4 or seen.measured["programs"] < 4:  # 0: of copies, see test_decode_memory
        raise Disagreement(
            f"{seen.measured['readers']} programs of one launch loaded keys or values of 1024 tokens; split them among "
            "at least 4"
        )


@triton_decode
def test_decode_again(student, reference, draw):
    """The arguments are as they were, and the same input gives the same bits."""
    q, k, v, lengths = caches(draw, [40, 13], 40, 4, 2)
    called = student.call(student.decode_attention, q, k, v, lengths)
    close(called.value, reference.decode_attention(q, k, v, lengths))
    close(called.echo, ((q, k, v, lengths), {}), tolerance=(0.0, 0.0), what="the caller's arguments")
    close(student.decode_attention(q, k, v, lengths), called.value, tolerance=(0.0, 0.0), what="the second result")


@triton_decode
@pytest.mark.weight(0)
@pytest.mark.parametrize("card", CARDS)
def test_decode_compiles(student, compiler, card):
    """For information, no points: what the compiler makes of a call with 32 bfloat16 heads of width 128 over 8."""
    cache, lengths = blank(16, 8, 1024, 128), blank(16, dtype=torch.int32)
    compiler(student.decode_attention, card, blank(16, 32, 128), cache, cache, lengths)


# ---------------------------------------------------------------- on a GPU: 20 % for memory, 20 % for speed

# Pending without a GPU (`gpu` defers). The sizes on the CPU are for a rehearsal of the way there. A kernel is raced
# against the plain formula in the same dtype; the ratios per tier stand in course.toml.


def share(correctness, part):
    """The weight of one of several tests that have a part of the exercise, where correctness weighs so much for 3/5."""
    return pytest.mark.weight(correctness / 0.6 * part)


def heads_of(function, *tensors):
    """`function` on one head after the other: the tables of all of them at once would not fit."""
    B, H = tensors[0].shape[:2]
    rows = [[function(*(t[b, h] for t in tensors)) for h in range(H)] for b in range(B)]
    return [torch.stack([torch.stack([found[i] for found in row]) for row in rows]) for i in range(len(rows[0][0]))]


def scores_of(q, k, is_causal, rows=None):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if is_causal:
        rows = torch.arange(q.shape[-2], device=q.device) if rows is None else rows
        scores = scores.masked_fill(torch.arange(k.shape[-2], device=q.device) > rows[:, None], -math.inf)
    return scores


def one_head(q, k, v, is_causal, rows=None):
    scores = scores_of(q, k, is_causal, rows)
    return torch.softmax(scores, -1) @ v, torch.logsumexp(scores, -1)


def exact_output(q, k, v, is_causal, rows=None):
    """o and lse of these rows in float64."""
    return heads_of(lambda *one: one_head(*(t.double() for t in one), is_causal, rows), q, k, v)


def plain_output(q, k, v, is_causal, rows=None):
    """o of these rows by the plain formula in the dtype of q, each step rounded to it."""
    return heads_of(lambda *one: one_head(*one, is_causal, rows)[:1], q, k, v)[0]


def judge_forward(answer, inputs, rows=None):
    q, k, v, is_causal = inputs
    o, lse = answer
    if rows is not None:
        q, o, lse = q[:, :, rows], o[:, :, rows], lse[:, :, rows]
    exact_o, exact_lse = exact_output(q, k, v, is_causal, rows)
    near_as_plain(o, exact_o, plain_output(q, k, v, is_causal, rows), what="o")
    close(lse, exact_lse.float(), rtol=0.0, atol=1e-3, what="lse")


def eager_forward(q, k, v, is_causal):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], device=q.device).triu(1).bool(), -math.inf)
    return torch.softmax(scores, -1) @ v, scores[..., 0].float()  # the second result costs nothing, and nobody reads it


def forward_results(inputs):
    q = inputs[0]
    return [(q.shape, q.dtype), (q.shape[:-1], F32)]


def read_once(*tensors):
    return sum(t.nbytes for t in tensors)


def products(q, k, count):
    """The operations of so many products of (Nq, Nk) with the width, causal: half of each."""
    return count * 2 * q.numel() * k.shape[-2] / 2


def forward_work(inputs):
    q, k, v, _ = inputs
    return Work(products(q, k, 2), read_once(q, k, v, q))  # o is as large as q


def text(gpu, n, cpu_n, heads=16):
    """q, k, v of one text with n tokens, or with few where the interpreter computes."""
    shape = (1, heads, n, 64) if gpu.is_cuda else (1, 2, cpu_n, 16)
    return [gpu.normal(*shape) for _ in "qkv"]


@triton_flash_forward
@share(40, 0.2)
def test_gpu_memory(student, gpu):
    """On a GPU, 32768 causal tokens of 16 heads while 1 GiB of memory is left; a table of scores would take 32."""
    spare = 4 * 4 * (16 * 32768 * 64 * 2) if gpu.is_cuda else 512 << 20

    def judge(answer, inputs):
        rows = torch.randperm(inputs[0].shape[2], device=inputs[0].device)[:256].sort().values
        judge_forward(answer, inputs, rows)

    gpu.fits(student.flash_fwd, lambda: [*text(gpu, 32768, 128), True], judge, spare, forward_results)


@triton_flash_forward
@share(40, 0.2 / 3)
@pytest.mark.parametrize("tier", TIERS)
def test_gpu_time(student, gpu, tier):
    """On a GPU, 8192 causal tokens in so short a time, compared with the plain formula."""
    chain = Chain(
        lambda *inputs: exact_output(*inputs)[0],
        lambda q, k, v, is_causal: plain_output(q, k, v, is_causal),
    )
    inputs = lambda: [*text(gpu, 8192, 64), True]  # noqa: E731 - as for the others
    result = gpu(
        student.flash_fwd, eager_forward, inputs, judge_forward, results=forward_results, chain=chain, work=forward_work
    )
    result.must_reach(tier)


def one_head_backward(do, q, k, v, o, is_causal):
    weights = torch.softmax(scores_of(q, k, is_causal), -1)
    ds = weights * (do @ v.mT - (do * o).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    return ds @ k, ds.mT @ q, weights.mT @ do


def judge_backward(answer, inputs):
    do, q, k, v, _, _, is_causal = inputs

    def exact(do, q, k, v):
        o, _ = one_head(q.double(), k.double(), v.double(), is_causal)
        return one_head_backward(do.double(), q.double(), k.double(), v.double(), o, is_causal)

    def plain(do, q, k, v):
        return one_head_backward(do, q, k, v, one_head(q, k, v, is_causal)[0], is_causal)

    truths, plains = heads_of(exact, do, q, k, v), heads_of(plain, do, q, k, v)
    for name, found, truth, naive in zip("qkv", answer, truths, plains, strict=True):
        near_as_plain(found, truth, naive, factor=3.0, norm_factor=2.0, what=f"d{name}")


def eager_backward(do, q, k, v, o, lse, is_causal):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], device=q.device).triu(1).bool(), -math.inf)
    weights = torch.softmax(scores, -1)
    ds = weights * (do @ v.mT - (do * o).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    return ds @ k, ds.mT @ q, weights.mT @ do


def backward_inputs(gpu, n, cpu_n, heads=16):
    q, k, v = text(gpu, n, cpu_n, heads)
    o, lse = exact_output(q, k, v, True)
    return [gpu.normal(*q.shape), q, k, v, o.to(q.dtype), lse.float(), True]


def backward_work(inputs):
    do, q, k, v, o, _, _ = inputs
    return Work(products(q, k, 5), read_once(do, q, k, v, o, q, k, v))  # and three gradients


def backward_results(inputs):
    return [(t.shape, t.dtype) for t in inputs[1:4]]


@triton_flash_backward
@share(31, 0.2)
def test_gpu_backward_memory(student, gpu):
    """On a GPU, the gradients of 16384 causal tokens, with four times the memory of q, k, v and o left."""
    spare = 4 * 4 * (4 * 16384 * 64 * 2) if gpu.is_cuda else 512 << 20
    inputs = lambda: backward_inputs(gpu, 16384, 64, heads=4)  # noqa: E731
    gpu.fits(student.flash_bwd, inputs, judge_backward, spare, backward_results)


@triton_flash_backward
@share(31, 0.2 / 3)
@pytest.mark.parametrize("tier", TIERS)
def test_gpu_backward_time(student, gpu, tier):
    """On a GPU, the gradients of 8192 causal tokens in so short a time, compared with the plain formula."""
    inputs = lambda: backward_inputs(gpu, 8192, 48)  # noqa: E731
    result = gpu(
        student.flash_bwd, eager_backward, inputs, judge_backward, results=backward_results, work=backward_work
    )
    result.must_reach(tier)


def decode_inputs(gpu, room, cpu_room):
    """Full caches, and every fourth one used to a third, with numbers behind it that must not count."""
    batch, heads, kv_heads, room, D = (16, 32, 8, room, 128) if gpu.is_cuda else (2, 4, 2, cpu_room, 16)
    q = gpu.normal(batch, heads, D)
    k, v = gpu.normal(batch, kv_heads, room, D), gpu.normal(batch, kv_heads, room, D)
    lengths = torch.full((batch,), room, dtype=torch.int32, device=q.device)
    lengths[1::4] = room // 3
    return [q, k, v, lengths]


def decode_work(inputs):
    """Each key and value that counts is read once; the products are nothing beside that."""
    _, k, v, lengths = inputs
    return Work(0.0, read_once(k, v) * lengths.sum().item() / (k.shape[0] * k.shape[2]))


def judge_decode(answer, inputs):
    q, k, v, lengths = inputs
    truth, naive = torch.empty(q.shape, dtype=torch.float64, device=q.device), torch.empty_like(q)
    group = q.shape[1] // k.shape[1]
    for b, length in enumerate(lengths.tolist()):
        for g in range(k.shape[1]):
            here = slice(g * group, (g + 1) * group)
            one = q[b, here], k[b, g, :length], v[b, g, :length]
            truth[b, here] = one_head(*(t.double() for t in one), False)[0]
            naive[b, here] = one_head(*one, False)[0]
    near_as_plain(answer, truth, naive)


def eager_decode(q, k, v, lengths):
    group = q.shape[1] // k.shape[1]
    keys, values = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = q[:, :, None] @ keys.mT / math.sqrt(q.shape[-1])
    unseen = torch.arange(k.shape[2], device=q.device) >= lengths[:, None]
    return (torch.softmax(scores.masked_fill(unseen[:, None, None], -math.inf), -1) @ values)[:, :, 0]


@triton_decode
@share(30, 0.2)
def test_gpu_decode_memory(student, gpu):
    """On a GPU, one step over a cache of a gigabyte, with an eighth of that left."""
    spare = 128 << 20 if gpu.is_cuda else 512 << 20
    gpu.fits(student.decode_attention, lambda: decode_inputs(gpu, 16384, 96), judge_decode, spare)


@triton_decode
@share(30, 0.2 / 3)
@pytest.mark.parametrize("tier", TIERS)
def test_gpu_decode_time(student, gpu, tier):
    """On a GPU, one step over 16384 tokens of 16 texts in so short a time, compared with the plain formula."""
    inputs = lambda: decode_inputs(gpu, 16384, 96)  # noqa: E731
    gpu(student.decode_attention, eager_decode, inputs, judge_decode, work=decode_work).must_reach(tier)
