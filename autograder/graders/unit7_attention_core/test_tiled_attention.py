"""Hidden grader of the page `tiled_attention`."""

import math

import pytest
import torch

from autograder.grading import agree, agree_gradients, close
from autograder.grading.compare import Disagreement
from autograder.grading.racing import TIERS

# ---------------------------------------------------------------- tiled_attention

tiled_attention = pytest.mark.exercise("tiled_attention")


def inputs(draw, q_len=11, kv_len=13, batch=2, heads=3, d_k=5, d_v=7, dtype=torch.float64):
    """q (B, H, q_len, d_k), k (B, H, kv_len, d_k), v (B, H, kv_len, d_v)."""
    q, k, v, _ = draw.attention(batch, heads, q_len, kv_len, d_k, d_v, dtype=dtype)
    return q, k, v


def same(student, reference, *args, **kwargs):
    """Output and lse are the reference's; arguments are looked at in a test of their own."""
    found = student.tiled_attention(*args, **kwargs)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Disagreement("two values are asked for, out and lse")
    out, lse = reference.tiled_attention(*args, **kwargs)
    close(found[0], out, what="out")
    close(found[1], lse, what="lse")
    return found


def finite(found, like, what):
    """Shape and dtype are those of `like`, and each number is one."""
    close(torch.zeros_like(found) if isinstance(found, torch.Tensor) else found, torch.zeros_like(like), what=what)
    broken = int((~torch.isfinite(found)).sum())
    if broken:
        raise Disagreement(f"{what} is NaN or infinite at {broken} of {found.numel()} places")


@tiled_attention
@pytest.mark.weight(3)
def test_one_tile(student, reference, draw):
    """Where one tile covers everything, the output is plain attention and lse the logsumexp of the scaled scores."""
    q, k, v = inputs(draw)
    same(student, reference, q, k, v)
    same(student, reference, q[:1, :1], k[:1, :1], v[:1, :1], 11, 13)
    same(student, reference, q[:, :, :1], k, v)


@tiled_attention
@pytest.mark.weight(3)
def test_tiles_that_divide(student, reference, draw):
    """Cut into tiles that divide the lengths, the result is the same."""
    q, k, v = inputs(draw, q_len=12, kv_len=20)
    same(student, reference, q, k, v, 4, 5)
    same(student, reference, q, k, v, 12, 4)
    same(student, reference, q, k, v, 3, 20)


@tiled_attention
@pytest.mark.weight(3)
def test_tiles_that_do_not_divide(student, reference, draw):
    """The last block of queries, and that of keys, may be shorter than the others; nothing of it is lost."""
    q, k, v = inputs(draw, q_len=11, kv_len=17)
    for blocks in ((4, 5), (7, 3), (3, 16), (10, 2), (1, 1), (64, 7), (7, 64)):
        same(student, reference, q, k, v, *blocks)


@tiled_attention
@pytest.mark.weight(2)
def test_growing_scores(student, reference, draw):
    """When a later block brings larger scores, sum and mixture are rescaled; when a smaller, they stay."""
    q, k, v = inputs(draw, kv_len=17)
    q[..., 0] = 2.0
    k[..., 0] = torch.linspace(-3.0, 6.0, 17)
    same(student, reference, q, k, v, 4, 3)
    same(student, reference, q, k.flip(2), v, 4, 3)


@tiled_attention
@pytest.mark.weight(2)
def test_large_scores(student, reference, draw):
    """Scores of some hundreds, and some thousands below zero, neither overflow nor vanish."""
    q, k, v = inputs(draw, kv_len=17)
    same(student, reference, 50 * q, 20 * k, v, 4, 5)
    k[..., 0], q[..., 0] = -3000.0, 1.0
    same(student, reference, q, k, v, 4, 5)
    q, k, v = inputs(draw, kv_len=17, dtype=torch.float32)
    found = student.tiled_attention(10 * q, 10 * k, v, 4, 5)  # exp of such a score does not fit into float32
    exact = reference.tiled_attention(10 * q.double(), 10 * k.double(), v.double())
    close(found, tuple(x.float() for x in exact), rtol=1e-4, atol=5e-4, what="(out, lse)")


@tiled_attention
@pytest.mark.weight(3)
def test_causal(student, reference, draw):
    """With is_causal query i sees keys 0..i (top-left), whatever the tiles, for fewer, as many or more keys."""
    for q_len, kv_len in ((13, 13), (7, 19), (19, 7)):
        q, k, v = inputs(draw, q_len=q_len, kv_len=kv_len)
        for blocks in ((64, 64), (4, 4), (2, 3), (3, 2), (5, 4), (4, 7), (1, 6), (6, 1)):
            same(student, reference, q, k, v, *blocks, is_causal=True)


@tiled_attention
def test_no_keys(student, reference, draw):
    """Without keys the output is 0 and lse -inf; without queries both are empty."""
    for q_len, kv_len in ((5, 0), (0, 7)):
        q, k, v = inputs(draw, q_len=q_len, kv_len=kv_len)
        for is_causal in (False, True):
            same(student, reference, q, k, v, 3, 2, is_causal=is_causal)


@tiled_attention
def test_float32(student, reference, draw):
    """float32 inputs give float32 results."""
    same(student, reference, *inputs(draw, dtype=torch.float32), 4, 5)


@tiled_attention
@pytest.mark.weight(2)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision(student, reference, draw, dtype):
    """Half precision comes back as it went in, with lse in float32, and is no less exact than the naive formula."""
    q, k, v = inputs(draw, q_len=37, kv_len=61, d_k=17, dtype=dtype)
    exact, exact_lse = reference.tiled_attention(q.double(), k.double(), v.double())
    naive = torch.softmax(q @ k.mT * 17**-0.5, dim=-1) @ v
    out, lse = student.tiled_attention(q, k, v, 16, 16)
    finite(out, naive, "out")
    bound = 3 * (naive.double() - exact).abs().max().item() + 1e-5
    close(out.double(), exact, rtol=0.0, atol=bound, what="out")
    close(lse, exact_lse.float(), rtol=0.0, atol=1e-4, what="lse")


@tiled_attention
def test_views(student, reference, draw):
    """q, k and v may be views that are not contiguous in memory."""
    q = draw.tensor(2, 11, 3, 5).transpose(1, 2)
    k = draw.tensor(2, 3, 5, 13).mT
    v = draw.tensor(2, 3, 13, 14)[..., ::2]
    same(student, reference, q, k, v, 4, 5)
    same(student, reference, q, k, v, 4, 5, is_causal=True)


@tiled_attention
def test_arguments_are_left_alone(student, reference, draw):
    """q, k and v are as they were after the call."""
    agree(student.tiled_attention, reference.tiled_attention, *inputs(draw), 4, 5, is_causal=True)


@tiled_attention
@pytest.mark.weight(3)
@pytest.mark.names("causal_tiles_not_skipped")
def test_tiles_above_the_diagonal(student, reference, draw):
    """With is_causal a tile that lies wholly above the diagonal is not computed: about half of the products remain."""
    for q_len, kv_len in ((512, 512), (512, 1024), (1024, 512)):
        q, k, v = inputs(draw, q_len, kv_len, batch=1, heads=1, d_k=4, d_v=3, dtype=torch.float32)
        seen = student.measure(student.tiled_attention, q, k, v, 32, 32, is_causal=True)
        close(seen.value, reference.tiled_attention(q, k, v, is_causal=True), what="(out, lse)", rtol=1e-3, atol=1e-4)
        needed = sum(min(kv_len, end) for end in range(32, q_len + 1, 32)) * 32 * 2 * (4 + 3)
        if seen.measured["product_flops"] > 1.1 * needed:
            share = seen.measured["product_flops"] / needed
            raise Disagreement(f"{share:.2f} times as many products were computed as the tiles that are seen need")


@tiled_attention
@pytest.mark.weight(3)
def test_one_tile_at_a_time(student, reference, draw):
    """No tensor made along the way, masks included, is larger than a tile of scores, or than q, k, v or out."""
    q, k, v = inputs(draw, q_len=509, kv_len=521, batch=1, heads=2)
    for is_causal in (False, True):
        seen = student.measure(student.tiled_attention, q, k, v, 32, 64, is_causal=is_causal)
        out, lse = reference.tiled_attention(q, k, v, is_causal=is_causal)
        close(seen.value, (out, lse), what="(out, lse)")
        tile, largest = 8 * 2 * 32 * 64, seen.measured["largest_bytes"]
        if largest > 2 * max(tile, q.nbytes, k.nbytes, v.nbytes):
            raise Disagreement(
                f"a tensor of {largest} bytes was made; a tile of scores has {tile} in float64, k {k.nbytes}, all "
                f"scores {8 * 2 * 509 * 521}, and a boolean mask of that shape {2 * 509 * 521}"
            )


@tiled_attention
@pytest.mark.weight(2)
@pytest.mark.parametrize(
    ("q_len", "kv_len"), [(6007, 6007), (1103, 35_000), (35_000, 1103)], ids=["long", "keys", "queries"]
)
def test_longer_than_memory(student, draw, q_len, kv_len):
    """Lengths whose scores, or one strip of them, do not fit into memory (128 MB) are no trouble; tiles do fit."""
    q, k, v = draw.tensor(1, 1, q_len, 3, dtype=torch.float32), *(draw.tensor(2, 1, 1, kv_len, 3, dtype=torch.float32))
    out, lse = student.tiled_attention(q, k, v, 1100, 1000)
    rows = torch.cat([draw.integers(0, q_len, 23), torch.tensor([0, q_len - 1])])
    scores = q[0, 0, rows].double() @ k[0, 0].double().mT / math.sqrt(3)
    finite(out, q, "out")
    close(out[0, 0, rows].double(), torch.softmax(scores, -1) @ v[0, 0].double(), rtol=1e-3, atol=1e-4, what="out")
    close(lse[0, 0, rows].double(), torch.logsumexp(scores, -1), rtol=1e-4, atol=1e-4, what="lse")


def naive(q, k, v, block_q, block_k, is_causal):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return torch.softmax(scores.masked_fill(later, float("-inf")), -1) @ v


@tiled_attention
@pytest.mark.weight(3)
@pytest.mark.parametrize("tier", TIERS)
def test_time(student, reference, draw, race, tier):
    """A causal text of 1024 tokens, in tiles of 128, takes less time than with the naive formula and all its scores."""

    def inputs():
        return (*(draw.tensor(1, 1, 1024, 32, dtype=torch.float32) for _ in range(3)), 128, 128, True)

    def judge(answer, asked):
        close(tuple(answer), reference.tiled_attention(*asked), what="(out, lse)", rtol=1e-3, atol=1e-4)

    race(student.tiled_attention, naive, inputs, judge).must_reach(tier)


# ---------------------------------------------------------------- flash_backward_tiled

flash_backward_tiled = pytest.mark.exercise("flash_backward_tiled")


def gradients(student, reference, *args):
    try:
        agree_gradients(student.FlashAttention.apply, reference.FlashAttention.apply, *args)
    except Disagreement as wrong:
        text = str(wrong)
        for number, name in enumerate("qkv", start=1):
            text = text.replace(f"the gradient of input {number}", f"the gradient of {name}")
        raise Disagreement(text) from None


@flash_backward_tiled
@pytest.mark.weight(2)
def test_forward(student, reference, draw):
    """The output is that of plain attention, causal or not."""
    for q_len, kv_len in ((11, 13), (150, 137), (3, 131)):
        q, k, v = inputs(draw, q_len, kv_len)
        for is_causal in (False, True):
            answer = student.FlashAttention.apply(q, k, v, is_causal)
            close(answer, reference.FlashAttention.apply(q, k, v, is_causal))


@flash_backward_tiled
@pytest.mark.weight(3)
def test_gradients_of_a_short_text(student, reference, draw):
    """The gradients of q, k and v are those of plain attention, where everything fits into one tile."""
    gradients(student, reference, *inputs(draw), False)
    gradients(student, reference, *inputs(draw, 1, 1), False)


@flash_backward_tiled
@pytest.mark.weight(4)
def test_gradients_of_many_tiles(student, reference, draw):
    """The gradients are sums over tiles, with lengths that no block divides, and Tq and Tk apart."""
    for q_len, kv_len in ((307, 307), (149, 311), (331, 139)):
        gradients(student, reference, *inputs(draw, q_len, kv_len, batch=1, heads=2), False)


@flash_backward_tiled
@pytest.mark.weight(3)
@pytest.mark.names("causal_ignored_in_bwd")
def test_causal_gradients(student, reference, draw):
    """With is_causal no gradient flows between a query and a later key, in small and in large."""
    for q_len, kv_len in ((11, 11), (7, 13), (13, 7), (293, 293), (149, 311), (311, 149)):
        gradients(student, reference, *inputs(draw, q_len, kv_len, batch=1, heads=2), True)


@flash_backward_tiled
def test_large_scores_backwards(student, reference, draw):
    """Scores of some hundreds leave gradients finite and right: the weights are made from the logsumexp."""
    q, k, v = inputs(draw, 139, 149, batch=1)
    gradients(student, reference, 30 * q, 10 * k, v, False)
    gradients(student, reference, 30 * q, 10 * k, v, True)


@flash_backward_tiled
@pytest.mark.weight(2)
def test_some_gradients_only(student, reference, draw):
    """Where only some of q, k and v require a gradient, those get it, and the others cost no error."""
    q, k, v = inputs(draw, 139, 11)
    cotangent = draw.tensor(2, 3, 139, 7)
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    expected = torch.autograd.grad(reference.FlashAttention.apply(*leaves, True), leaves, cotangent)
    for wanted in ([0], [1], [2], [0, 2], [1, 2]):
        seen = student.vjp(student.FlashAttention.apply, q, k, v, True, cotangent=cotangent, wanted=wanted)
        if not isinstance(seen.grads, list | tuple) or len(seen.grads) != len(wanted):
            raise Disagreement("no gradients came back")
        for i, found in zip(wanted, seen.grads, strict=True):
            close(found, expected[i], rtol=1e-7, atol=1e-9, what=f"the gradient of {'qkv'[i]}")


@flash_backward_tiled
def test_calls_are_independent(student, reference, draw):
    """A call with other lengths in between changes nothing: what backward needs is kept per call."""
    first, second = inputs(draw, 11, 13), inputs(draw, 5, 7)
    gradients(student, reference, *first, False)
    gradients(student, reference, *second, True)
    gradients(student, reference, *first, False)


@flash_backward_tiled
def test_float32_gradients(student, reference, draw):
    """float32 inputs have float32 outputs and gradients; the inputs may be views."""
    q, k, v = inputs(draw, 139, 131, dtype=torch.float32)
    gradients(student, reference, q, k, v, True)
    q, k = draw.tensor(2, 11, 3, 5).transpose(1, 2), draw.tensor(2, 3, 5, 13).mT
    gradients(student, reference, q, k, inputs(draw)[2], False)


@flash_backward_tiled
def test_inputs_are_left_alone(student, reference, draw):
    """q, k and v are as they were after the call."""
    agree(student.FlashAttention.apply, reference.FlashAttention.apply, *inputs(draw), True)


@flash_backward_tiled
@pytest.mark.names("saves_P")
def test_nothing_square_is_kept(student, draw):
    """Between forward and backward lie q, k, v, o and the logsumexp, and nothing that grows with T²."""
    q, k, v = inputs(draw, 401, 409, batch=1, heads=1)
    cotangent = draw.tensor(1, 1, 401, 7)
    for is_causal in (False, True):
        seen = student.measure(student.FlashAttention.apply, q, k, v, is_causal, cotangent=cotangent)
        kept = seen.measured["kept_bytes"]
        if kept > 2 * (q.nbytes + k.nbytes + v.nbytes + 2 * cotangent.nbytes):
            given = q.nbytes + k.nbytes + v.nbytes
            raise Disagreement(f"{kept} bytes stay alive between forward and backward; q, k and v have {given}")


@flash_backward_tiled
@pytest.mark.weight(2)
@pytest.mark.names("one_tile_in_bwd")
def test_nothing_square(student, reference, draw):
    """At lengths above 1000 neither pass makes a tensor of a quarter of all scores."""
    q, k, v = inputs(draw, 1013, 1021, batch=1, heads=1)
    cotangent = draw.tensor(1, 1, 1013, 7)
    for is_causal in (False, True):
        seen = student.measure(student.FlashAttention.apply, q, k, v, is_causal, cotangent=cotangent)
        close(seen.value, reference.FlashAttention.apply(q, k, v, is_causal))
        leaves = [t.clone().requires_grad_() for t in (q, k, v)]
        expected = torch.autograd.grad(reference.FlashAttention.apply(*leaves, is_causal), leaves, cotangent)
        close(seen.grads, list(expected), rtol=1e-7, atol=1e-9, what="(dq, dk, dv)")
        largest = seen.measured["largest_bytes"]
        if 4 * largest > 8 * 1013 * 1021:
            raise Disagreement(f"a tensor of {largest} bytes was made; all scores have {8 * 1013 * 1021} in float64")


@flash_backward_tiled
@pytest.mark.weight(2)
def test_training_longer_than_memory(student, draw):
    """Forward and backward at length 6007, whose scores alone have 144 MB, run within 128 MB.

    Not causal: strips that grow from row to row leave holes that the allocator cannot fill, which is nobody's mistake.
    """
    q, k, v = draw.tensor(3, 1, 1, 6007, 3, dtype=torch.float32)
    cotangent = torch.ones(1, 1, 6007, 3)
    seen = student.vjp(student.FlashAttention.apply, q, k, v, False, cotangent=cotangent)
    if not isinstance(seen.grads, list | tuple) or len(seen.grads) != 3:
        raise Disagreement("no gradients came back")
    for name, found in zip("qkv", seen.grads, strict=True):
        finite(found, q, f"the gradient of {name}")
    # with a gradient of ones each row's dP is the sum of a value's entries, so dV of a key is the weight it receives
    received = sum(torch.softmax(rows @ k[0, 0].mT / math.sqrt(3), -1).double().sum(0) for rows in q[0, 0].split(600))
    close(seen.grads[2][0, 0].double(), received[:, None].expand(6007, 3), rtol=1e-3, atol=1e-6, what="dV")
    gained = v[0, 0].double().sum(-1)
    for number in (0, 3005, *draw.integers(1, 6007, 5).tolist()):  # some rows of dQ, and what they give to their keys
        weights = torch.softmax(q[0, 0, number].double() @ k[0, 0].double().mT / math.sqrt(3), -1)
        row = weights * (gained - weights @ gained) / math.sqrt(3) @ k[0, 0].double()
        close(seen.grads[0][0, 0, number].double(), row, rtol=1e-3, atol=1e-5, what=f"row {number} of dQ")


# ---------------------------------------------------------------- attention_roofline

attention_roofline = pytest.mark.exercise("attention_roofline")
SIZES = [(2, 3, 17, 5, torch.float32), (1, 7, 128, 64, torch.bfloat16), (3, 1, 5, 11, torch.float64)]


def costs(student, reference, key, **options):
    """One entry of the cost at several sizes."""
    for size in SIZES:
        found, expected = student.attention_cost(*size, **options), reference.attention_cost(*size, **options)
        if not isinstance(found, dict) or not set(expected) <= set(found):
            raise Disagreement(f"a dict with the keys {', '.join(expected)} is asked for")
        close(found[key], float(expected[key]), rtol=1e-12, atol=0.0, what=f"{key} for {size[:4]}")


@attention_roofline
@pytest.mark.weight(2)
def test_forward_flops(student, reference):
    """Forward, two products of 2 T² D FLOPs per head; a causal mask halves them."""
    for flash in (False, True):
        costs(student, reference, "flops", causal=False, flash=flash)
        costs(student, reference, "flops", causal=True, flash=flash)


@attention_roofline
@pytest.mark.weight(2)
def test_backward_flops(student, reference):
    """Backward, four products, and five where the scores are made again; a causal mask halves them."""
    for flash in (False, True):
        costs(student, reference, "flops", causal=False, flash=flash, backward=True)
        costs(student, reference, "flops", causal=True, flash=flash, backward=True)


@attention_roofline
@pytest.mark.weight(2)
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_bytes(student, reference, backward):
    """The traffic of both models is what the table says, with float32 for logsumexps and row sums; causal or not."""
    for flash in (False, True):
        for causal in (False, True):
            costs(student, reference, "hbm_bytes", causal=causal, flash=flash, backward=backward)


@attention_roofline
def test_peak(student, reference):
    """Beside inputs, outputs and gradients: two or three tables in the naive model, one or two rows in the other."""
    for flash in (False, True):
        for backward in (False, True):
            costs(student, reference, "peak_temp_bytes", causal=True, flash=flash, backward=backward)


@attention_roofline
def test_intensity(student, reference):
    """The intensity is FLOPs per byte moved."""
    for flash in (False, True):
        for backward in (False, True):
            costs(student, reference, "intensity", causal=True, flash=flash, backward=backward)


class Device:
    """A device with a clock of its own: asking takes `launch_s`, the work begins after what was asked before."""

    def __init__(self, works_s, launch_s=0.25):
        self.now, self.busy_until, self.calls = 100.0, 100.0, 0
        self._works_s, self._launch_s = list(works_s), launch_s

    def launch(self):
        self.now += self._launch_s
        self.busy_until = max(self.now, self.busy_until) + self._works_s[self.calls]
        self.calls += 1

    def wait(self):
        self.now = max(self.now, self.busy_until)

    def clock(self):
        return self.now


def timed(student, works_s, warmup, repeats, flops=3e12, left_s=0.0):
    """The student's benchmark of a device whose calls take these times; it must call exactly as often as said.

    For the first left_s seconds the device still does what it was asked for before.
    """
    device = Device([*works_s, *[1e6] * 20])
    device.busy_until += left_s
    found = student.benchmark(
        device.launch, flops, warmup=warmup, repeats=repeats, synchronize=device.wait, clock=device.clock
    )
    if not isinstance(found, dict) or not {"median_ms", "tflops"} <= set(found):
        raise Disagreement("a dict with the keys median_ms and tflops is asked for")
    middle = sorted(works_s[warmup : warmup + repeats])
    expected = (middle[(repeats - 1) // 2] + middle[repeats // 2]) / 2 + 0.25
    close(found["median_ms"], 1000 * expected, rtol=1e-9, atol=0.0, what="median_ms")
    close(found["tflops"], flops / expected / 1e12, rtol=1e-9, atol=0.0, what="tflops")
    if device.calls != warmup + repeats:
        raise Disagreement(f"fn was called {device.calls} times, expected {warmup} + {repeats}")


@attention_roofline
@pytest.mark.weight(2)
def test_benchmark_waits(student):
    """Each measured call is timed from an idle device to the end of its own work."""
    timed(student, [2.0] * 5, warmup=0, repeats=5)
    timed(student, [3.0] * 7, warmup=2, repeats=5)
    timed(student, [2.0], warmup=0, repeats=1, left_s=9.0)


@attention_roofline
@pytest.mark.weight(2)
def test_benchmark_takes_the_median(student, draw):
    """The calls after the warm-up give the median: an odd and an even number of them, with an outlier."""
    works = [2.0, 2.5, 3.0, 4.0, 97.0]
    timed(student, [works[i] for i in draw.permutation(5).tolist()], warmup=0, repeats=5)
    timed(student, [works[i] for i in draw.permutation(5).tolist()][:4], warmup=0, repeats=4)


@attention_roofline
@pytest.mark.weight(2)
def test_benchmark_warms_up(student):
    """The first calls, slow as they are, do not count; with a warm-up of 0 every call does."""
    timed(student, [50.0, 40.0, 30.0, 2.0, 3.0, 4.0], warmup=3, repeats=3)
    timed(student, [50.0, 2.0], warmup=1, repeats=1)
    timed(student, [50.0, 2.0, 3.0], warmup=0, repeats=3)
    timed(student, [*[70.0] * 3, *(float(x) for x in range(1, 11))], warmup=3, repeats=10)


@attention_roofline
def test_benchmark_defaults(student):
    """Without options three calls warm up and ten are measured, with the computer's own clock."""
    calls = []
    found = student.benchmark(lambda: calls.append(1), 1e3)
    if len(calls) != 13:
        raise Disagreement(f"fn was called {len(calls)} times, expected 3 + 10")
    if not 0 < found["median_ms"] < 1e4:
        raise Disagreement("the median is not the time of a call in milliseconds")
    close(found["tflops"], 1e-6 / found["median_ms"], rtol=1e-6, atol=0.0, what="tflops")
