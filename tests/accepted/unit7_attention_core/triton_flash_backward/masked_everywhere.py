"""Base e, masks everywhere, D by torch, the tile of scores with queries as rows in both kernels."""

import math
import os

import torch

os.environ.setdefault("TRITON_INTERPRET", "1")

import triton
import triton.language as tl


@triton.jit
def tile(
    Q, DO, K, V, L, R, i, j, Tq, Tk, scale, sqt, sqd, sot, sod, skt, skd, svt, svd, CAUSAL: tl.constexpr,
    D: tl.constexpr,
):  # fmt: skip
    d = tl.arange(0, D)
    q = tl.load(Q + i[:, None] * sqt + d[None, :] * sqd, mask=i[:, None] < Tq, other=0.0)
    do = tl.load(DO + i[:, None] * sot + d[None, :] * sod, mask=i[:, None] < Tq, other=0.0)
    k = tl.load(K + j[:, None] * skt + d[None, :] * skd, mask=j[:, None] < Tk, other=0.0)
    v = tl.load(V + j[:, None] * svt + d[None, :] * svd, mask=j[:, None] < Tk, other=0.0)
    lse = tl.load(L + i, mask=i < Tq, other=0.0)
    r = tl.load(R + i, mask=i < Tq, other=0.0)
    ok = (i[:, None] < Tq) & (j[None, :] < Tk)
    if CAUSAL:
        ok = ok & (j[None, :] <= i[:, None])
    s = tl.where(ok, tl.dot(q, tl.trans(k), input_precision="ieee") * scale - lse[:, None], -1e30)
    p = tl.exp(s)
    ds = p * (tl.dot(do, tl.trans(v), input_precision="ieee") - r[:, None]) * scale
    return q, do, k, p, ds


@triton.jit
def keys(
    Q, DO, K, V, L, R, DK, DV, H, Tq, Tk, scale, sqb, sqh, sqt, sqd, sob, soh, sot, sod, skb, skh, skt, skd,
    svb, svh, svt, svd, CAUSAL: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(0)
    b, h = pair // H, pair % H
    first = tl.program_id(1) * N
    j = first + tl.arange(0, N)
    dk = tl.zeros([N, D], tl.float32)
    dv = tl.zeros([N, D], tl.float32)
    for start in range(first if CAUSAL else 0, Tq, N):
        i = start + tl.arange(0, N)
        q, do, _, p, ds = tile(
            Q + b * sqb + h * sqh, DO + b * sob + h * soh, K + b * skb + h * skh, V + b * svb + h * svh, L + pair * Tq,
            R + pair * Tq, i, j, Tq, Tk, scale, sqt, sqd, sot, sod, skt, skd, svt, svd, CAUSAL, D,
        )  # fmt: skip
        dv += tl.dot(tl.trans(p.to(do.dtype)), do, input_precision="ieee")
        dk += tl.dot(tl.trans(ds.to(q.dtype)), q, input_precision="ieee")
    at = (pair * Tk + j[:, None]) * D + tl.arange(0, D)[None, :]
    tl.store(DK + at, dk.to(DK.dtype.element_ty), mask=j[:, None] < Tk)
    tl.store(DV + at, dv.to(DV.dtype.element_ty), mask=j[:, None] < Tk)


@triton.jit
def queries(
    Q, DO, K, V, L, R, DQ, H, Tq, Tk, scale, sqb, sqh, sqt, sqd, sob, soh, sot, sod, skb, skh, skt, skd,
    svb, svh, svt, svd, CAUSAL: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(0)
    b, h = pair // H, pair % H
    first = tl.program_id(1) * N
    i = first + tl.arange(0, N)
    dq = tl.zeros([N, D], tl.float32)
    for start in range(0, tl.minimum(Tk, first + N) if CAUSAL else Tk, N):
        j = start + tl.arange(0, N)
        _, _, k, _, ds = tile(
            Q + b * sqb + h * sqh, DO + b * sob + h * soh, K + b * skb + h * skh, V + b * svb + h * svh, L + pair * Tq,
            R + pair * Tq, i, j, Tq, Tk, scale, sqt, sqd, sot, sod, skt, skd, svt, svd, CAUSAL, D,
        )  # fmt: skip
        dq += tl.dot(ds.to(k.dtype), k, input_precision="ieee")
    at = (pair * Tq + i[:, None]) * D + tl.arange(0, D)[None, :]
    tl.store(DQ + at, dq.to(DQ.dtype.element_ty), mask=i[:, None] < Tq)


def flash_bwd(do, q, k, v, o, lse, is_causal=False):
    B, H, Tq, D = q.shape
    Tk, N = k.shape[2], 64
    r = (do.float() * o.float()).sum(-1)
    dq, dk, dv = (torch.zeros(t.shape, dtype=t.dtype, device=t.device) for t in (q, k, v))
    numbers = H, Tq, Tk, 1 / math.sqrt(D), *q.stride(), *do.stride(), *k.stride(), *v.stride()
    keys[(B * H, triton.cdiv(Tk, N))](q, do, k, v, lse, r, dk, dv, *numbers, CAUSAL=is_causal, D=D, N=N)
    queries[(B * H, triton.cdiv(Tq, N))](q, do, k, v, lse, r, dq, *numbers, CAUSAL=is_causal, D=D, N=N)
    return dq, dk, dv
