"""The forward pass is the one given; the backward pass takes strips of 50 queries, with their keys at once."""

import math

import torch

from autograder.given import attention_with_lse


class FlashAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, is_causal):
        out, lse = attention_with_lse(q, k, v, is_causal)
        ctx.is_causal = is_causal
        ctx.save_for_backward(q, k, v, lse, out)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, lse, out = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        dq = torch.empty_like(q)
        dk, dv = torch.zeros_like(k), torch.zeros_like(v)
        for i in range(0, q.shape[2], 50):
            part = slice(i, i + 50)
            end = min(k.shape[2], i + 50) if ctx.is_causal else k.shape[2]
            scores = scale * (q[:, :, part] @ k[:, :, :end].mT)
            if ctx.is_causal:
                scores = scores + torch.full(scores.shape[-2:], -math.inf, dtype=q.dtype).triu(i + 1)
            p = torch.exp(scores - lse[:, :, part, None])
            dv[:, :, :end] += p.mT @ grad[:, :, part]
            dp = grad[:, :, part] @ v[:, :, :end].mT - (grad[:, :, part] * out[:, :, part]).sum(-1, keepdim=True)
            dp = dp.mul_(p).mul_(scale)
            dq[:, :, part] = dp @ k[:, :, :end]
            dk[:, :, :end] += dp.mT @ q[:, :, part]
        return dq, dk, dv, None
