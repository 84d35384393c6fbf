"""Sums of elementwise products, base e, one program per text, group and piece of 64 keys; merged by torch."""

import math
import os

import torch

os.environ.setdefault("TRITON_INTERPRET", "1")

import triton
import triton.language as tl


@triton.jit
def piece(
    Q, K, V, LENGTHS, O, L, sqb, sqh, sqd, skb, skh, sks, skd, svb, svh, svs, svd, Hkv, pieces, scale,
    G: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0) // Hkv
    g = tl.program_id(0) % Hkv
    n = tl.program_id(1)
    length = tl.load(LENGTHS + b)
    j = n * N + tl.arange(0, N)
    d = tl.arange(0, D)
    ok = j < length
    k = tl.load(K + b * skb + g * skh + j[:, None] * sks + d[None, :] * skd, mask=ok[:, None], other=0.0).to(tl.float32)
    v = tl.load(V + b * svb + g * svh + j[:, None] * svs + d[None, :] * svd, mask=ok[:, None], other=0.0).to(tl.float32)
    for h in range(0, G):
        q = tl.load(Q + b * sqb + (g * G + h) * sqh + d * sqd).to(tl.float32)
        s = tl.where(ok, tl.sum(k * q[None, :], 1) * scale, float("-inf"))
        m = tl.maximum(tl.max(s, 0), -1e30)
        p = tl.exp(s - m)
        l = tl.sum(p, 0)
        row = ((b * Hkv + g) * G + h) * pieces + n
        tl.store(O + row * D + d, tl.sum(p[:, None] * v, 0) / tl.maximum(l, 1e-30))
        tl.store(L + row, tl.where(l > 0, m + tl.log(tl.maximum(l, 1e-30)), float("-inf")))


def decode_attention(q, k_cache, v_cache, lengths):
    B, Hq, D = q.shape
    Hkv, S = k_cache.shape[1], k_cache.shape[2]
    pieces = triton.cdiv(S, 64)
    o = torch.empty(B, Hq, pieces, D, device=q.device)
    lse = torch.empty(B, Hq, pieces, device=q.device)
    piece[(B * Hkv, pieces)](
        q, k_cache, v_cache, lengths, o, lse, *q.stride(), *k_cache.stride(), *v_cache.stride(), Hkv, pieces,
        1 / math.sqrt(D), G=Hq // Hkv, D=D, N=64,
    )  # fmt: skip
    top = lse.amax(-1, keepdim=True).clamp(min=-1e30)
    mass = (lse - top).exp()
    return ((mass[..., None] * o).sum(2) / mass.sum(2, keepdim=True).clamp(min=1e-30)).to(q.dtype)
