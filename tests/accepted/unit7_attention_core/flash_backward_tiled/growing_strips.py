"""Strips of a hundred queries by the keys that they see, and a causal mask; what is kept lies in a plain attribute."""

import math

import torch


class FlashAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, is_causal):
        n = 100
        outs, lses = [], []
        Tk = k.shape[-2]
        pos = torch.arange(Tk, device=q.device)
        for i, part in enumerate(q.split(n, -2)):
            end = min(Tk, (i * n + part.shape[-2])) if is_causal else Tk
            s = part @ k[..., :end, :].mT / math.sqrt(q.shape[-1])
            if is_causal:
                row = torch.arange(i * n, i * n + part.shape[-2], device=q.device)
                s = s.masked_fill(pos[:end] > row[:, None], -math.inf)
            lse = torch.logsumexp(s, -1, keepdim=True)
            outs.append((s - lse).exp_() @ v[..., :end, :])
            lses.append(lse)
        out = torch.cat(outs, -2)
        ctx.saved = (q, k, v, out.detach(), torch.cat(lses, -2))
        ctx.is_causal = is_causal
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, out, lse = ctx.saved
        scale, n = 1 / math.sqrt(q.shape[-1]), 100
        delta = torch.einsum("bhtd,bhtd->bht", grad, out)[..., None]
        dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))
        Tk = k.shape[-2]
        for i in range(0, q.shape[-2], n):
            j = min(i + n, q.shape[-2])
            end = min(Tk, j) if ctx.is_causal else Tk
            p = torch.exp(q[..., i:j, :] @ k[..., :end, :].mT * scale - lse[..., i:j, :])
            if ctx.is_causal:
                p = p.masked_fill(torch.arange(end, device=q.device) > torch.arange(i, j, device=q.device)[:, None], 0)
            g = grad[..., i:j, :]
            dv[..., :end, :] += p.mT @ g
            p = p * (g @ v[..., :end, :].mT - delta[..., i:j, :]) * scale
            dq[..., i:j, :] = p @ k[..., :end, :]
            dk[..., :end, :] += p.mT @ q[..., i:j, :]
        return dq, dk, dv, None
