"""cumsum for the lengths, an outer product of 0 and 1 for the combination."""

import torch


def lengths_to_mask(lengths, T):
    position = torch.ones((len(lengths), T), dtype=torch.long, device=lengths.device).cumsum(dim=1)  # 1, 2, ..., T
    return position.le(lengths.unsqueeze(1))


def combine_masks(key_mask, causal=None):
    if causal is None:
        return key_mask.unsqueeze(1).unsqueeze(1)
    both = torch.einsum("bk,qk->bqk", key_mask.to(torch.float32), causal.to(torch.float32))
    return (both > 0.5).unsqueeze(1)
