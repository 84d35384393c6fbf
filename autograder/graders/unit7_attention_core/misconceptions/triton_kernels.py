"""Known wrong answers to the page `triton_kernels`."""

import math

import torch
import triton
import triton.language as tl

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- triton_flash_forward


@triton.jit
def wrong_forward_kernel(
    q, k, v, o, lse, stride_qh, stride_qt, stride_qd, stride_kh, stride_kt, stride_kd, stride_vh, stride_vt, stride_vd,
    Tq, Tk, factor, CAUSAL: tl.constexpr, D: tl.constexpr, NO_TAIL: tl.constexpr, HALF: tl.constexpr,
    NO_MAX: tl.constexpr, SHORT: tl.constexpr,
):  # fmt: skip
    """A forward kernel with tiles of 64 by 32 and one thing wrong; o and lse are contiguous."""
    first = tl.program_id(0) * 64
    head = tl.program_id(1)
    rows = first + tl.arange(0, 64)
    width = tl.arange(0, D)
    q += head * stride_qh
    k += head * stride_kh
    v += head * stride_vh
    queries = tl.load(q + rows[:, None] * stride_qt + width[None, :] * stride_qd, mask=rows[:, None] < Tq, other=0.0)
    top = tl.full([64], float("-inf"), tl.float32)
    if NO_MAX:
        top = tl.zeros([64], tl.float32)
    total = tl.zeros([64], tl.float32)
    mixed = tl.zeros([64, D], tl.float32)
    end = Tk
    if CAUSAL:
        end = tl.minimum(first + 64, Tk)
        if SHORT:
            end = tl.minimum(first + 1, Tk)
    for start in range(0, end, 32):
        columns = start + tl.arange(0, 32)
        inside = columns < Tk
        if NO_TAIL:
            inside = columns >= 0
        keys = tl.load(k + columns[None, :] * stride_kt + width[:, None] * stride_kd, mask=inside[None, :], other=0.0)
        values = tl.load(v + columns[:, None] * stride_vt + width[None, :] * stride_vd, mask=inside[:, None], other=0.0)
        scores = tl.where(inside[None, :], tl.dot(queries, keys, input_precision="ieee"), float("-inf"))
        if CAUSAL:
            scores = tl.where(columns[None, :] <= rows[:, None], scores, float("-inf"))
        higher = top
        if not NO_MAX:
            higher = tl.maximum(top, tl.max(scores, 1) * factor)
        weights = tl.exp2(scores * factor - higher[:, None])
        shrink = tl.exp2(top - higher)
        total = total * shrink + tl.sum(weights, 1)
        mixed = tl.dot(weights.to(values.dtype), values, mixed * shrink[:, None], input_precision="ieee")
        if HALF:
            mixed = mixed.to(tl.float16).to(tl.float32)
        top = higher
    mixed = mixed / total[:, None]
    at = (head * Tq + rows[:, None]) * D + width[None, :]
    tl.store(o + at, mixed.to(o.dtype.element_ty), mask=rows[:, None] < Tq)
    tl.store(lse + head * Tq + rows, (top + tl.log2(total)) * 0.6931471805599453, mask=rows < Tq)


def wrong_forward(q, k, v, is_causal, **wrong):
    B, H, Tq, D = q.shape
    Tk = k.shape[2]
    o = torch.empty(B, H, Tq, D, dtype=q.dtype)
    lse = torch.empty(B, H, Tq)
    flags = {"NO_TAIL": False, "HALF": False, "NO_MAX": False, "SHORT": False, **wrong}
    factor = 1 / math.log(2) / math.sqrt(D)
    for b in range(B):
        strides = [s for t in (q, k, v) for s in t.stride()[1:]]
        grid = (triton.cdiv(Tq, 64), H)
        wrong_forward_kernel[grid](
            q[b], k[b], v[b], o[b], lse[b], *strides, Tq, Tk, factor, CAUSAL=is_causal, D=D, **flags
        )
    return o, lse


@misconception("triton_flash_forward", symbol="flash_fwd")
def tail_not_masked(q, k, v, is_causal=False):
    """The last tile of keys is used as if it were full: what lies in memory behind the keys takes part.

    A pointer knows no end. Where a tile reaches beyond Tk, the load needs a mask, and the score must be -inf: a key of
    zeros has score 0, which is a score like any other.
    """
    return wrong_forward(q, k, v, is_causal, NO_TAIL=True)


@misconception("triton_flash_forward", symbol="flash_fwd")
def f16_accumulator(q, k, v, is_causal=False):
    """The mixture of the values is kept in float16 from block to block.

    It is a sum over all keys, not divided by anything yet: it outgrows 65504, and each block rounds it anew. Keep it in
    float32 (tl.dot accumulates so) and cast once, before the store.
    """
    return wrong_forward(q, k, v, is_causal, HALF=True)


@misconception("triton_flash_forward", symbol="flash_fwd")
def no_running_max(q, k, v, is_causal=False):
    """Nothing is subtracted from the scores before the exponential: large scores overflow, low ones vanish.

    exp2(128) does not fit into float32. The running maximum is what the stream of page 1 was about.
    """
    return wrong_forward(q, k, v, is_causal, NO_MAX=True)


@misconception("triton_flash_forward", symbol="flash_fwd")
def lse_base2_leak(q, k, v, is_causal=False):
    """The logsumexp that is returned is one to the base 2; asked for is the natural one.

    Base 2 is for the inside of the kernel. log2(x) · ln 2 = ln(x).
    """
    o, lse = correct.flash_fwd(q, k, v, is_causal)
    return o, lse / math.log(2)


@misconception("triton_flash_forward", symbol="flash_fwd")
def assumes_contiguous(q, k, v, is_causal=False):
    """The kernel finds its way by the shape, as if all tensors were contiguous. Views have strides of their own.

    Heads that were split off with transpose(1, 2) are the everyday case. Pass tensor.stride() to the kernel.
    """

    def flat(t):
        strides = [math.prod(t.shape[i + 1 :]) for i in range(4)]
        return t.as_strided(t.shape, strides)

    return correct.flash_fwd(flat(q), flat(k), flat(v), is_causal)


@misconception("triton_flash_forward", symbol="flash_fwd")
def causal_tile_skip_wrong(q, k, v, is_causal=False):
    """Under the causal mask the loop over the keys ends too early: tiles are skipped that still hold allowed pairs.

    The *last* query of a block decides how far the block must go: it sees the keys up to its own position.
    """
    return wrong_forward(q, k, v, is_causal, SHORT=True)


@misconception("triton_flash_forward", symbol="flash_fwd", id="causal_tiles_not_skipped")
def causal_tiles_not_skipped(q, k, v, is_causal=False):
    """The result is right, but a causal call does all the work of a full one: the tiles above the diagonal are computed
    and then masked.

    The loop over the keys may end where the last query of the block stops seeing.
    """
    if is_causal and q.shape[2] == k.shape[2]:
        correct.flash_fwd(q, k, v, False)
    return correct.flash_fwd(q, k, v, is_causal)


@misconception("triton_flash_forward", symbol="flash_fwd")
def scale_missing(q, k, v, is_causal=False):
    """The scores were not divided by √D, the root of a head's width. Fold 1/√D into the factor of the exponent."""
    return correct.flash_fwd(q * math.sqrt(q.shape[-1]), k, v, is_causal)


@misconception("triton_flash_forward", symbol="flash_fwd")
def log2e_missing(q, k, v, is_causal=False):
    """exp2 was taken of the scores as they are. exp(x) is exp2(x · log2(e)): without log2(e) the softmax has base 2."""
    return correct.flash_fwd(q * math.log(2), k, v, is_causal)


def highest(q, k, is_causal):
    """The largest scaled score of each query, (B, H, Tq), float32."""
    scores = (q[:, :, :, None].float() * k[:, :, None].float()).sum(-1) / math.sqrt(q.shape[-1])  # @ is forbidden here
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).tril() == 0, -math.inf)
    return scores.amax(-1)


@misconception("triton_flash_forward", symbol="flash_fwd")
def not_divided_by_total(q, k, v, is_causal=False):
    """The mixture of the values was stored as it is: it was not divided by the sum of the weights.

    The weights of a stream add up to `total`, not to 1. One division at the end, after the last tile, makes a mean.
    """
    o, lse = correct.flash_fwd(q, k, v, is_causal)
    return (o * torch.exp(lse - highest(q, k, is_causal))[..., None]).to(o.dtype), lse


@misconception("triton_flash_forward", symbol="flash_fwd")
def lse_without_max(q, k, v, is_causal=False):
    """lse is the logarithm of the sum alone. The maximum that was subtracted from the scores has to be added again."""
    o, lse = correct.flash_fwd(q, k, v, is_causal)
    return o, lse - highest(q, k, is_causal)


@misconception("triton_flash_forward", symbol="flash_fwd")
def lse_is_the_max(q, k, v, is_causal=False):
    """lse is the largest score. The logarithm of the sum belongs to it: m + ln(total)."""
    o, _ = correct.flash_fwd(q, k, v, is_causal)
    return o, highest(q, k, is_causal)


@misconception("triton_flash_forward", symbol="flash_fwd")
def causal_ignored(q, k, v, is_causal=False):
    """A causal call gives what a full one does: the scores above the diagonal were not set to -inf."""
    return correct.flash_fwd(q, k, v, False)


@misconception("triton_flash_forward", symbol="flash_fwd")
def diagonal_masked(q, k, v, is_causal=False):
    """Under the causal mask a query does not see its own position: columns < rows. It does, columns <= rows.

    The first query has nothing to see then, and its row becomes NaN.
    """
    if not is_causal:
        return correct.flash_fwd(q, k, v)
    o, lse = torch.full_like(q, math.nan), torch.full(q.shape[:3], math.nan)
    if q.shape[2] > 1:
        o[:, :, 1:], lse[:, :, 1:] = correct.flash_fwd(q[:, :, 1:], k, v, True)
    return o, lse


@misconception("triton_flash_forward", symbol="flash_fwd")
def causal_from_the_end(q, k, v, is_causal=False):
    """The causal mask was aligned at the end: the last query sees the last key. Here query i sees keys 0 to i.

    Both occur. The two differ where there are not as many keys as queries.
    """
    Tq, Tk = q.shape[2], k.shape[2]
    if not is_causal or Tq == Tk:
        return correct.flash_fwd(q, k, v, is_causal)
    o, lse = torch.full_like(q, math.nan), torch.full(q.shape[:3], math.nan)
    if Tq > Tk:  # the first queries see nothing
        o[:, :, Tq - Tk :], lse[:, :, Tq - Tk :] = correct.flash_fwd(q[:, :, Tq - Tk :], k, v, True)
        return o, lse
    longer = torch.cat([q[:, :, :1].expand(-1, -1, Tk - Tq, -1), q], dim=2)
    o, lse = correct.flash_fwd(longer, k, v, True)
    return o[:, :, Tk - Tq :].contiguous(), lse[:, :, Tk - Tq :].contiguous()


# ---------------------------------------------------------------- triton_flash_backward


@triton.jit
def racing_kernel(
    do, q, k, v, lse, sums, dq, stride_d, stride_q, stride_k, stride_v, Tq, Tk, scale, CAUSAL: tl.constexpr,
    D: tl.constexpr,
):  # fmt: skip
    """Each program owns 32 keys and adds its share to every dq, without an atomic; inputs are contiguous heads."""
    head = tl.program_id(1)
    columns = tl.program_id(0) * 32 + tl.arange(0, 32)
    width = tl.arange(0, D)
    inside = columns[:, None] < Tk
    at = columns[:, None] * D + width[None, :]
    keys = tl.load(k + head * stride_k + at, mask=inside, other=0.0)
    values = tl.load(v + head * stride_v + at, mask=inside, other=0.0)
    for start in range(0, Tq, 32):
        rows = start + tl.arange(0, 32)
        here = rows[:, None] < Tq
        at = rows[:, None] * D + width[None, :]
        queries = tl.load(q + head * stride_q + at, mask=here, other=0.0)
        grads = tl.load(do + head * stride_d + at, mask=here, other=0.0)
        level = tl.load(lse + head * Tq + rows, mask=rows < Tq, other=float("inf"))
        total = tl.load(sums + head * Tq + rows, mask=rows < Tq, other=0.0)
        scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale
        weights = tl.exp(scores - level[:, None])
        seen = columns[None, :] < Tk
        if CAUSAL:
            seen = seen & (columns[None, :] <= rows[:, None])
        weights = tl.where(seen, weights, 0.0)
        share = weights * (tl.dot(grads, tl.trans(values), input_precision="ieee") - total[:, None]) * scale
        old = tl.load(dq + head * Tq * D + at, mask=here, other=0.0)
        new = old + tl.dot(share.to(keys.dtype), keys, input_precision="ieee")
        tl.store(dq + head * Tq * D + at, new, mask=here)


@misconception("triton_flash_backward", symbol="flash_bwd")
def race_on_dq(do, q, k, v, o, lse, is_causal=False):
    """Programs that own blocks of keys all add to the same dq: each loads the old sum, adds, and stores it.

    On a GPU they do so at the same time, and a share is lost whenever two of them have read the same old sum. One after
    the other, as in the interpreter, the result is right. Either let the hardware add (atomics), or let programs that
    own blocks of queries compute dq.
    """
    _, dk, dv = correct.flash_bwd(do, q, k, v, o, lse, is_causal)
    B, H, Tq, D = q.shape
    Tk = k.shape[2]
    do, q, k, v = (t.contiguous() for t in (do, q, k, v))
    sums = (do.float() * o.float()).sum(-1)
    dq = torch.zeros(B, H, Tq, D)
    racing_kernel[(triton.cdiv(Tk, 32), B * H)](
        do, q, k, v, lse, sums, dq, Tq * D, Tq * D, Tk * D, Tk * D, Tq, Tk, 1 / math.sqrt(D), CAUSAL=is_causal, D=D
    )
    return dq.to(q.dtype), dk, dv


@misconception("triton_flash_backward", symbol="flash_bwd")
def D_omitted(do, q, k, v, o, lse, is_causal=False):
    """The gradient of the scores lacks its second term: dS = P ∘ dP instead of P ∘ (dP − D).

    D = rowsum(dO ∘ O) accounts for the fact that the weights of a row sum to 1. dV does not see it, and is right.
    """
    return correct.flash_bwd(do, q, k, v, torch.zeros_like(o), lse, is_causal)


@misconception("triton_flash_backward", symbol="flash_bwd")
def scale_twice(do, q, k, v, o, lse, is_causal=False):
    """dQ and dK are too small by √D: the scale was multiplied in twice, once into dS and once at the end.

    It belongs into dQ and dK once. Where it stands is up to you.
    """
    dq, dk, dv = correct.flash_bwd(do, q, k, v, o, lse, is_causal)
    return dq / math.sqrt(q.shape[-1]), dk / math.sqrt(q.shape[-1]), dv


@misconception("triton_flash_backward", symbol="flash_bwd")
def p_not_recomputed_f32(do, q, k, v, o, lse, is_causal=False):
    """In float16 the gradients are less exact than they could be: the weights were made again in half precision.

    P = exp(S − L) subtracts two numbers that may be large and nearly equal. In float16 a score near 100 is known to
    within 1/32, and so is the logarithm of the weight. Scores and logsumexp are float32 until the exponential is taken.
    """
    return correct.flash_bwd(do, q, k, v, o, lse.to(q.dtype).float(), is_causal)


@misconception("triton_flash_backward", symbol="flash_bwd")
def causal_bwd_missing(do, q, k, v, o, lse, is_causal=False):
    """The backward kernels know nothing of the causal mask: gradients flow from and to later keys.

    The weights that are made again must be those of the forward pass, with zeros where a query may not look.
    """
    return correct.flash_bwd(do, q, k, v, o, lse, False)


@misconception("triton_flash_backward", symbol="flash_bwd")
def keys_beyond_the_end(do, q, k, v, o, lse, is_causal=False):
    """dQ becomes NaN where scores are far below 0: keys beyond the end take part with the weight exp(0 - L).

    They are loaded as zeros and have score 0. With L near -100 their weight is infinite, and infinity times the key of
    zeros is NaN. (With L near 0 the same product is 0, and nothing is to be seen.) Set the weights beyond Tk to 0.
    """
    dq, dk, dv = correct.flash_bwd(do, q, k, v, o, lse, is_causal)
    Tq, Tk = q.shape[2], k.shape[2]
    if Tk % 32:
        share = (torch.exp(-lse) * (do.float() * o.float()).sum(-1)).to(q.dtype) * 0.0
        sees_them = torch.arange(Tq) >= (Tk if is_causal else 0)
        dq = dq + torch.where(sees_them, share, 0.0)[..., None]
    return dq, dk, dv


@misconception("triton_flash_backward", symbol="flash_bwd")
def gradients_not_scaled(do, q, k, v, o, lse, is_causal=False):
    """dQ and dK are too large by √D: the scale of the scores is part of their gradient too. dV is right."""
    dq, dk, dv = correct.flash_bwd(do, q, k, v, o, lse, is_causal)
    return dq * math.sqrt(q.shape[-1]), dk * math.sqrt(q.shape[-1]), dv


@misconception("triton_flash_backward", symbol="flash_bwd")
def lse_in_another_base(do, q, k, v, o, lse, is_causal=False):
    """The weights were made again as exp2(scores · log2(e) - lse), but lse is natural: it needs log2(e) as well."""
    return correct.flash_bwd(do, q, k, v, o, lse * math.log(2), is_causal)


@misconception("triton_flash_backward", symbol="flash_bwd")
def lse_not_subtracted(do, q, k, v, o, lse, is_causal=False):
    """The weights were made again as exp(scores): without - lse they do not add up to 1."""
    return correct.flash_bwd(do, q, k, v, o, torch.zeros_like(lse), is_causal)


@misconception("triton_flash_backward", symbol="flash_bwd")
def dq_and_dk_exchanged(do, q, k, v, o, lse, is_causal=False):
    """dQ and dK came back in each other's place. The order is dq, dk, dv."""
    dq, dk, dv = correct.flash_bwd(do, q, k, v, o, lse, is_causal)
    return dk, dq, dv


# ---------------------------------------------------------------- triton_decode


@misconception("triton_decode", symbol="decode_attention")
def reads_past_length(q, k_cache, v_cache, lengths):
    """The last tile of a text is read to its end, beyond the text's length: leftovers take part.

    They must not even be multiplied by 0, since 0 · NaN is NaN. Mask the loads by the text's own length.
    """
    longer = ((lengths + 15) // 16 * 16).clamp(max=k_cache.shape[2]).to(torch.int32)
    return correct.decode_attention(q, k_cache, v_cache, longer)


@misconception("triton_decode", symbol="decode_attention")
def batch_max_length_used(q, k_cache, v_cache, lengths):
    """Every text is treated as if it were as long as the longest one of the batch.

    Each text has a length of its own; a program finds that of its text at lengths + program_id.
    """
    return correct.decode_attention(q, k_cache, v_cache, torch.full_like(lengths, int(lengths.max())))


@misconception("triton_decode", symbol="decode_attention")
def tile_not_interleave(q, k_cache, v_cache, lengths):
    """Query head h is paired with key-value head h % Hkv, as if the key-value heads were repeated one after the other.

    Neighbouring query heads share a key-value head: the group of head h is h // (Hq / Hkv). (torch's
    repeat_interleave, not repeat.)
    """
    B, Hq, D = q.shape
    Hkv = k_cache.shape[1]
    turned = q.reshape(B, Hq // Hkv, Hkv, D).transpose(1, 2).reshape(B, Hq, D)
    out = correct.decode_attention(turned, k_cache, v_cache, lengths)
    return out.reshape(B, Hkv, Hq // Hkv, D).transpose(1, 2).reshape(B, Hq, D)


@misconception("triton_decode", symbol="decode_attention")
def merge_without_lse(q, k_cache, v_cache, lengths):
    """The outputs of the pieces are averaged. Each is normalised within its piece, so that their sizes say nothing.

    How much of the whole a piece is worth stands in its logsumexp. Let every program write that too, and weight the
    outputs with it, as on page 3.
    """
    out = torch.zeros_like(q)
    half = (lengths + 1) // 2
    for b, (n, h) in enumerate(zip(lengths.tolist(), half.tolist(), strict=True)):
        if n:
            parts = [(0, h), (h, n)] if n > 1 else [(0, 1)]
            size = torch.ones(1, dtype=torch.int32)
            outs = [
                correct.decode_attention(
                    q[b : b + 1], k_cache[b : b + 1, :, i:j], v_cache[b : b + 1, :, i:j], size * (j - i)
                )
                for i, j in parts
            ]
            out[b] = (sum(o.float() for o in outs) / len(outs)).to(q.dtype)[0]
    return out


@misconception("triton_decode", symbol="decode_attention", id="loads_per_query_head")
def loads_per_query_head(q, k_cache, v_cache, lengths):
    """The result is right, but every key and value is fetched once per query head instead of once per group.

    Decoding costs what it loads. The query heads of a group are the rows of one tile; one program can serve them all.
    """
    group = q.shape[1] // k_cache.shape[1]
    out = torch.empty_like(q)
    for member in range(group):
        out[:, member::group] = correct.decode_attention(q[:, member::group], k_cache, v_cache, lengths)
    return out


def in_pieces(q, k_cache, v_cache, lengths, pieces, merge):
    """The solution's kernel for so many pieces of each text, and another merge of them."""
    B, Hq, D = q.shape
    Hkv = k_cache.shape[1]
    part_o, part_lse = torch.empty(B, Hq, pieces, D), torch.empty(B, Hq, pieces)
    group = Hq // Hkv
    correct.decode_kernel[(B, Hkv, pieces)](
        q, k_cache, v_cache, lengths, part_o, part_lse, *q.stride(), *k_cache.stride(), *v_cache.stride(),
        Hq, 1 / math.log(2) / math.sqrt(D), GROUP=group, ROWS=max(16, triton.next_power_of_2(group)), D=D, BLOCK_N=64,
        PIECES=pieces,
    )  # fmt: skip
    return merge(part_o, part_lse).to(q.dtype)


@misconception("triton_decode", symbol="decode_attention")
def keys_not_split(q, k_cache, v_cache, lengths):
    """The result is right, but one program (or two) loads all keys of a text: the others find nothing to do.

    A GPU has a hundred multiprocessors, and a single text with one key-value head keeps one of them busy. Give each
    piece of the keys to a program of its own, and merge the pieces.
    """
    return in_pieces(q, k_cache, v_cache, lengths, 1, lambda part_o, part_lse: part_o[:, :, 0])


@misconception("triton_decode", symbol="decode_attention")
def merged_in_another_base(q, k_cache, v_cache, lengths):
    """The pieces are weighted with exp, although their logsumexps are to the base 2: every weight is off.

    Inside the kernel everything may be kept in base 2, the logsumexp of a piece too. Then the merge has to use exp2.
    """

    def merge(part_o, part_lse):
        top = part_lse.amax(-1, keepdim=True)
        mass = torch.exp(part_lse - torch.where(top == -math.inf, 0.0, top))
        return (mass[..., None] * part_o).sum(2) / mass.sum(-1).clamp(min=1e-30)[..., None]

    pieces = max(1, min(triton.cdiv(k_cache.shape[2], 64), triton.cdiv(16, q.shape[0] * k_cache.shape[1])))
    return in_pieces(q, k_cache, v_cache, lengths, pieces, merge)


@misconception("triton_decode", symbol="decode_attention")
def zeros_beyond_length(q, k_cache, v_cache, lengths):
    """Keys beyond a text's end are not loaded, and count all the same: a key of zeros has score 0, which is a score.

    What the mask of the load leaves out comes as 0. Its scores must be -inf, or they take part in maximum and sum.
    """
    used = torch.arange(k_cache.shape[2]) < lengths[:, None]
    behind = (0, 0, 0, -k_cache.shape[2] % 64)
    k, v = (
        torch.nn.functional.pad(torch.where(used[:, None, :, None], cache, 0.0), behind) for cache in (k_cache, v_cache)
    )
    return correct.decode_attention(q, k, v, (lengths + 63) // 64 * 64)


@misconception("triton_decode", symbol="decode_attention")
def decode_scale_missing(q, k_cache, v_cache, lengths):
    """The scores were not divided by √D, the root of a head's width."""
    return correct.decode_attention(q * math.sqrt(q.shape[-1]), k_cache, v_cache, lengths)


@misconception("triton_decode", symbol="decode_attention")
def decode_log2e_missing(q, k_cache, v_cache, lengths):
    """exp2 was taken of the scores as they are. exp(x) is exp2(x · log2(e)): without log2(e) the softmax has base 2."""
    return correct.decode_attention(q * math.log(2), k_cache, v_cache, lengths)


@misconception("triton_decode", symbol="decode_attention")
def empty_text_is_nan(q, k_cache, v_cache, lengths):
    """A text of length 0 gives NaN: -inf - (-inf) in the maximum, or 0 / 0 in the division. Its output is to be 0."""
    out = correct.decode_attention(q, k_cache, v_cache, lengths)
    out[lengths == 0] = math.nan
    return out


@misconception("triton_decode", symbol="decode_attention")
def first_length_for_all(q, k_cache, v_cache, lengths):
    """Every text is treated as if it were as long as the first one of the batch.

    Each text has a length of its own; a program finds that of its text at lengths + program_id.
    """
    return correct.decode_attention(q, k_cache, v_cache, lengths[:1].expand(len(lengths)).contiguous())
