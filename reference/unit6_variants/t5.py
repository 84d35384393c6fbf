"""Reference of the page `t5`: spans by walking along the text, cuts by shuffling flags, heads one at a time."""

import numpy as np
import torch
from torch import nn


def apply_span_mask(tokens, noise, sentinel0, eos):
    """One token after the other."""
    inputs, targets, spans = [], [], 0
    for t, token in enumerate(tokens.tolist()):
        if not noise[t]:
            inputs.append(token)
            continue
        if t == 0 or not noise[t - 1]:
            inputs.append(sentinel0 - spans)
            targets.append(sentinel0 - spans)
            spans += 1
        targets.append(token)
    inputs.append(eos)
    targets += [sentinel0 - spans, eos]
    return np.array(inputs, dtype=tokens.dtype), np.array(targets, dtype=tokens.dtype)


def numbers(T, density, mean_len):
    """How many tokens are cut out, and in how many spans."""
    n = int(np.clip(round(T * density), 1, T - 1))
    return n, int(np.clip(round(n / mean_len), 1, min(n, T - n)))


def random_spans_mask(T, density, mean_len, generator):
    """Flags that say where a new piece begins, shuffled."""
    n, k = numbers(T, density, mean_len)
    mask, kinds = [], []
    for total in (T - n, n):
        flags = generator.permutation(np.arange(total - 1) < k - 1)
        kinds.append(np.bincount(np.concatenate([[0], np.cumsum(flags)])).tolist())
    for kept, cut in zip(*kinds, strict=True):
        mask += [False] * kept + [True] * cut
    return np.array(mask)


class _Norm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return self.weight * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)


class _Attention(nn.Module):
    def __init__(self, d, d_kv, heads):
        super().__init__()
        self.d_kv, self.heads = d_kv, heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(d, heads * d_kv, bias=False) for _ in range(3))
        self.out_proj = nn.Linear(heads * d_kv, d, bias=False)

    def forward(self, x, source, allowed, bias):
        B, T, S = len(x), x.shape[1], source.shape[1]
        allowed = torch.broadcast_to(torch.tensor(True) if allowed is None else allowed, (B, self.heads, T, S))
        found = []
        for h in range(self.heads):
            rows = slice(h * self.d_kv, (h + 1) * self.d_kv)
            q, k, v = (f(y)[..., rows] for f, y in ((self.q_proj, x), (self.k_proj, source), (self.v_proj, source)))
            scores = torch.einsum("bid,bjd->bij", q, k)
            if bias is not None:
                scores = scores + bias[:, h]
            share = torch.exp(scores - scores.detach().amax(-1, keepdim=True)) * allowed[:, h]
            total = share.sum(-1, keepdim=True)
            found.append(torch.einsum("bij,bjd->bid", share / (total + (total == 0)), v))
        return self.out_proj(torch.cat(found, dim=-1))


class _Network(nn.Module):
    def __init__(self, d, d_ff):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, d_ff, bias=False), nn.Linear(d_ff, d, bias=False)

    def forward(self, x):
        hidden = self.fc1(x)
        return self.fc2(hidden * (hidden > 0))


class T5Block(nn.Module):
    """A layer of T5 1.0."""

    def __init__(self, d, d_kv, H, d_ff, is_decoder):
        super().__init__()
        self.is_decoder = is_decoder
        self.norm1, self.self_attn, self.norm2 = _Norm(d), _Attention(d, d_kv, H), _Norm(d)
        if is_decoder:
            self.cross_attn, self.norm3 = _Attention(d, d_kv, H), _Norm(d)
        self.ffn = _Network(d, d_ff)

    def forward(self, x, bias, memory=None, mask=None, memory_mask=None):
        allowed = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
        if self.is_decoder:
            place = torch.arange(x.shape[1])
            allowed = place[None, :] <= place[:, None]
        if mask is not None:
            allowed = allowed & mask
        x = x + self.self_attn(self.norm1(x), self.norm1(x), allowed, bias)
        if not self.is_decoder:
            return x + self.ffn(self.norm2(x))
        x = x + self.cross_attn(self.norm2(x), memory, memory_mask, None)
        return x + self.ffn(self.norm3(x))
