"""Reference of the page `triton_kernels`: float64 throughout, one head at a time, gradients by autograd."""

import math

import torch
from torch import Tensor


def _head(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> tuple[Tensor, Tensor]:
    """Output (Tq, D) and logsumexp (Tq,) of one head."""
    scores = (q @ k.T) / math.sqrt(q.shape[-1])
    if is_causal:
        later = torch.arange(k.shape[0])[None, :] > torch.arange(q.shape[0])[:, None]
        scores = scores.masked_fill(later, -math.inf)
    return torch.softmax(scores, dim=-1) @ v, torch.logsumexp(scores, dim=-1)


def exact_forward(q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> tuple[Tensor, Tensor]:
    """As flash_fwd, in float64."""
    heads = [
        [_head(q[b, h].double(), k[b, h].double(), v[b, h].double(), is_causal) for h in range(q.shape[1])]
        for b in range(q.shape[0])
    ]
    return tuple(torch.stack([torch.stack([pair[i] for pair in row]) for row in heads]) for i in (0, 1))  # type: ignore[return-value]


def exact_backward(do: Tensor, q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> tuple[Tensor, ...]:
    """The gradients of q, k and v, in float64."""
    leaves = [t.double().clone().requires_grad_() for t in (q, k, v)]
    o, _ = exact_forward(*leaves, is_causal)
    return torch.autograd.grad(o, leaves, do.double())


def flash_fwd(q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> tuple[Tensor, Tensor]:
    """Rounded once, at the end."""
    o, lse = exact_forward(q, k, v, is_causal)
    return o.to(q.dtype), lse.float()


def flash_bwd(
    do: Tensor, q: Tensor, k: Tensor, v: Tensor, o: Tensor, lse: Tensor, is_causal: bool = False
) -> tuple[Tensor, ...]:
    """Rounded once, at the end; o and lse are not needed."""
    return tuple(grad.to(q.dtype) for grad in exact_backward(do, q, k, v, is_causal))


def decode_attention(q: Tensor, k_cache: Tensor, v_cache: Tensor, lengths: Tensor) -> Tensor:
    """One text and one query head at a time, on the used part of the cache."""
    o = torch.zeros(q.shape, dtype=torch.float64)
    per_group = q.shape[1] // k_cache.shape[1]
    for b, length in enumerate(lengths.tolist()):
        for h in range(q.shape[1] if length else 0):
            keys, values = (cache[b, h // per_group, :length].double() for cache in (k_cache, v_cache))
            o[b, h] = _head(q[b, h].double()[None], keys, values, False)[0][0]
    return o.to(q.dtype)
