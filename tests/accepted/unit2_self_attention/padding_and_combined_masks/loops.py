"""Loops over the examples, and full-size masks instead of broadcasting."""

import torch


def lengths_to_mask(lengths, T):
    mask = torch.zeros((lengths.shape[0], T), dtype=torch.bool, device=lengths.device)
    for b in range(lengths.shape[0]):
        mask[b, : int(lengths[b])] = True
    return mask


def combine_masks(key_mask, causal=None):
    B, Tk = key_mask.shape
    if causal is None:
        return key_mask.clone().view(B, 1, 1, Tk)
    out = torch.empty((B, 1, causal.shape[0], Tk), dtype=torch.bool, device=key_mask.device)
    for b in range(B):
        for i in range(causal.shape[0]):
            out[b, 0, i] = torch.logical_and(key_mask[b], causal[i])
    return out
