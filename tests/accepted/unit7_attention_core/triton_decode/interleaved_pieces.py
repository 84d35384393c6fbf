"""Piece n takes every n-th tile of keys; the merge kernel divides by the sums."""

import math
import os

import torch

os.environ.setdefault("TRITON_INTERPRET", "1")

import triton
import triton.language as tl


@triton.jit
def part(
    Q, K, V, LENGTHS, A, M, L, q0, q1, q2, k0, k1, k2, k3, v0, v1, v2, v3, Hkv, factor,
    G: tl.constexpr, R: tl.constexpr, D: tl.constexpr, N: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    n, g, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    rows = tl.arange(0, R)
    d = tl.arange(0, D)
    real = rows < G
    q = tl.load(Q + b * q0 + (g * G + rows[:, None]) * q1 + d[None, :] * q2, mask=real[:, None], other=0.0)
    m = tl.full([R], -1e30, tl.float32)
    l = tl.zeros([R], tl.float32)
    acc = tl.zeros([R, D], tl.float32)
    length = tl.load(LENGTHS + b)
    for start in range(n * N, length, P * N):
        j = start + tl.arange(0, N)
        ok = j < length
        k = tl.load(K + b * k0 + g * k1 + j[None, :] * k2 + d[:, None] * k3, mask=ok[None, :], other=0.0)
        v = tl.load(V + b * v0 + g * v1 + j[:, None] * v2 + d[None, :] * v3, mask=ok[:, None], other=0.0)
        s = tl.where(ok[None, :], tl.dot(q, k, input_precision="ieee") * factor, -1e30)
        new = tl.maximum(m, tl.max(s, 1))
        p = tl.where(ok[None, :], tl.exp2(s - new[:, None]), 0.0)
        l = l * tl.exp2(m - new) + tl.sum(p, 1)
        acc = acc * tl.exp2(m - new)[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
        m = new
    at = ((b * Hkv + g) * G + rows) * P + n
    tl.store(A + at[:, None] * D + d[None, :], acc, mask=real[:, None])
    tl.store(M + at, m, mask=real)
    tl.store(L + at, l, mask=real)


@triton.jit
def merge(A, M, L, O, D: tl.constexpr, P: tl.constexpr):
    row = tl.program_id(0)
    d = tl.arange(0, D)
    m = -1e30
    l = 0.0
    acc = tl.zeros([D], tl.float32)
    for n in range(0, P):
        here = tl.load(M + row * P + n)
        new = tl.maximum(m, here)
        old, fresh = tl.exp2(m - new), tl.exp2(here - new)
        l = l * old + tl.load(L + row * P + n) * fresh
        acc = acc * old + tl.load(A + (row * P + n) * D + d) * fresh
        m = new
    tl.store(O + row * D + d, (acc / tl.maximum(l, 1e-30)).to(O.dtype.element_ty))


def decode_attention(q, k_cache, v_cache, lengths):
    B, Hq, D = q.shape
    Hkv, P = k_cache.shape[1], 4
    G = Hq // Hkv
    acc = torch.empty(B, Hq, P, D, device=q.device)
    m, l = torch.empty(B, Hq, P, device=q.device), torch.empty(B, Hq, P, device=q.device)
    out = torch.empty(B, Hq, D, dtype=q.dtype, device=q.device)
    R = max(16, triton.next_power_of_2(G))
    part[(P, Hkv, B)](
        q, k_cache, v_cache, lengths, acc, m, l, *q.stride(), *k_cache.stride(), *v_cache.stride(), Hkv,
        math.log2(math.e) / math.sqrt(D), G=G, R=R, D=D, N=32, P=P,
    )  # fmt: skip
    merge[(B * Hq,)](acc, m, l, out, D=D, P=P)
    return out
