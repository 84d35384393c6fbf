# %% [markdown]
# # Attention kernels in Triton
#
# *Unit 7, page 4 of 4. Before: [splitting the keys](split_kv.ipynb), and [tiled attention](tiled_attention.ipynb) above
# all. Reading: [Tillet, Kung and Cox 2019, Triton](https://doi.org/10.1145/3315508.3329973);
# [Triton's own introduction](https://triton-lang.org/main/getting-started/tutorials/index.html), tutorials 1 to 3;
# [Dao 2023, FlashAttention-2](https://arxiv.org/abs/2307.08691), sections 3.1 to 3.3; [Shah et al. 2024,
# FlashAttention-3](https://arxiv.org/abs/2407.08608) for what comes after.*
#
# You have written the algorithm with loops over blocks. This page turns the body of those loops into a program for a
# GPU. Nothing about the mathematics changes; what is new is that *you* decide which data is where, and when.
#
# ![Four programs, each with its block of queries in registers, read the tiles of keys up to their own position from
# slow memory; the last two tiles of each need a mask](diagrams/triton_kernels.svg)
#
# ## What a Triton program is
#
# A GPU consists of a hundred or so *multiprocessors*, each with arithmetic units for whole tiles (tensor cores), a
# large file of registers, and a small fast memory that its threads share. A Triton kernel is a function that runs on
# *one* multiprocessor, on *one* tile of the problem, and it is started many times, for all tiles at once. Each run, a
# **program**, asks who it is and takes its share:
#
# ```python
# @triton.jit
# def double(x, out, n, BLOCK: tl.constexpr):
#     at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)      # BLOCK positions
#     row = tl.load(x + at, mask=at < n, other=0.0)            # x is a pointer, x + at are BLOCK pointers
#     tl.store(out + at, 2 * row, mask=at < n)
#
# double[(triton.cdiv(n, 1024),)](x, out, n, BLOCK=1024)       # the grid: how many programs
# ```
#
# | written | means |
# |---|---|
# | `tl.program_id(0)` | which program am I, along axis 0 of the grid |
# | `tl.arange(0, BLOCK)` | a vector; its length is a power of two, known when the kernel is compiled |
# | `tl.load(pointers, mask=..., other=...)` | fetch a tile; where the mask is False, touch nothing and take `other` |
# | `tl.store(pointers, values, mask=...)` | write a tile |
# | `tl.dot(a, b, acc)` | `acc + a @ b` on the tensor cores; every side at least 16; accumulates in float32 |
# | `BLOCK: tl.constexpr` | a number that is compiled in: each value makes a kernel of its own |
#
# A tensor that is passed to a kernel becomes a **pointer to its first element**. Element $(b, h, t, d)$ lies at
# `pointer + b * stride_b + h * stride_h + t * stride_t + d * stride_d`, and the strides come from `tensor.stride()`.
# For a contiguous tensor they could be worked out from the shape. For a transposed one (heads that were split off with
# `transpose(1, 2)`, say) they could not, and a kernel that assumes them reads the wrong numbers without an error.
#
# **Nobody checks a pointer.** A mask that is missing at the ragged end of a tensor reads whatever lies behind it, or
# overwrites it. Most of the time nothing seems to happen.
#
# ### Without a GPU
#
# With `TRITON_INTERPRET=1` in the environment, *before a kernel is decorated*, Triton runs it on the CPU, program by
# program, with NumPy. That is slow, but `print` works and so does a debugger. It is how this page is checked: float32
# and float16, short inputs. (bfloat16 is not, because products of bfloat16 tiles are wrong in the interpreter of the
# versions this course uses.) Three things are counted while a kernel is interpreted: the products, the bytes that are
# loaded and stored, and every access to an address that belongs to no tensor of the call. A store to such an address is
# not made: the check ends there and names the line. (In your own runs nobody stops it, and what it overwrites shows
# later, as a crash somewhere else.) Keep your tiles between 32 and 128: tiny ones make the interpreter crawl.
#
# What the interpreter cannot show is speed, and two programs that write to the same place *at the same time*. The
# checks look for the latter in another way: no address may be stored to by two programs. Triton exists for Linux; on
# other systems work in a container or on a rented notebook.
#
# **The interpreter accepts much that a compiler refuses.** `break`; a variable whose dtype changes from one round of a
# loop to the next; a number of the page's, such as `LOG2E` below, inside a kernel (pass it as an argument, or make it
# `tl.constexpr(...)`); a result that was made without `device=q.device`. No GPU is needed to compile for one, so
# `check` and the grader do that too, for an A100 and an H100: you read the line that will not compile and why, or what
# became of each kernel, how many registers a thread takes, whether some of its numbers were *spilled* to slow memory
# for want of registers, how much shared memory a program takes, and whether its products run on the tensor cores. No
# points hang on this. But a kernel that does not compile cannot have those that wait for a GPU. Of an autotuned kernel
# (`triton.autotune`) the first configuration is taken here, interpreted or compiled.

# %%
import math
import os

import torch
from torch import Tensor

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when a kernel is decorated

import triton
import triton.language as tl

LOG2E = 1 / math.log(2)


def generation() -> int:
    """The first figure of the card's compute capability: 8 for an A100, 9 for an H100; 0 where there is none."""
    return torch.cuda.get_device_capability()[0] if torch.cuda.is_available() else 0


# %% [markdown]
# ## Forward
#
# One program per block of queries, head and example; it loads its queries once, goes through the keys, and writes its
# outputs once. The grid is (blocks of queries, batch · heads). In the loop stands what stood in the loop of
# `tiled_attention`. Then come five steps that make a correct kernel a fast one. What each of them buys on a GPU is
# *unmeasured* here; measure it yourself with `benchmark` of [page 2](tiled_attention.ipynb), one step at a time.
#
# 1. **exp2 instead of exp.** A GPU has an instruction for $2^x$; $e^x$ is that, after a multiplication by $\log_2 e$.
#    So keep everything in base 2. The scale $1/\sqrt D$ has to be multiplied in anyway: fold both into one factor,
#    $2^{\,s \cdot (\log_2 e / \sqrt D) - m}$, a single fused multiply-add per score. What leaves the kernel must be a
#    natural logarithm again: $L = (m + \log_2 \ell) \cdot \ln 2$. (Apply the factor to the scores, which are float32.
#    Applied to float16 queries it costs three digits when scores are large.)
# 2. **No mask on full tiles.** Comparing positions for each of the 128 · 64 scores of a tile costs about as much as the
#    softmax. Only the tiles on the diagonal, and the last one of a ragged length, need it. So there are *two loops*,
#    one over full tiles without any mask and one over the rest, from the same code: a `tl.constexpr` flag, and the
#    compiler leaves the mask out of the first.
# 3. **Skip what causality empties.** The loops simply end at the diagonal. Half of the work is gone. And the programs
#    are no longer equal: the last block of queries has the most to do. Start it first (number the blocks from the end),
#    or the whole GPU waits for one multiprocessor that began last.
# 4. **Accumulate in float32, multiply in half.** The weights are cast to the dtype of the values before the second
#    product, since tensor cores want both sides alike; sums, maxima and the mixture stay float32. Until the end the
#    mixture is not divided by $\ell$: one division per row instead of one per row and block.
# 5. **Tile sizes.** A large block of queries reuses each key more often; but queries, mixture and a tile of scores have
#    to fit into registers, and the keys and values under way into shared memory. `num_stages` says how many blocks of
#    keys are fetched ahead, `num_warps` how many groups of 32 threads share a program. The best values depend on the
#    head width and on the card. Make a small table, and a fallback for everything else. The compiler's report (above)
#    excludes the worst without a GPU: heads of width 64 on an A100 in tiles of 128 by 128 spill 136 bytes per thread
#    with 4 warps and 8 with 8 warps; 128 by 64 with 8 warps spill none.
#
# ```
#   which program reads what (causal, 4 blocks of queries, 8 blocks of keys)
#
#   program   keys 0   1   2   3   4   5   6   7
#      3         full full full full full full mask mask      starts first, has the most to do
#      2         full full full full mask mask
#      1         full full mask mask                          what is not drawn is never loaded
#      0         mask mask                                    done first
# ```

# %% [markdown]
# ## Exercise `triton_flash_forward`: the forward kernel (22 points)
#
# The signatures of the kernels, of their helpers and of `forward_config` are a suggestion, here and in the exercises
# below; change them, add helpers, cut a kernel in two. What is called is `flash_fwd` (then `flash_bwd` and
# `decode_attention`), and its contract is what counts.
#
# Of the points of this exercise and the two below, 60 % are for right results and for work (causal tiles skipped, every
# score computed once); that is checked in the interpreter. 20 % are for memory and 20 % for speed **on a GPU**. Where
# the grader has none, these 40 % are *pending*: neither won nor lost until a machine with a GPU has run your kernels.
# For memory, most of the card is filled up, and a call has to do with the rest: no table of scores would fit. For
# speed, your function takes turns with the plain formula in PyTorch, in bfloat16, on inputs that it has not seen, and
# every timed answer is judged. There are three tiers of equal worth:
#
# | | `flash_fwd`, 8192 causal tokens | `flash_bwd`, 8192 causal tokens | `decode_attention`, 16384 tokens |
# |---|---|---|---|
# | pass | 4 times as fast | 2.5 times | 2.5 times |
# | good | 8 times | 5 times | 5 times |
# | excellent | 12 times | 7.7 times | 7.1 times |
#
# These numbers are proposals: they are *unmeasured* so far. If you would like to appear in a table of the fastest
# kernels, put a line `PSEUDONYM = "..."` (at most 40 characters) into a cell of this page; without one you do not.

# %%
@triton.jit
def forward_tiles(
    q, top, total, mixed, k, v, stride_kt, stride_kd, stride_vt, stride_vd, rows, begin, end, Tk, factor,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Carry (top, total, mixed) of a block of queries through the keys begin..end-1, begin a multiple of BLOCK_N."""
    # YOUR CODE HERE
    raise NotImplementedError()


@triton.jit
def forward_kernel(
    q, k, v, o, lse,
    stride_qb, stride_qh, stride_qt, stride_qd, stride_kb, stride_kh, stride_kt, stride_kd,
    stride_vb, stride_vh, stride_vt, stride_vd, stride_ob, stride_oh, stride_ot, stride_od,
    H, Tq, Tk, factor,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One block of queries of one head: the grid is (blocks of queries, batch * heads)."""
    # YOUR CODE HERE
    raise NotImplementedError()


def forward_config(D: int, itemsize: int) -> dict[str, int]:
    """Tile sizes and launch options of the forward kernel for one head width: your table, which only your code reads.

    Returns: {"BLOCK_M": ..., "BLOCK_N": ..., "num_warps": ..., "num_stages": ...}, or whatever form suits you.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def flash_fwd(q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / √D) v and the logsumexp of its scores, by a Triton kernel.

    Args:
        q: queries (B, H, Tq, D), Tq ≥ 1. k, v: keys and values (B, H, Tk, D), Tk ≥ 1. D is 16, 32, 64 or 128. All three
            have one dtype, float32, float16 or (on a GPU) bfloat16, and may be views with any positive strides.
        is_causal: if True, query i sees keys 0..i only (top-left, also where Tq and Tk differ).

    Returns:
        o: (B, H, Tq, D), dtype of q. lse: (B, H, Tq), float32, the natural logarithm of Σ exp(scaled score) over the
        keys that the query sees.

    Accuracy: float32 as usual. In float16, products are accumulated, and exponentials and sums kept, in float32; the
    relative error of o (the norm of the difference over the norm) is at most 0.004, also where all scores are near 100
    or -100 and where values of some hundreds add up. lse is within 0.001. The same input gives the same bits. No
    argument is changed.

    Memory and work, counted in the interpreter: nothing is read or written beside the tensors of the call; each element
    of o and lse is stored once, by one program. No tensor that is made, masks included, has more entries than the
    largest of q, k and v (float32 is fine). All scores of a full (not causal) call with lengths that are multiples of
    128 cost 4 · B · H · Tq · Tk · D FLOPs in tl.dot, within 5 %; a causal call with Tq = Tk = 512 costs at most 0.65 of
    that, because tiles above the diagonal are skipped (with tiles of up to 128).

    The computation is done by kernels of yours: matrix products, softmax and attention of torch may not be used.

    >>> q = torch.zeros(1, 1, 1, 16); q[..., 0] = 4.0
    >>> k = torch.zeros(1, 1, 2, 16); k[0, 0, 0, 0] = math.log(3.0)  # scores: 4 ln 3 / √16 = ln 3, and 0
    >>> v = torch.zeros(1, 1, 2, 16); v[0, 0, 0, 0], v[0, 0, 1, 1] = 4.0, 8.0
    >>> o, lse = flash_fwd(q, k, v)
    >>> [round(x, 4) for x in o[0, 0, 0, :3].tolist()], round(math.exp(lse), 4)
    ([3.0, 2.0, 0.0], 4.0)
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Backward
#
# The formulas are those of [page 2](tiled_attention.ipynb): $D$ first, then for every pair of blocks the weights again
# and a share of three gradients. In Python it was one pair of loops. On a GPU the question is who adds what.
#
# A program that owns a block of **keys** and goes through the queries can keep the sums of $\mathrm{d}K_j$ and
# $\mathrm{d}V_j$ in its registers, and nobody else has anything to add to them. But each step also has a share of some
# $\mathrm{d}Q_i$, and *every* program has one. If two of them read the old sum, add, and write it back, one of the two
# shares is lost, now and then: a **race**. It may give the right answer a hundred times.
#
# | way out | price |
# |---|---|
# | `tl.atomic_add`: the hardware adds, one after the other | order and rounding differ from run to run; traffic |
# | a second kernel, whose programs own blocks of **queries**, for $\mathrm{d}Q$ | seven products instead of five |
#
# The second is simple, gives the same bits every time, and is what is asked for here.
#
# The weights are made again in base 2 as well: $P = 2^{\,s \cdot (\log_2 e/\sqrt D) - L \log_2 e}$. And the ragged end
# is where it helps to think: a query beyond the end that is loaded with logsumexp $+\infty$ has weight $2^{-\infty} =
# 0$ everywhere, and needs no further mask. A *key* beyond the end does need one: loaded as zeros it has score 0 and
# weight $e^{0 - L}$, which is infinite where the scores of the row lie far below 0, and infinity times a key of zeros
# is NaN.
#
# Which tiles does a block of keys $j \dots j + n - 1$ need, under the causal mask? The queries from $j$ on; tiles whose
# *first* query is at or after the block's *last* key are full.

# %% [markdown]
# ## Exercise `triton_flash_backward`: the backward kernels (24 points)

# %%
@triton.jit
def row_sums_kernel(
    do, o, sums, stride_db, stride_dh, stride_dt, stride_dd, stride_ob, stride_oh, stride_ot, stride_od,
    H, Tq, D: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    """sums = rowsum(do * o), float32 (B, H, Tq); the grid is (blocks of queries, batch * heads)."""
    # YOUR CODE HERE
    raise NotImplementedError()


@triton.jit
def key_tiles(
    dk, dv, keys, values, q, do, lse, sums, stride_qt, stride_qd, stride_dt, stride_dd, columns, begin, end, Tq, factor,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    """Add the shares of the queries begin..end-1 to dk and dv of one block of keys."""
    # YOUR CODE HERE
    raise NotImplementedError()


@triton.jit
def key_kernel(
    do, q, k, v, lse, sums, dk, dv,
    stride_db, stride_dh, stride_dt, stride_dd, stride_qb, stride_qh, stride_qt, stride_qd,
    stride_kb, stride_kh, stride_kt, stride_kd, stride_vb, stride_vh, stride_vt, stride_vd,
    H, Tq, Tk, scale, factor,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """dk and dv, contiguous (B, H, Tk, D), of one block of keys; the grid is (blocks of keys, batch * heads)."""
    # YOUR CODE HERE
    raise NotImplementedError()


@triton.jit
def query_tiles(
    dq, queries, grads, level, total, k, v, stride_kt, stride_kd, stride_vt, stride_vd, rows, begin, end, Tk, factor,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Add the shares of the keys begin..end-1 to dq of one block of queries."""
    # YOUR CODE HERE
    raise NotImplementedError()


@triton.jit
def query_kernel(
    do, q, k, v, lse, sums, dq,
    stride_db, stride_dh, stride_dt, stride_dd, stride_qb, stride_qh, stride_qt, stride_qd,
    stride_kb, stride_kh, stride_kt, stride_kd, stride_vb, stride_vh, stride_vt, stride_vd,
    H, Tq, Tk, scale, factor,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """dq, contiguous (B, H, Tq, D), of one block of queries; the grid is (blocks of queries, batch * heads)."""
    # YOUR CODE HERE
    raise NotImplementedError()


def backward_config(D: int, itemsize: int) -> dict[str, int]:
    """Tile sizes and launch options of the backward kernels for one head width: your table, which only your code reads.

    Returns: {"BLOCK_M": ..., "BLOCK_N": ..., "num_warps": ..., "num_stages": ...}, or whatever form suits you.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def flash_bwd(
    do: Tensor, q: Tensor, k: Tensor, v: Tensor, o: Tensor, lse: Tensor, is_causal: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of flash_fwd, by Triton kernels.

    Args:
        do: the gradient of o, (B, H, Tq, D). q, k, v, is_causal: as passed to flash_fwd. o, lse: as it returned them.
            All but lse have one dtype, float32, float16 or (on a GPU) bfloat16; all may be views with any positive
            strides, each with its own, but lse is contiguous.

    Returns:
        (dq, dk, dv), shapes and dtype of q, k and v: the gradients of Σ (o · do). Keys that no query sees get 0.

    Accuracy: float32 as usual. In float16, sums and exponentials are float32, and the relative error of each gradient
    is at most 0.006, also where all scores are near 100 or -100. The same input gives the same bits. No argument is
    changed.

    Memory and work, counted in the interpreter: nothing is read or written beside the tensors of the call; no address
    is stored to by two programs of a launch. No tensor that is made, masks included, has more entries than the largest
    of q, k and v (float32 is fine).
    A causal call with Tq = Tk = 512 costs at most 0.65 · 14 · B · H · 512² · D FLOPs in tl.dot: seven products, and the
    tiles that causality empties are skipped.

    The computation is done by kernels of yours: matrix products, softmax, attention and autograd of torch may not be
    used. D = rowsum(do ∘ o) may be computed by torch.

    >>> q = torch.zeros(1, 1, 1, 16); q[..., 0] = 4.0
    >>> k = torch.zeros(1, 1, 2, 16); k[0, 0, 0, 0] = math.log(3.0)
    >>> v = torch.zeros(1, 1, 2, 16); v[0, 0, 0, 0], v[0, 0, 1, 1] = 4.0, 8.0
    >>> do = torch.zeros(1, 1, 1, 16); do[..., 0] = 1.0
    >>> dq, dk, dv = flash_bwd(do, q, k, v, *flash_fwd(q, k, v))
    >>> round(dq[0, 0, 0, 0].item(), 4), dk[0, 0, :, 0].round(decimals=4).tolist()  # ds = ±3/4, scale 1/4
    (0.206, [0.75, -0.75])
    >>> dv[0, 0, :, 0].round(decimals=4).tolist()
    [0.75, 0.25]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Decoding
#
# One new query per head, and a **cache** of keys and values that has room for $S$ tokens per text, of which text $b$
# has used `lengths[b]`. Behind that lies whatever was there before. It must not merely get weight 0: it must not be
# *used*, since 0 · NaN is NaN, and it should not be *loaded*, since loading is all that decoding costs.
#
# Three things follow from "the memory decides".
#
# 1. **Split the keys**, as on [page 3](split_kv.ipynb): the grid is (text, key-value head, piece), each program writes
#    its normalised output and its logsumexp to a small float32 tensor, and a second kernel merges the pieces. Deal out
#    the keys that a text *has*, not the room in the cache, or a short text leaves most of its programs idle and a long
#    one... is no faster.
# 2. **Load a key once for all query heads of its group.** With grouped-query attention
#    ([unit 3](../unit3_multi_head_attention/multi_head_attention.ipynb)), query heads $g \cdot G \dots g \cdot G + G -
#    1$ share key-value head $g$. One program takes all $G$ of them, as the rows of one tile, and fetches each key once.
# 3. `tl.dot` wants at least 16 rows. With fewer query heads in a group, fill up with rows that are masked; the tensor
#    cores would have been idle anyway.

# %% [markdown]
# ## Exercise `triton_decode`: split-KV decoding with grouped queries (20 points)

# %%
@triton.jit
def decode_kernel(
    q, k, v, lengths, part_o, part_lse, stride_qb, stride_qh, stride_qd,
    stride_kb, stride_kh, stride_ks, stride_kd, stride_vb, stride_vh, stride_vs, stride_vd,
    Hq, factor, GROUP: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr, BLOCK_N: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """One piece of the keys of one text for all query heads of one group; the grid is (text, key-value head, piece)."""
    # YOUR CODE HERE
    raise NotImplementedError()


@triton.jit
def merge_kernel(part_o, part_lse, o, D: tl.constexpr, PIECES: tl.constexpr, ROOM: tl.constexpr):
    """The merged output of one query head of one text, from the pieces' outputs and base-2 logsumexps."""
    # YOUR CODE HERE
    raise NotImplementedError()


def decode_attention(q: Tensor, k_cache: Tensor, v_cache: Tensor, lengths: Tensor) -> Tensor:
    """Attention of one new query per head over the used part of each text's cache, by Triton kernels.

    Args:
        q: (B, Hq, D). D is 16, 32, 64 or 128. float32, float16 or (on a GPU) bfloat16.
        k_cache, v_cache: (B, Hkv, S, D), dtype of q; Hkv divides Hq. Query head h uses key-value head h // (Hq / Hkv).
            All three may be views with any positive strides.
        lengths: (B,), int32, each in 0..S: text b has keys and values at positions 0..lengths[b]-1. What lies behind
            them is leftovers, and may be NaN.

    Returns:
        (B, Hq, D), dtype of q: softmax(q kᵀ / √D) v over the used positions; 0 where lengths[b] is 0.

    Accuracy: float32 as usual; in float16 sums and exponentials are float32, and the relative error is at most 0.004,
    also where all scores are near 100 or -100. The same input gives the same bits. No argument is changed.

    Memory and work, counted in the interpreter: nothing is read or written beside the tensors of the call; no address
    is stored to by two programs of a launch (mind the rows that fill up a tile). Every used key and value is loaded
    once (not once per query head), and no other. All loads of the call together, those of queries, lengths and partial
    results included, are at most 1.25 times the bytes of the used part of both caches, where texts have some hundreds
    of tokens on average. A text of 1024 tokens with one key-value head is worked on by at least 4 programs of one
    launch that each load keys, and by at least 4 that each load values. No tensor as large as a quarter of a cache is
    made.

    The computation is done by kernels of yours: matrix products, softmax and attention of torch may not be used.

    >>> q = torch.zeros(1, 1, 16); q[..., 0] = 4.0
    >>> k = torch.full((1, 1, 3, 16), float("nan")); k[:, :, :2] = 0.0; k[0, 0, 0, 0] = math.log(3.0)
    >>> v = torch.full((1, 1, 3, 16), float("nan")); v[:, :, :2] = 0.0; v[0, 0, 0, 0], v[0, 0, 1, 1] = 4.0, 8.0
    >>> decode_attention(q, k, v, torch.tensor([2], dtype=torch.int32))[0, 0, :3].round(decimals=4).tolist()
    [3.0, 2.0, 0.0]
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The picture
#
# What the causal forward kernel does with each tile, for 512 queries and keys in tiles of 64 by 32: skipped (white),
# computed with a mask, computed without one. The right panel adds the tiles of each program up. Count them: of 128
# tiles 72 are computed, 16 of them with a mask. The longer the text, the smaller the share of the masked ones, and the
# closer the whole comes to one half.
#
# This was the last page. You have written what runs inside every large language model, from the dot product of two
# vectors to a kernel that never sees the whole table of scores.

# %%
SKIPPED, MASKED, FULL = 0, 1, 2


def figure_data(T: int = 512, block_m: int = 64, block_n: int = 32) -> Tensor:
    """(blocks of queries, blocks of keys): SKIPPED, MASKED or FULL, for causal attention of length T."""
    first = torch.arange(0, T, block_m)[:, None]
    start = torch.arange(0, T, block_n)[None, :]
    kinds = torch.full((first.shape[0], start.shape[1]), MASKED)
    kinds[(start > first + block_m - 1)] = SKIPPED
    kinds[(start + block_n - 1 <= first)] = FULL
    return kinds


if __name__ == "__main__":
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    kinds = figure_data()
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=[2, 1])
    left.imshow(kinds, cmap=ListedColormap(["white", "tab:orange", "tab:blue"]), aspect="auto")
    left.set_xticks(torch.arange(-0.5, kinds.shape[1]), minor=True)
    left.set_yticks(torch.arange(-0.5, kinds.shape[0]), minor=True)
    left.grid(which="minor", color="grey", linewidth=0.5)
    left.set_xlabel("block of 32 keys")
    left.set_ylabel("block of 64 queries = program")
    left.set_title("white: never loaded; orange: with a mask; blue: without")
    full, masked = (kinds == FULL).sum(1), (kinds == MASKED).sum(1)
    right.barh(range(len(full)), full, color="tab:blue", label="full")
    right.barh(range(len(full)), masked, left=full, color="tab:orange", label="masked")
    right.invert_yaxis()
    right.set_xlabel("tiles")
    right.set_title("work per program")
    right.legend()
    fig.savefig("tiles.png", dpi=120)
    plt.show()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    q, k, v = torch.randn(3, 1, 2, 100, 32, device=device, generator=torch.Generator(device).manual_seed(0))
    for is_causal in (False, True):
        expected = torch.nn.functional.scaled_dot_product_attention(
            q.double(), k.double(), v.double(), is_causal=is_causal
        )
        error = (flash_fwd(q, k, v, is_causal)[0] - expected).abs().max().item()
        print(f"is_causal={is_causal}: largest error {error:.1e}")

# %% [markdown]
# ## Further reading
#
# - Triton, [Fused attention](https://triton-lang.org/main/getting-started/tutorials/06-fused-attention.html), a
#   tutorial; Tillet et al. 2019,
#   [Triton](https://www.eecs.harvard.edu/~htk/publication/2019-mapl-tillet-kung-cox.pdf).
# - Shah et al. 2024, [FlashAttention-3](https://arxiv.org/abs/2407.08608); GPU MODE,
#   [lectures](https://github.com/gpu-mode/lectures).
