"""Reference of the page `scaled_dot_product`: sums written as einsum, masks as multiplication, one pair at a time."""

import torch
from torch import Tensor


def scaled_dot_product_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """softmax(q kᵀ · scale) v over the allowed keys, each softmax spelled out as exponentials over their sum."""
    q_len, d_k = q.shape[-2:]
    kv_len = k.shape[-2]
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    if scale is None:
        scale = d_k**-0.5

    allowed = torch.ones(*q.shape[:-1], kv_len, dtype=torch.bool, device=q.device)
    if attn_mask is not None:
        allowed = allowed & attn_mask
    if is_causal:
        for i in range(q_len):
            allowed[..., i, i + 1 :] = False

    # Forbidden scores are replaced before they are used, so that neither they nor their gradients matter.
    scores = torch.einsum("...id,...jd->...ij", q.to(wide), k.to(wide)) * scale
    scores = torch.where(allowed, scores, torch.zeros_like(scores))
    if kv_len > 0:
        largest = scores.masked_fill(~allowed, -torch.inf).amax(dim=-1, keepdim=True).detach()
        scores = scores - torch.where(largest.isinf(), torch.zeros_like(largest), largest)
    # The inner `where` keeps the exponential of a forbidden pair from overflowing.
    exponentials = torch.exp(torch.where(allowed, scores, torch.zeros_like(scores))) * allowed
    total = exponentials.sum(dim=-1, keepdim=True)
    weights = exponentials / torch.where(total == 0, torch.ones_like(total), total)

    if dropout_p > 0:
        survive = torch.full_like(weights, 1 - dropout_p).detach()
        weights = weights * torch.bernoulli(survive, generator=generator) / (1 - dropout_p)
    return torch.einsum("...ij,...jd->...id", weights, v.to(wide)).to(q.dtype)


def causal_mask(
    Tq: int, Tk: int | None = None, offset: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    """True where key j ≤ query i + offset; offset defaults to Tk − Tq."""
    if Tk is None:
        Tk = Tq
    if offset is None:
        offset = Tk - Tq
    mask = torch.zeros(Tq, Tk, dtype=torch.bool, device=device)
    for i in range(Tq):
        mask[i, : max(0, i + 1 + offset)] = True
    return mask


def lengths_to_mask(lengths: Tensor, T: int) -> Tensor:
    """(B, T): the first lengths[b] entries of row b are True."""
    mask = torch.zeros(len(lengths), T, dtype=torch.bool, device=lengths.device)
    for b, length in enumerate(lengths.tolist()):
        mask[b, :length] = True
    return mask


def combine_masks(key_mask: Tensor, causal: Tensor | None = None) -> Tensor:
    """(B, 1, Tq, Tk): key_mask[b, j] and causal[i, j]; (B, 1, 1, Tk) without causal."""
    if causal is None:
        return key_mask.clone().reshape(key_mask.shape[0], 1, 1, key_mask.shape[1])
    mask = torch.zeros(len(key_mask), 1, *causal.shape, dtype=torch.bool, device=key_mask.device)
    for b, keys in enumerate(key_mask):
        mask[b, 0] = causal & keys
    return mask
