# %% [markdown]
# # Attention in tiles, forwards and backwards
#
# *Unit 7, page 2 of 4. Before: [the softmax of a stream](online_softmax.ipynb). Next: [splitting the
# keys](split_kv.ipynb). Papers: [Dao et al. 2022, FlashAttention](https://arxiv.org/abs/2205.14135), algorithms 1 and 4
# and section 3.1; [Dao 2023, FlashAttention-2](https://arxiv.org/abs/2307.08691), section 3.1; [Rabe and Staats 2021,
# Self-attention Does Not Need O(n²) Memory](https://arxiv.org/abs/2112.05682).*
#
# A GPU has two kinds of memory. There is a lot of the slow one (tens of gigabytes, called HBM, where tensors live) and
# very little of the fast one (a few hundred kilobytes beside each group of arithmetic units). The naive formula sends
# the $T \times T$ scores to the slow memory and fetches them back, twice. This page computes exactly the same attention
# without ever having all of the scores: a *tile* of them is made, used, and forgotten.
#
# ![Four blocks of queries by four blocks of keys. Tiles below the diagonal are full, those on it need a mask, those
# above it are skipped; one row of tiles carries maximum, sum and mixture along to its
# output](diagrams/tiled_attention.svg)
#
# ## Forward
#
# Cut the queries into blocks of `block_q` rows and the keys, with their values, into blocks of `block_k`. For one block
# of queries, go through the blocks of keys. Each brings a tile of scores, `block_q` by `block_k`, and that is a block
# of the stream of the [last page](online_softmax.ipynb). Beside the running maximum $m$ and the running sum $\ell$ of
# each row, carry a third thing along, the sum of the values weighted so far:
#
# $$S = \tfrac{1}{\sqrt D} Q_i K_j^\top, \qquad m' = \max(m, \mathrm{rowmax}(S)), \qquad P = e^{S - m'}$$
#
# $$\ell' = \ell \, e^{m - m'} + \mathrm{rowsum}(P), \qquad A' = A \, e^{m - m'} + P V_j$$
#
# $A$ is rescaled by the same factor as $\ell$, for the same reason. After the last block the output is $A / \ell$, and
# $L = m + \ln \ell$ is the logsumexp of the row. Keep $L$: it is one number per query, and all that the way back will
# need.
#
# ### An example to check by hand
#
# The query and keys of [unit 2](../unit2_self_attention/scaled_dot_product.ipynb): the scores are $\ln 3$ and $0$, the
# values $(4, 0)$ and $(0, 8)$, and the output is $(3, 2)$. With one key per block:
#
# | after | $m$ | $\ell$ | $A$ | | after, in the other order | $m$ | $\ell$ | $A$ |
# |---|---|---|---|---|---|---|---|---|
# | key 1 | $\ln 3$ | $1$ | $(4, 0)$ | | key 2 | $0$ | $1$ | $(0, 8)$ |
# | key 2 | $\ln 3$ | $1 + \frac13$ | $(4, \frac83)$ | | key 1 | $\ln 3$ | $\frac13 + 1$ | $(4, \frac83)$ |
#
# Both end with $A / \ell = (3, 2)$ and $L = \ln 3 + \ln \frac43 = \ln 4$. In the second order everything is rescaled by
# $e^{0 - \ln 3} = \frac13$; whoever forgets that for $A$ gets $(4, 8) / \frac43 = (3, 6)$.
#
# ### The edges
#
# A length need not be a multiple of the block. The last block is then shorter, and dropping it, or reading beyond it,
# is the classic bug of tiled code: with lengths like 128 in the tests nobody notices.
#
# Under the causal mask (query $i$ sees keys $0 \dots i$, top-left, as everywhere where the flag is called `is_causal`)
# there are three kinds of tiles. Those above the diagonal are empty: skip them, that is half of the work. Those below
# are full and need no mask. Only the tiles that the diagonal crosses need one, and "crosses" is where to be careful:
# with `block_q = 2` and `block_k = 3` the second block of queries, rows 2 and 3, meets the *second* block of keys, 3 to
# 5, in a single allowed pair, (3, 3).
#
# ```
#              keys  0 1 2   3 4 5          # allowed
#   queries 0        #       skip           · masked inside a tile
#           1        # # ·
#
#           2        # # #   · · ·
#           3        # # #   # · ·
# ```

# %%
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode


# %% [markdown]
# ## Exercise `tiled_attention`: attention in tiles (16 points)
#
# Loops over blocks in Python are slow, and that does not matter here: it is the algorithm that counts. [The last
# page](triton_kernels.ipynb) turns the same loops into a kernel. All examples and heads may be worked on at once; it is
# the two lengths that are cut.

# %%
def tiled_attention(
    q: Tensor, k: Tensor, v: Tensor, block_q: int = 64, block_k: int = 64, is_causal: bool = False
) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / √D) v and the logsumexp of its scores, with one tile of scores at a time.

    Args:
        q: queries (B, H, Tq, D), floating point.
        k: keys (B, H, Tk, D). v: values (B, H, Tk, Dv). Dtype and device as q. Dv may differ from D, Tk from Tq. All
            three may be non-contiguous views.
        block_q, block_k: how many queries and how many keys a tile has; at least 1. They need not divide the lengths,
            and may be larger.
        is_causal: if True, query i sees keys 0..i only (top-left, also where Tq and Tk differ).

    Returns:
        out: (B, H, Tq, Dv), dtype and device of q.
        lse: (B, H, Tq), the natural logarithm of Σ exp(scaled score) over the keys that the query sees; float64 for
            float64 inputs, else float32.
        Without keys (Tk = 0) out is 0 and lse is -inf; without queries (Tq = 0) both are empty. The result does not
        depend on the blocks, beyond rounding. Large scores (a few hundred) do not overflow. float16 and bfloat16 are
        computed in float32 inside: the error stays within 3 times that of the naive formula in the same dtype.

    Memory: no tensor made along the way, masks included, has more entries than a tile of scores, (B, H, block_q,
    block_k), or than the largest of q, k, v and out (in float32 or float64 too). No argument is changed. The result
    need not be differentiable.

    Work: with is_causal a tile that lies wholly above the diagonal is not computed. A fifth of the points are for time:
    a causal text of 1024 tokens (B = H = 1, D = 32, float32, tiles of 128, one thread) is timed against the naive
    formula with all its scores at once. Full marks where a call takes at most 0.8 times as long; parts of them up to
    1.25 times.

    Write the softmax of the stream yourself: `F.scaled_dot_product_attention`, `torch.nn.attention`,
    `nn.MultiheadAttention`, `torch.softmax`, `torch.logsumexp` and `autograder.given.attention_with_lse` may not be
    used.

    >>> q = torch.tensor([[[[2.0, 0.0, 0.0, 0.0]]]])
    >>> k = torch.tensor([[[[math.log(3.0), 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]]])
    >>> v = torch.tensor([[[[4.0, 0.0], [0.0, 8.0]]]])
    >>> out, lse = tiled_attention(q, k, v, block_q=1, block_k=1)
    >>> [round(x, 4) for x in out[0, 0, 0].tolist()], round(math.exp(lse[0, 0, 0]), 4)
    ([3.0, 2.0], 4.0)
    >>> out, lse = tiled_attention(q, k, v, is_causal=True)  # query 0 sees key 0 only: its score is ln 3
    >>> out[0, 0, 0].tolist(), round(math.exp(lse[0, 0, 0]), 4)
    ([4.0, 0.0], 3.0)
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## Backward
#
# The gradients of attention were derived in [unit 1](../unit1_attention_fundamentals/attention_from_scratch.ipynb).
# With $P$ the weights (normalised now, rows sum to 1), $O = PV$, and $\mathrm{d}O$ the gradient that arrives:
#
# $$\mathrm{d}V = P^\top \mathrm{d}O, \qquad \mathrm{d}P = \mathrm{d}O\, V^\top, \qquad
# \mathrm{d}S_{ij} = P_{ij} \Bigl(\mathrm{d}P_{ij} - \sum_{j'} P_{ij'} \,\mathrm{d}P_{ij'}\Bigr)$$
#
# $$\mathrm{d}Q = \tfrac1{\sqrt D}\, \mathrm{d}S \, K, \qquad \mathrm{d}K = \tfrac1{\sqrt D}\, \mathrm{d}S^\top Q$$
#
# Everything here has $T \times T$ entries, and autograd would have kept $P$ from the forward pass: at long lengths that
# is what fills the memory during training. Two observations make it go away.
#
# **The weights can be made again.** Given the logsumexp $L_i$ of its row, a weight needs no running maximum and no
# second pass: $P_{ij} = e^{S_{ij} - L_i}$. So a tile of $P$ costs one product, and nothing but $L$ need be kept.
#
# **The sum over the row is known beforehand.** The term in the bracket runs over *all* keys, which a tile does not see.
# But exchange two sums, and it is a product of two rows that are already there:
#
# $$\sum_{j} P_{ij}\, \mathrm{d}P_{ij} = \sum_j P_{ij} \sum_c \mathrm{d}O_{ic} V_{jc} = \sum_c \mathrm{d}O_{ic}
# \sum_j P_{ij} V_{jc} = \sum_c \mathrm{d}O_{ic} O_{ic} =: D_i$$
#
# So $D = \mathrm{rowsum}(\mathrm{d}O \circ O)$, one number per query, computed before the loops. (The name is the
# paper's; it has nothing to do with the width.)
#
# Then, for each pair of a block of queries and a block of keys, the tile adds its share to three gradients. Each of
# them is a sum over tiles: $\mathrm{d}Q_i$ over the blocks of keys, $\mathrm{d}K_j$ and $\mathrm{d}V_j$ over the blocks
# of queries.
#
# The price is one more product: five instead of four. Making $P$ again is *cheaper* than fetching it from slow memory,
# which is the surprising half of the FlashAttention paper.
#
# ### The example, backwards
#
# One query, $P = (\frac34, \frac14)$, $O = (3, 2)$. Let $\mathrm{d}O = (1, 0)$ arrive. Then $\mathrm{d}P = (4, 0)$, the
# first entries of the two values. $D = 1 \cdot 3 + 0 \cdot 2 = 3$, and indeed $\frac34 \cdot 4 + \frac14 \cdot 0 = 3$.
# So $\mathrm{d}S = (\frac34 \cdot (4 - 3),\; \frac14 \cdot (0 - 3)) = (\frac34, -\frac34)$, and with $\sqrt D = 2$ the
# gradient of the query is $\frac12 (\frac34 k_1 - \frac34 k_2)$: towards the key whose value was asked for more.

# %% [markdown]
# ## Exercise `flash_backward_tiled`: a backward pass that remembers nothing (20 points)
#
# A [`torch.autograd.Function`](https://docs.pytorch.org/docs/stable/notes/extending.html) is a pair of static methods.
# `forward(ctx, ...)` computes; what `backward` will need it puts away with `ctx.save_for_backward(...)`. `backward(ctx,
# grad)` receives the gradient of the output and returns one gradient per argument of `forward`, `None` for an argument
# that has none, such as a flag. It is called as `FlashAttention.apply(q, k, v, is_causal)`.
#
# In `forward` you may use your own `tiled_attention`. If that is not done yet, `from autograder.given import
# attention_with_lse` gives you a stand-in: `attention_with_lse(q, k, v, is_causal)` returns `(out, lse)`.

# %%
class FlashAttention(torch.autograd.Function):
    """Attention whose forward pass keeps (q, k, v, out, lse), and whose backward pass makes the weights again in tiles.

    FlashAttention.apply(q, k, v, is_causal) -> out

    Args of apply, all positional:
        q: (B, H, Tq, D), float32 or float64. k: (B, H, Tk, D). v: (B, H, Tk, Dv). As for tiled_attention, Tq, Tk ≥ 1.
        is_causal: bool; if True, query i sees keys 0..i only (top-left).

    Returns: out (B, H, Tq, Dv), dtype of q.

    Gradients flow to whichever of q, k and v require one (`ctx.needs_input_grad` tells; computing all three is fine),
    and have the dtype and shape of their tensors. They are those of the exact formula, for lengths that no block
    divides, for Tq ≠ Tk, causal or not. Calls are independent of one another. A second derivative is not asked for.
    Neither q, k and v nor the gradient that backward receives is changed.

    Memory, in forward and backward: for lengths from 1000 on, no tensor made along the way, masks included, has more
    than a quarter of the B · H · Tq · Tk entries that all scores have; and at length 6000 (B = H = 1, float32) both
    passes run within 128 MB, where several tensors of a quarter do not fit. What stays alive between forward and
    backward is out, one number per query, and at most a copy of q, k and v. How you keep it is up to you
    (ctx.save_for_backward is the usual way), and so is the size of your blocks; 128 is a good choice.

    Write backward yourself: torch.autograd.grad, .backward(), F.scaled_dot_product_attention, torch.nn.attention and
    nn.MultiheadAttention may not be used. torch.softmax and torch.logsumexp may.

    >>> q = torch.tensor([[[[2.0, 0.0, 0.0, 0.0]]]], requires_grad=True)
    >>> k = torch.tensor([[[[math.log(3.0), 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]]], requires_grad=True)
    >>> v = torch.tensor([[[[4.0, 0.0], [0.0, 8.0]]]], requires_grad=True)
    >>> out = FlashAttention.apply(q, k, v, False)
    >>> out.backward(torch.tensor([[[[1.0, 0.0]]]]))
    >>> [round(x, 4) for x in q.grad[0, 0, 0].tolist()]  # 3/8 · k1 - 3/8 · k2
    [0.412, -0.375, 0.0, 0.0]
    >>> [[round(x, 4) for x in row] for row in k.grad[0, 0].tolist()]  # ± 3/8 · q
    [[0.75, 0.0, 0.0, 0.0], [-0.75, 0.0, 0.0, 0.0]]
    >>> v.grad[0, 0].round(decimals=4).tolist()
    [[0.75, 0.0], [0.25, 0.0]]
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> Tensor:
        # YOUR CODE HERE
        raise NotImplementedError()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        # YOUR CODE HERE
        raise NotImplementedError()


# %% [markdown]
# ## What it costs, and what it buys
#
# Tiling does not save a single multiplication; the backward pass even needs more. What it saves is traffic. To see
# whether that matters, compare two numbers. The **arithmetic intensity** of a computation is its FLOPs per byte moved
# between the chip and its slow memory. The **ridge** of a machine is its FLOPs per second over its bytes per second.
# Below the ridge the memory is the limit, above it the arithmetic, and the picture of this is called a roofline
# ([Williams, Waterman and Patterson 2009](https://doi.org/10.1145/1498765.1498785)). An H100 SXM is sold with
# $989 \cdot 10^{12}$ dense bfloat16 FLOPs and $3.35 \cdot 10^{12}$ bytes per second ([NVIDIA's
# page](https://www.nvidia.com/en-us/data-center/h100/)), so its ridge lies near 295 FLOPs per byte.
#
# To count, one has to say what is counted. Two simple models, per pair of batch and head; $e$ is the size of one number
# of the tensors' dtype in bytes, and all logsumexps and row sums are float32, 4 bytes.
#
# | pass | products | reads and writes of $TD$ numbers | of $T^2$ numbers | of $T$ float32 |
# |---|---|---|---|---|
# | naive forward | $S$, $O$: **2** | $Q, K, V, O$: **4** | **4** | 0 |
# | naive backward | $dV, dP, dQ, dK$: **4** | $dO, dV, dO, V, K, dQ, Q, dK$: **8** | **7** | 0 |
# | flash forward | $S$, $O$: **2** | $Q, K, V, O$: **4** | 0 | $L$: **1** |
# | flash backward | $S$ and the four: **5** | $dO, O, Q, K, V, dO, dQ, dK, dV$: **9** | 0 | $D, D, L$: **3** |
#
# The four of the naive forward pass: $S$ out and in, $P$ out and in. The seven of the naive backward pass: $P$ in (for
# $dV$), $dP$ out, $P$ and $dP$ in and $dS$ out (through the softmax), $dS$ in twice (for $dQ$ and for $dK$). Flash
# backward first makes $D$ from $dO$ and $O$ and writes it, then does the rest in one go. Scale and mask are taken to
# ride along for free.
#
# Each product is $2 T^2 D$ FLOPs. With a causal mask half of the pairs are of use, and by convention (also that of the
# [FlashAttention benchmarks](https://github.com/Dao-AILab/flash-attention)) the FLOPs are halved, exactly, for both
# models, even though the naive one computes the other half too and throws it away. Its traffic is not halved. Softmax
# and scale are not counted.

# %% [markdown]
# ## Exercise `attention_roofline`: the cost, and an honest stopwatch (12 points)
#
# The second function is a benchmark, and there are three ways to get it wrong that everybody has tried.
#
# 1. **A GPU works on its own.** `fn()` returns as soon as the work is *queued*, so a stopwatch around it measures how
#    long it takes to ask. Wait until the device is done, before starting the clock (something may still be running)
#    and before stopping it.
# 2. **The first calls are slow**: compilers run, memory is allocated, caches are cold. Call a few times without
#    looking.
# 3. **Now and then a call is slow for a reason of its own.** One such call ruins a mean. The median does not care.
#
# So that this can be checked on any machine, without measuring anything, the device's `synchronize` and the `clock` are
# arguments. A check brings its own: a clock that only moves when work is done.

# %%
def attention_cost(
    B: int, H: int, T: int, D: int, dtype: torch.dtype, causal: bool, flash: bool, backward: bool = False
) -> dict[str, int | float]:
    """What one attention pass costs by the models of the table above, with T queries, T keys and width D throughout.

    Args:
        B, H, T, D: batch, heads, length and width of a head.
        dtype: of q, k, v, the output, all gradients and, in the naive model, of all T × T arrays. Its size in bytes is
            dtype.itemsize.
        causal: halves the FLOPs, exactly; nothing else.
        flash: the flash model instead of the naive one.
        backward: the backward pass alone, instead of the forward pass.

    Returns a dict:
        "flops": of the matrix products (a multiplication and an addition are two); a whole number.
        "hbm_bytes": everything that the pass reads from slow memory or writes to it, all three columns of the table; a
            whole number.
        "intensity": flops / hbm_bytes.
        "peak_temp_bytes": what lies in slow memory at once beside q, k, v, the output and their gradients. Naive: S and
            P going forward, P, dP and dS going backward. Flash: the logsumexp going forward, the logsumexp and D going
            backward. A whole number.

    >>> cost = attention_cost(1, 1, 4, 2, torch.float16, causal=False, flash=False)
    >>> cost["flops"], cost["hbm_bytes"], cost["peak_temp_bytes"]
    (128, 192, 64)
    >>> cost = attention_cost(1, 1, 4, 2, torch.float16, causal=True, flash=True, backward=True)
    >>> cost["flops"], cost["hbm_bytes"], cost["peak_temp_bytes"]
    (160, 192, 32)
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def benchmark(
    fn: Callable[[], object],
    flops: float,
    *,
    warmup: int = 3,
    repeats: int = 10,
    synchronize: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """How long one call of fn takes, with everything that it starts on the device.

    Args:
        fn: what to measure. It may return before its work is done.
        flops: the FLOPs of one call.
        warmup: how many calls come first and do not count; may be 0.
        repeats: how many calls are measured, each one alone; at least 1.
        synchronize: waits until all work that was started is done. None: torch.cuda.synchronize where there is a GPU,
            otherwise nothing is waited for.
        clock: the time now, in seconds. It moves on during a measured call: the median is never 0.

    Returns a dict:
        "median_ms": the median of the measured calls' times, in milliseconds; for an even number of them the mean of
            the two in the middle.
        "tflops": 10¹² FLOPs per second at the median.
        fn is called exactly warmup + repeats times. The time of a measured call runs from a moment at which the device
        has nothing left to do to the moment at which the call's own work is done.

    >>> now, started = [0.0], [0.0]
    >>> def launch():  # asking takes 1 ms; the work, 20 ms, begins then
    ...     now[0] += 0.001
    ...     started[0] = now[0] + 0.020
    >>> def wait():
    ...     now[0] = max(now[0], started[0])
    >>> found = benchmark(launch, 42e9, synchronize=wait, clock=lambda: now[0])
    >>> round(found["median_ms"], 6), round(found["tflops"], 6)
    (21.0, 2.0)
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% [markdown]
# ## The pictures
#
# **Memory.** How many bytes of new tensors are alive at once, counted while the function runs. The counter below is a
# `TorchDispatchMode`: torch tells it about every operation, and it looks at the storage of each result. On logarithmic
# axes a power law is a straight line, and its slope is the exponent: 2 for the naive formula, near 1 for the tiled one.
#
# **Roofline.** The models of the table at $D = 128$ in bfloat16, against the two limits of the data sheet. This is
# arithmetic on paper, and no measurement. However long the text, the naive formula stays below the ridge: both its
# FLOPs and its traffic grow with $T^2$, and $T$ cancels. In the flash model the traffic grows with $T$ only, so the
# intensity grows with $T$, and a long text can in principle keep the arithmetic units busy. Real kernels read keys and
# values more than once (from the cache of the chip, if all goes well); what is drawn is the ceiling.
#
# Next: a single query, a very long cache, and many processors. [Splitting the keys](split_kv.ipynb).

# %%
LENGTHS = [512, 1024, 2048, 4096]


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the storages that come into being while it is active; `peak` is the most alive at once."""

    def __init__(self, *known: Tensor) -> None:
        super().__init__()
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self._known:
                storage = tensor.untyped_storage()
                self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._alive = {key: pair for key, pair in self._alive.items() if not pair[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


def naive_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Equation 1, with all scores and all weights at once."""
    return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), dim=-1) @ v


def figure_data() -> Tensor:
    """(2, 4): peak bytes of the naive formula and of tiled_attention at each of LENGTHS, one head of width 64."""
    peaks = []
    for function in (naive_attention, lambda q, k, v: tiled_attention(q, k, v, 64, 64)):
        for T in LENGTHS:
            q, k, v = torch.randn(3, 1, 1, T, 64, generator=torch.Generator().manual_seed(0))
            with PeakMemory(q, k, v) as memory:
                function(q, k, v)
            peaks.append(memory.peak)
    return torch.tensor(peaks, dtype=torch.float64).reshape(2, -1)


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    naive, tiled = figure_data()
    fig, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for peaks, label, marker in ((naive, "naive", "o"), (tiled, "tiled, 64 by 64", "s")):
        slope = math.log(peaks[-1] / peaks[-2]) / math.log(LENGTHS[-1] / LENGTHS[-2])
        ax.loglog(LENGTHS, peaks, marker=marker, label=f"{label} (slope at the end {slope:.2f})", base=2)
    ax.set_yscale("log", base=10)
    ax.set_xlabel("length T (one head of width 64, float32)")
    ax.set_ylabel("bytes of new tensors alive at once")
    ax.set_title("What attention keeps in memory (counted on the CPU)")
    ax.legend()
    fig.savefig("memory_vs_T.png", dpi=120)

    peak_flops, bandwidth = 989e12, 3.35e12  # H100 SXM data sheet: dense bfloat16, HBM3
    fig, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
    intensities = torch.logspace(0, 5, 200, dtype=torch.float64)
    ax.loglog(intensities, (intensities * bandwidth).clamp(max=peak_flops) / 1e12, color="black", label="roofline")
    for flash, name, marker in ((False, "naive", "o"), (True, "flash", "s")):
        for backward, colour in ((False, "tab:blue"), (True, "tab:orange")):
            lengths = [512, 2048, 8192, 32768]
            found = [attention_cost(1, 1, T, 128, torch.bfloat16, False, flash, backward)["intensity"] for T in lengths]
            ceiling = [min(x * bandwidth, peak_flops) / 1e12 for x in found]
            label = f"{name} {'backward' if backward else 'forward'}"
            ax.loglog(found, ceiling, marker=marker, color=colour, linestyle="", label=label, alpha=0.7)
    ax.set_xlabel("arithmetic intensity (FLOPs per byte of slow memory)")
    ax.set_ylabel("ceiling, 10¹² FLOPs per second")
    ax.set_title("A model, no measurement: D = 128, T = 512, 2048, 8192, 32768")
    ax.legend(loc="lower right")
    fig.savefig("roofline.png", dpi=120)
    plt.show()

# %% [markdown]
# ## Further reading
#
# - Dao et al. 2022, [FlashAttention](https://arxiv.org/abs/2205.14135); Dao 2023,
#   [FlashAttention-2](https://arxiv.org/abs/2307.08691); Rabe and Staats 2021, [Self-attention does not need O(n²)
#   memory](https://arxiv.org/abs/2112.05682).
# - Horace He, [Making deep learning go brrrr](https://horace.io/brrr_intro.html): compute, bandwidth, overhead.
# - Stanford [CS336](https://stanford-cs336.github.io/), the lectures on GPUs and kernels.
