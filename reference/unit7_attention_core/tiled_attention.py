"""Reference of the page `tiled_attention`: all scores at once, gradients by autograd, costs step by step."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor


def _scores(q: Tensor, k: Tensor, is_causal: bool) -> Tensor:
    """All scaled scores (B, H, Tq, Tk), -inf where query i may not see key j."""
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    scores = torch.einsum("bhid,bhjd->bhij", q.to(wide), k.to(wide)) * q.shape[-1] ** -0.5
    if is_causal:
        for i in range(q.shape[2]):
            scores[:, :, i, i + 1 :] = -math.inf
    return scores


def tiled_attention(
    q: Tensor, k: Tensor, v: Tensor, block_q: int = 64, block_k: int = 64, is_causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Weights exp(score - lse), all at once; the blocks make no difference."""
    scores = _scores(q, k, is_causal)
    lse = torch.logsumexp(scores, dim=-1)
    weights = torch.exp(scores - lse[..., None])
    return torch.einsum("bhij,bhjd->bhid", weights, v.to(scores.dtype)).to(q.dtype), lse


class FlashAttention:
    """The same, as an object with an `apply` that autograd can differentiate."""

    @staticmethod
    def apply(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> Tensor:
        wide = torch.float64 if q.dtype == torch.float64 else torch.float32
        allowed = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool)
        if is_causal:
            allowed = torch.arange(k.shape[2])[None, :] <= torch.arange(q.shape[2])[:, None]
        scores = torch.einsum("bhid,bhjd->bhij", q.to(wide), k.to(wide)) * q.shape[-1] ** -0.5
        weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1)
        return torch.einsum("bhij,bhjd->bhid", weights, v.to(wide)).to(q.dtype)


def attention_cost(
    B: int, H: int, T: int, D: int, dtype: torch.dtype, causal: bool, flash: bool, backward: bool = False
) -> dict[str, int | float]:
    """Goes through the steps of each model and adds up the bytes of what they name."""
    size = {"T": 4 * B * H * T, "TD": dtype.itemsize * B * H * T * D, "TT": dtype.itemsize * B * H * T * T}
    kinds = {"L": "T", "R": "T", "S": "TT", "P": "TT", "dP": "TT", "dS": "TT"}
    steps = {  # (read, written) by each step; the products among the steps
        (False, False): (["QK>S", "S>P", "PV>O"], 2, "S P"),
        (False, True): (["P dO>dV", "dO V>dP", "P dP>dS", "dS K>dQ", "dS Q>dK"], 4, "P dP dS"),
        (True, False): (["Q K V>O L"], 2, "L"),
        (True, True): (["dO O>R", "Q K V dO L R>dQ dK dV"], 5, "L R"),
    }
    names, products, alive = steps[(flash, backward)]
    moved = 0
    for step in names:
        for name in step.replace("QK", "Q K").replace("PV", "P V").replace(">", " ").split():
            moved += size[kinds.get(name, "TD")]
    flops = products * B * H * T * T * D if causal else 2 * products * B * H * T * T * D
    temporary = sum(size[kinds[name]] for name in alive.split())
    return {"flops": flops, "hbm_bytes": moved, "intensity": flops / moved, "peak_temp_bytes": temporary}


def benchmark(
    fn: Callable[[], object],
    flops: float,
    *,
    warmup: int = 3,
    repeats: int = 10,
    synchronize: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """All calls are timed, the first are thrown away, and the middle of the sorted rest is taken."""
    wait = synchronize or (lambda: None)
    times = []
    for _ in range(warmup + repeats):
        wait()
        before = clock()
        fn()
        wait()
        times.append(clock() - before)
    ordered = sorted(times[warmup:])
    middle = (ordered[(repeats - 1) // 2] + ordered[repeats // 2]) / 2
    return {"median_ms": middle * 1000, "tflops": flops / middle * 1e-12}
