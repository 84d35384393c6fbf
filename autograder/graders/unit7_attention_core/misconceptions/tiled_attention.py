"""Known wrong answers to the page `tiled_attention`."""

import math
import statistics
import time

import torch

from autograder.grading.misconceptions import correct, misconception


def tiles(q, k, v, block_q, block_k, is_causal, *, running_max=True, rescale=True, ends=None, strict=False):
    """The loops of tiled attention with one thing changed."""
    work = torch.promote_types(q.dtype, torch.float32)
    Tq, Tk = q.shape[2], k.shape[2]
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype)
    lse = torch.full(q.shape[:3], -math.inf, dtype=work)
    for i in range(0, Tq, block_q):
        rows = q[:, :, i : i + block_q].to(work) / math.sqrt(q.shape[-1])
        top = torch.full(rows.shape[:-1], -math.inf if running_max else 0.0, dtype=work)
        total, mixed = torch.zeros_like(top), torch.zeros(*top.shape, v.shape[-1], dtype=work)
        end = min(Tk, ends(i, i + rows.shape[2] - 1)) if is_causal and ends else Tk
        for j in range(0, end, block_k):
            scores = rows @ k[:, :, j : j + block_k].to(work).mT
            if is_causal:
                later = torch.arange(j, j + scores.shape[-1]) > torch.arange(i, i + rows.shape[2])[:, None]
                scores = scores.masked_fill(later, -math.inf)
            higher = torch.maximum(top, scores.amax(dim=-1)) if running_max else top
            weights, shrink = torch.exp(scores - higher[..., None]), torch.exp(top - higher)
            total = total * shrink + weights.sum(dim=-1)
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


def backward_tiles(ctx, grad, *, row_sums=None, scale=None, weights_of=None, accumulate=True):
    """The loops of the backward pass with one thing changed."""
    q, k, v, out, lse = ctx.saved_tensors
    n, right_scale = 128, 1 / math.sqrt(q.shape[-1])
    D = (grad * out).sum(dim=-1) if row_sums is None else row_sums
    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for i in range(0, q.shape[2], n):
        for j in range(0, k.shape[2], n):
            rows, columns = slice(i, i + n), slice(j, j + n)
            scores = q[:, :, rows] @ k[:, :, columns].mT * right_scale
            weights = torch.exp(scores - lse[:, :, rows, None]) if weights_of is None else weights_of(scores)
            if ctx.is_causal:
                weights = weights.tril(i - j)
            d_scores = weights * (grad[:, :, rows] @ v[:, :, columns].mT - D[:, :, rows, None])
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
    """The gradients are right, but the T × T weights are kept (or made at once), as autograd would have done.

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
        lse = (q @ k.mT / math.sqrt(q.shape[-1])).logsumexp(-1)

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


def stopwatch(fn, flops, warmup, repeats, synchronize, clock, *, wait=True, average=statistics.median, drop=True):
    synchronize = (lambda: None) if synchronize is None or not wait else synchronize
    seconds = []
    for n in range(warmup + repeats):
        synchronize()
        start = clock()
        fn()
        synchronize()
        if n >= warmup or not drop:
            seconds.append(clock() - start)
    middle = average(seconds) or 1e-12
    return {"median_ms": 1e3 * middle, "tflops": flops / middle / 1e12}


@misconception("attention_roofline", symbol="benchmark")
def no_cuda_sync(fn, flops, *, warmup=3, repeats=10, synchronize=None, clock=time.perf_counter):
    """The clock is stopped when the work has been asked for, not when it is done.

    On a GPU fn() returns at once, and such a stopwatch reports petaflops. Wait with `synchronize` before the clock is
    read, both times.
    """
    return stopwatch(fn, flops, warmup, repeats, synchronize, clock, wait=False)


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
