"""Known wrong answers to the page `tiled_attention`."""

import math
import statistics
import time

import torch

from autograder.grading.misconceptions import correct, misconception


def is_later(columns, rows):
    """Which keys of a tile lie behind the query, (rows, columns)."""
    return columns > rows[:, None]


def tiles(
    q, k, v, block_q, block_k, is_causal, *, running_max=True, rescale=True, sum_rescaled=True, ends=None,
    width=None, hides=is_later,
):  # fmt: skip
    """The loops of tiled attention with one thing changed."""
    work = torch.promote_types(q.dtype, torch.float32)
    Tq, Tk = q.shape[2], k.shape[2]
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype)
    lse = torch.full(q.shape[:3], -math.inf, dtype=work)
    for i in range(0, Tq, block_q):
        rows = q[:, :, i : i + block_q].to(work) / math.sqrt(width or q.shape[-1])
        top = torch.full(rows.shape[:-1], -math.inf if running_max else 0.0, dtype=work)
        total, mixed = torch.zeros_like(top), torch.zeros(*top.shape, v.shape[-1], dtype=work)
        end = min(Tk, ends(i, i + rows.shape[2] - 1)) if is_causal and ends else Tk
        for j in range(0, end, block_k):
            scores = rows @ k[:, :, j : j + block_k].to(work).mT
            if is_causal:
                columns, numbers = torch.arange(j, j + scores.shape[-1]), torch.arange(i, i + rows.shape[2])
                scores = scores.masked_fill(hides(columns, numbers), -math.inf)
            higher = torch.maximum(top, scores.amax(dim=-1)) if running_max else top
            weights, shrink = torch.exp(scores - higher[..., None]), torch.exp(top - higher)
            total = total * (shrink if sum_rescaled else 1.0) + weights.sum(dim=-1)
            mixed = mixed * (shrink[..., None] if rescale else 1.0) + weights @ v[:, :, j : j + block_k].to(work)
            top = higher
        out[:, :, i : i + block_q] = (mixed / total.clamp(min=1e-30)[..., None]).to(q.dtype)
        lse[:, :, i : i + block_q] = top + torch.log(total)
    return out, lse


@misconception("tiled_attention", symbol="tiled_attention")
def last_partial_block_dropped(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The last block of keys is lost when it is shorter than the others.

    Probably the number of blocks is computed as Tk // block_k, which rounds down. With lengths that the block divides
    nobody notices. Slices that end beyond the tensor are no error in Python; they are simply shorter.
    """
    whole = k.shape[2] // block_k * block_k if k.shape[2] > block_k else k.shape[2]
    return tiles(q, k[:, :, :whole], v[:, :, :whole], block_q, block_k, is_causal)


@misconception("tiled_attention", symbol="tiled_attention")
def no_running_max(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The exponentials are taken of the scores as they are: nothing is subtracted, and large scores overflow.

    exp(89) does not fit into float32, and exp(710) not into float64; far below zero everything becomes 0, and 0/0. The
    maximum of the row is known only at the end, but the maximum so far will do, if sum and mixture follow it.
    """
    return tiles(q, k, v, block_q, block_k, is_causal, running_max=False)


@misconception("tiled_attention", symbol="tiled_attention")
def no_accumulator_rescale(q, k, v, block_q=64, block_k=64, is_causal=False):
    """When the maximum grows, the sum is rescaled and the mixture of the values is not.

    Both are sums of exp(score - m), the second with a value attached to each term. In the example of the page, in the
    other order, what should become of A = (0, 8)?
    """
    return tiles(q, k, v, block_q, block_k, is_causal, rescale=False)


@misconception("tiled_attention", symbol="tiled_attention")
def no_sum_rescale(q, k, v, block_q=64, block_k=64, is_causal=False):
    """When the maximum grows, the mixture of the values is rescaled and the sum is not.

    Both are sums of exp(score - m): both have to follow the new maximum.
    """
    return tiles(q, k, v, block_q, block_k, is_causal, sum_rescaled=False, ends=lambda first, last: last + 1)


@misconception("tiled_attention", symbol="tiled_attention")
def scale_missing(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The scores were not divided by √D."""
    return tiles(q, k, v, block_q, block_k, is_causal, width=1, ends=lambda first, last: last + 1)


@misconception("tiled_attention", symbol="tiled_attention")
def scaled_by_the_values(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The scores were divided by √Dv, the width of the values. D is the width of queries and keys."""
    return tiles(q, k, v, block_q, block_k, is_causal, width=v.shape[-1], ends=lambda first, last: last + 1)


@misconception("tiled_attention", symbol="tiled_attention")
def flag_ignored(q, k, v, block_q=64, block_k=64, is_causal=False):
    """is_causal has no effect: every query sees all keys."""
    return correct.tiled_attention(q, k, v, block_q, block_k)


@misconception("tiled_attention", symbol="tiled_attention")
def diagonal_masked(q, k, v, block_q=64, block_k=64, is_causal=False):
    """With is_causal a query does not see the key of its own number. It sees the keys 0..i, i included."""
    return tiles(
        q, k, v, block_q, block_k, is_causal,
        hides=lambda columns, rows: columns >= rows[:, None], ends=lambda first, last: last + 1,
    )  # fmt: skip


@misconception("tiled_attention", symbol="tiled_attention")
def mask_inside_tiles_missing(q, k, v, block_q=64, block_k=64, is_causal=False):
    """With is_causal whole tiles are skipped, but no mask is laid over those that the diagonal crosses.

    So a query sees later keys of its own block.
    """
    return tiles(
        q, k, v, block_q, block_k, is_causal,
        hides=lambda columns, rows: (columns > rows[:, None]) & False, ends=lambda first, last: last + 1,
    )  # fmt: skip


@misconception("tiled_attention", symbol="tiled_attention")
def numbers_within_the_tile(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The causal mask compares places within the tile, as if each tile began at query 0 and key 0.

    Query and key of a tile have the numbers i + row and j + column: add where the tile begins.
    """
    return tiles(
        q, k, v, block_q, block_k, is_causal,
        hides=lambda columns, rows: (columns - columns[0] > (rows - rows[0])[:, None]) & (columns[-1] >= rows[0]),
        ends=lambda first, last: last + 1,
    )  # fmt: skip


@misconception("tiled_attention", symbol="tiled_attention")
def not_divided_by_the_sum(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The mixture of the values was returned as it is; at the end it has to be divided by the running sum."""
    out, lse = correct.tiled_attention(q, k, v, block_q, block_k, is_causal)
    scores = q.to(lse.dtype) @ k.to(lse.dtype).mT / math.sqrt(q.shape[-1])
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    total = torch.exp(lse - scores.amax(dim=-1)) if k.shape[2] else torch.ones_like(lse)
    return (out.to(lse.dtype) * total[..., None]).to(out.dtype), lse


@misconception("tiled_attention", symbol="tiled_attention")
def last_queries_dropped(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The last block of queries was left out where it is shorter than the others: its rows were never computed.

    Probably the number of blocks is computed as Tq // block_q, which rounds down.
    """
    out, lse = correct.tiled_attention(q, k, v, block_q, block_k, is_causal)
    whole = q.shape[2] // block_q * block_q if q.shape[2] > block_q else q.shape[2]
    out[:, :, whole:], lse[:, :, whole:] = 0.0, 0.0
    return out, lse


@misconception("tiled_attention", symbol="tiled_attention")
def nan_without_keys(q, k, v, block_q=64, block_k=64, is_causal=False):
    """Without keys the output is NaN: nothing was divided by a sum of nothing, 0/0. It is to be 0, and lse −inf."""
    out, lse = correct.tiled_attention(q, k, v, block_q, block_k, is_causal)
    return (out if k.shape[2] else out * math.nan), lse


@misconception("tiled_attention", symbol="tiled_attention")
def lse_base2(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The logsumexp is a logarithm to the base 2; asked for is the natural one.

    Inside, base 2 is a good idea (GPUs have an instruction for it). What leaves the function should be divided by
    log2(e), that is multiplied by ln 2.
    """
    out, lse = correct.tiled_attention(q, k, v, block_q, block_k, is_causal)
    return out, lse / math.log(2)


@misconception("tiled_attention", symbol="tiled_attention", id="lse_without_max")
def lse_without_max(q, k, v, block_q=64, block_k=64, is_causal=False):
    """Returned as lse is the logarithm of the running sum alone; the maximum that was subtracted is missing.

    The sum holds exp(score - m). What has to be added to its logarithm to get the logarithm of the sum of exp(score)?
    """
    out, lse = correct.tiled_attention(q, k, v, block_q, block_k, is_causal)
    scores = correct.torch.matmul(q, k.mT).to(lse.dtype) / math.sqrt(q.shape[-1])
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    return out, lse - (scores.amax(dim=-1) if k.shape[2] else 0.0)


def _softmax(scores):
    """Weights and logsumexp, 0 and -inf for a row without keys; torch's own are forbidden on this page."""
    top = scores.amax(dim=-1, keepdim=True).clamp(min=-1e300 if scores.dtype == torch.float64 else -1e38)
    weights = torch.exp(scores - top)
    total = weights.sum(dim=-1, keepdim=True)
    return (weights / total).nan_to_num(0.0), (top + total.log()).squeeze(-1)


@misconception("tiled_attention", symbol="tiled_attention")
def causal_tiles_not_skipped(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The numbers are right, but with is_causal every tile is computed, also those that lie wholly above the diagonal.

    All scores of such a tile become -inf, and its weights 0: nearly half of the work of a long text is for nothing. The
    loop over the keys can end with the tile in which the last query of the block stands.
    """
    return tiles(q, k, v, block_q, block_k, is_causal)


@misconception("tiled_attention", symbol="tiled_attention")
def full_matrix(q, k, v, block_q=64, block_k=64, is_causal=False):
    """The numbers are right, but all scores exist at once: a tensor with Tq · Tk entries per head was made.

    That is the memory that tiles are there to save. Only the block of scores at hand may exist, block_q by block_k;
    also a mask of all pairs is such a tensor.
    """
    work = torch.promote_types(q.dtype, torch.float32)
    scores = q.to(work) @ k.to(work).mT / math.sqrt(q.shape[-1])
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    weights, lse = _softmax(scores)
    return (weights @ v.to(work)).to(q.dtype), lse


@misconception("tiled_attention", symbol="tiled_attention")
def causal_block_skip_off_by_one(q, k, v, block_q=64, block_k=64, is_causal=False):
    """Under the causal mask a tile is skipped that still holds allowed pairs.

    For a block of queries i .. i + n - 1 the *last* query decides: it sees keys up to i + n - 1. A tile may be skipped
    only if its *first* key is later than that. Look at the drawing of the page, with blocks of 2 queries and 3 keys.
    """
    return tiles(q, k, v, block_q, block_k, is_causal, ends=lambda first, last: max(last, 1))


@misconception("tiled_attention", symbol="tiled_attention", id="causal_bottom_right")
def causal_bottom_right(q, k, v, block_q=64, block_k=64, is_causal=False):
    """With is_causal the last query was lined up with the last key.

    The flag means the other alignment: query i sees keys 0..i. The two agree only for as many queries as keys.
    """
    out, lse = correct.tiled_attention(q, k, v, block_q, block_k, False)
    if not is_causal:
        return out, lse
    work = torch.promote_types(q.dtype, torch.float32)
    scores = q.to(work) @ k.to(work).mT / math.sqrt(q.shape[-1])
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1 + k.shape[2] - q.shape[2])
    scores = scores.masked_fill(later, -math.inf)
    weights, lse = _softmax(scores)
    return (weights @ v.to(work)).to(q.dtype), lse


# ---------------------------------------------------------------- flash_backward_tiled


def backward_tiles(ctx, grad, *, row_sums=None, scale=None, weights_of=None, accumulate=True, own_sums=False, n=128):
    """The loops of the backward pass with one thing changed."""
    q, k, v, out, lse = ctx.saved_tensors
    right_scale = 1 / math.sqrt(q.shape[-1])
    D = (grad * out).sum(dim=-1) if row_sums is None else row_sums
    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for i in range(0, q.shape[2], n):
        for j in range(0, k.shape[2], n):
            rows, columns = slice(i, i + n), slice(j, j + n)
            scores = q[:, :, rows] @ k[:, :, columns].mT * right_scale
            weights = torch.exp(scores - lse[:, :, rows, None]) if weights_of is None else weights_of(scores)
            if ctx.is_causal:
                weights = weights.tril(i - j)
            d_weights = grad[:, :, rows] @ v[:, :, columns].mT
            of_row = (weights * d_weights).sum(-1, keepdim=True) if own_sums else D[:, :, rows, None]
            d_scores = weights * (d_weights - of_row)
            d_scores = d_scores * (right_scale if scale is None else scale)
            dq[:, :, rows] += d_scores @ k[:, :, columns]
            if accumulate:
                dk[:, :, columns] += d_scores.mT @ q[:, :, rows]
                dv[:, :, columns] += weights.mT @ grad[:, :, rows]
            elif not ctx.is_causal or j < i + n:
                dk[:, :, columns] = d_scores.mT @ q[:, :, rows]
                dv[:, :, columns] = weights.mT @ grad[:, :, rows]
    return dq, dk, dv, None


@misconception("flash_backward_tiled", symbol="FlashAttention", id="D_omitted")
class DOmitted(correct.FlashAttention):
    """The gradient of the scores lacks its second term: dS = P ∘ dP instead of P ∘ (dP − D).

    A softmax cannot raise all its weights at once; what one key wins the others lose. The term D takes care of that.
    It hurts dQ and dK; dV does not see it, and is right.
    """

    @staticmethod
    def backward(ctx, grad):
        return backward_tiles(ctx, grad, row_sums=torch.zeros(grad.shape[:-1], dtype=grad.dtype))


@misconception("flash_backward_tiled", symbol="FlashAttention", id="D_of_the_tile")
class DOfTheTile(correct.FlashAttention):
    """The term D was summed over the keys of the tile at hand. It is a sum over *all* keys that the query sees.

    With a single tile the two agree. D = rowsum(dO ∘ O) is known before the loops.
    """

    @staticmethod
    def backward(ctx, grad):
        return backward_tiles(ctx, grad, own_sums=True)


@misconception("flash_backward_tiled", symbol="FlashAttention", id="scale_twice_dq_dk")
class ScaleTwice(correct.FlashAttention):
    """dQ and dK are too small by √D, and dV is right: the scale of the scores was multiplied in twice."""

    @staticmethod
    def backward(ctx, grad):
        return backward_tiles(ctx, grad, scale=1 / ctx.saved_tensors[0].shape[-1])


@misconception("flash_backward_tiled", symbol="FlashAttention", id="scale_missing_dq_dk")
class ScaleMissing(correct.FlashAttention):
    """dQ and dK are too large by √D, and dV is right: the scale of the scores is missing in the backward pass.

    The scores are q kᵀ / √D. Differentiate them by q: what stands before k?
    """

    @staticmethod
    def backward(ctx, grad):
        return backward_tiles(ctx, grad, scale=1.0)


@misconception("flash_backward_tiled", symbol="FlashAttention", id="dk_not_accumulated")
class NotAccumulated(correct.FlashAttention):
    """dK and dV hold only what the last block of queries gave them; each tile overwrites the one before.

    Every block of queries has something to say about every block of keys, and a gradient is the sum of it all. Short
    inputs, with one block, do not show it.
    """

    @staticmethod
    def backward(ctx, grad):
        return backward_tiles(ctx, grad, accumulate=False)


@misconception("flash_backward_tiled", symbol="FlashAttention", id="saves_P")
class SavesWeights(correct.FlashAttention):
    """The gradients are right, but the T × T weights are kept for backward, as autograd would have done.

    What lies in memory between forward and backward should grow with T, not with T². With the logsumexp of each row a
    tile of weights can be made again whenever it is needed.
    """

    @staticmethod
    def forward(ctx, q, k, v, is_causal):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if is_causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
        weights = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(q, k, v, weights)
        return weights @ v

    @staticmethod
    def backward(ctx, grad):
        q, k, v, weights = ctx.saved_tensors
        d_weights = grad @ v.mT
        d_scores = weights * (d_weights - (weights * d_weights).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
        return d_scores @ k, d_scores.mT @ q, weights.mT @ grad, None


@misconception("flash_backward_tiled", symbol="FlashAttention", id="one_tile_in_bwd")
class OneTile(correct.FlashAttention):
    """The gradients are right, but the backward pass makes all weights at once, or much more of them than a tile.

    Go through blocks of queries and blocks of keys; 128 of each is a good choice.
    """

    @staticmethod
    def backward(ctx, grad):
        return backward_tiles(ctx, grad, n=max(ctx.saved_tensors[0].shape[2], ctx.saved_tensors[1].shape[2]))


@misconception("flash_backward_tiled", symbol="FlashAttention", id="causal_ignored_in_bwd")
class CausalIgnored(correct.FlashAttention):
    """The forward pass has the causal mask, the backward pass has not: gradients flow from and to later keys.

    The weights that are made again must be those of the forward pass, with zeros where a query may not look. Is the
    flag still known in backward?
    """

    @staticmethod
    def backward(ctx, grad):
        ctx.is_causal = False
        return backward_tiles(ctx, grad)


@misconception("flash_backward_tiled", symbol="FlashAttention", id="lse_recomputed_unmasked")
class Unmasked(correct.FlashAttention):
    """Under the causal mask the weights are normalised over all keys, the forbidden ones included.

    The logsumexp of a row has to be the one of the forward pass: over the keys that the query may see. It was saved
    there, and there is no need to compute it a second time.
    """

    @staticmethod
    def backward(ctx, grad):
        q, k, v, out, _ = ctx.saved_tensors
        rows = q.split(64, dim=2)  # what is wrong is not the memory
        lse = torch.cat([(part @ k.mT / math.sqrt(q.shape[-1])).logsumexp(-1) for part in rows], dim=2)

        class Fake:
            saved_tensors = (q, k, v, out, lse)
            is_causal = ctx.is_causal

        return backward_tiles(Fake, grad)


# ---------------------------------------------------------------- attention_roofline


def changed_cost(change, *args, **kwargs):
    cost = dict(correct.attention_cost(*args, **kwargs))
    cost["flops"] = change(cost["flops"])
    cost["intensity"] = cost["flops"] / cost["hbm_bytes"]
    return cost


@misconception("attention_roofline", symbol="attention_cost")
def bwd_equals_fwd(B, H, T, D, dtype, causal, flash, backward=False):
    """The backward pass is counted like the forward pass, with two products.

    Count them: dV, dP, dQ and dK are four, and where P was not kept, the scores are made again before that.
    """
    factor = 1 if not backward else 2.5 if flash else 2
    return changed_cost(lambda flops: int(flops / factor), B, H, T, D, dtype, causal, flash, backward)


@misconception("attention_roofline", symbol="attention_cost")
def additions_not_counted(B, H, T, D, dtype, causal, flash, backward=False):
    """A product of T by D with D by T was counted as T²D FLOPs. A multiplication and an addition are two: 2T²D."""
    return changed_cost(lambda flops: flops // 2, B, H, T, D, dtype, causal, flash, backward)


@misconception("attention_roofline", symbol="attention_cost")
def triangle_counted(B, H, T, D, dtype, causal, flash, backward=False):
    """With a causal mask the T(T + 1)/2 pairs of the triangle were counted. By convention it is half of T², exactly."""
    return changed_cost(lambda flops: flops * (T + 1) // T if causal else flops,
                        B, H, T, D, dtype, causal, flash, backward)  # fmt: skip


@misconception("attention_roofline", symbol="attention_cost")
def traffic_halved(B, H, T, D, dtype, causal, flash, backward=False):
    """With a causal mask the bytes were halved too. The mask halves the FLOPs, and nothing else."""
    cost = dict(correct.attention_cost(B, H, T, D, dtype, causal, flash, backward))
    if causal:
        cost["hbm_bytes"] //= 2
        cost["intensity"] = cost["flops"] / cost["hbm_bytes"]
    return cost


@misconception("attention_roofline", symbol="attention_cost")
def causal_not_halved(B, H, T, D, dtype, causal, flash, backward=False):
    """The FLOPs are the same with a causal mask as without.

    Half of the pairs are never needed, and by convention they are not counted, whether a kernel skips them or not.
    """
    return correct.attention_cost(B, H, T, D, dtype, False, flash, backward)


@misconception("attention_roofline", symbol="attention_cost", id="lse_in_half")
def lse_in_half(B, H, T, D, dtype, causal, flash, backward=False):
    """Logsumexps and row sums are counted in the dtype of the tensors; they are float32, 4 bytes each."""
    cost = dict(correct.attention_cost(B, H, T, D, dtype, causal, flash, backward))
    if flash:
        rows = 3 if backward else 1
        cost["hbm_bytes"] += rows * B * H * T * (dtype.itemsize - 4)
        cost["peak_temp_bytes"] = cost["peak_temp_bytes"] // 4 * dtype.itemsize
        cost["intensity"] = cost["flops"] / cost["hbm_bytes"]
    return cost


def stopwatch(
    fn, flops, warmup, repeats, synchronize, clock,
    *, before=True, after=True, average=statistics.median, drop=True, unit=1e3,
):  # fmt: skip
    synchronize = (lambda: None) if synchronize is None else synchronize
    seconds = []
    for n in range(warmup + repeats):
        if before:
            synchronize()
        start = clock()
        fn()
        if after:
            synchronize()
        if n >= warmup or not drop:
            seconds.append(clock() - start)
    middle = average(seconds) or 1e-12
    return {"median_ms": unit * middle, "tflops": flops / middle / 1e12}


@misconception("attention_roofline", symbol="benchmark")
def no_cuda_sync(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    """The clock is stopped when the work has been asked for, not when it is done.

    On a GPU fn() returns at once, and such a stopwatch reports petaflops. Wait with `synchronize` before the clock is
    read, both times.
    """
    return stopwatch(fn, flops, warmup, repeats, synchronize, clock, after=False)


@misconception("attention_roofline", symbol="benchmark")
def begins_while_work_is_left(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    """The clock is started while the device still works on what came before, and that is measured too.

    Wait with `synchronize` before the clock is read, both times.
    """
    return stopwatch(fn, flops, warmup, repeats, synchronize, clock, before=False)


@misconception("attention_roofline", symbol="benchmark")
def seconds_returned(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    """median_ms is in seconds; asked for are milliseconds."""
    return stopwatch(fn, flops, warmup, repeats, synchronize, clock, unit=1.0)


@misconception("attention_roofline", symbol="benchmark")
def fastest_not_median(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    """The result is the fastest of the measured calls; asked for is the median."""
    return stopwatch(fn, flops, warmup, repeats, synchronize, clock, average=min)


@misconception("attention_roofline", symbol="benchmark")
def one_of_the_two_in_the_middle(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    """For an even number of calls the larger of the two times in the middle was taken; the median is their mean."""
    return stopwatch(fn, flops, warmup, repeats, synchronize, clock, average=statistics.median_high)


@misconception("attention_roofline", symbol="benchmark")
def mean_with_warmup(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    """The result is the mean of all calls, those of the warm-up included.

    The first calls compile and allocate; they are no sample of what is asked for. And a mean follows a single slow
    call, where a median does not.
    """
    return stopwatch(fn, flops, warmup, repeats, synchronize, clock, average=statistics.fmean, drop=False)


@misconception("attention_roofline", symbol="benchmark", id="mean_not_median")
def mean_not_median(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    """The result is the mean of the measured calls; asked for is the median, which a single slow call cannot move."""
    return stopwatch(fn, flops, warmup, repeats, synchronize, clock, average=statistics.fmean)
