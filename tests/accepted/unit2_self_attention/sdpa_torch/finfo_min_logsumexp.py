"""The smallest finite number as fill, weights as exp(score - logsumexp), times the mask for the empty rows."""

import math

import torch


def scaled_dot_product_attention(
    q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, generator=None, *, eps=0.0
):
    original = q.dtype
    if original in (torch.float16, torch.bfloat16):
        q, k, v = q.float(), k.float(), v.float()
    factor = scale if scale is not None else 1 / math.sqrt(q.shape[-1])
    scores = torch.matmul(q, k.transpose(-2, -1)).mul(factor)
    mask = torch.ones(scores.shape, dtype=torch.bool, device=q.device)
    if attn_mask is not None:
        mask = torch.logical_and(mask, attn_mask)
    if is_causal:
        rows = torch.arange(q.shape[-2], device=q.device).unsqueeze(1)
        columns = torch.arange(k.shape[-2], device=q.device).unsqueeze(0)
        mask = torch.logical_and(mask, columns <= rows)
    scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True)) * mask
    if dropout_p > 0.0:
        weights = weights * (torch.rand(weights.shape, generator=generator, device=q.device) > dropout_p)
        weights = weights / (1.0 - dropout_p)
    return torch.matmul(weights, v).to(original)
