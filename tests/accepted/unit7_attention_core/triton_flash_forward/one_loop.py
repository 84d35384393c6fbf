"""One loop, masked everywhere, base e, one axis of programs, tiles of 64 by 64."""

import math
import os

import torch

os.environ.setdefault("TRITON_INTERPRET", "1")

import triton
import triton.language as tl


@triton.jit
def kernel(
    Q, K, V, O, L, sqb, sqh, sqt, sqd, skb, skh, skt, skd, svb, svh, svt, svd, H, Tq, Tk, scale,
    CAUSAL: tl.constexpr, D: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(Tq, M)
    pid = tl.program_id(0)
    pair = pid // blocks
    b = pair // H
    h = pair % H
    i = (pid % blocks) * M + tl.arange(0, M)
    d = tl.arange(0, D)
    q = tl.load(Q + b * sqb + h * sqh + i[:, None] * sqt + d[None, :] * sqd, mask=i[:, None] < Tq, other=0.0)
    m = tl.full([M], -1e30, tl.float32)
    l = tl.zeros([M], tl.float32)
    acc = tl.zeros([M, D], tl.float32)
    end = Tk
    if CAUSAL:
        end = tl.minimum(Tk, (pid % blocks + 1) * M)
    for start in range(0, end, N):
        j = start + tl.arange(0, N)
        k = tl.load(K + b * skb + h * skh + j[:, None] * skt + d[None, :] * skd, mask=j[:, None] < Tk, other=0.0)
        v = tl.load(V + b * svb + h * svh + j[:, None] * svt + d[None, :] * svd, mask=j[:, None] < Tk, other=0.0)
        s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        ok = j[None, :] < Tk
        if CAUSAL:
            ok = ok & (i[:, None] >= j[None, :])
        s = tl.where(ok, s, -1e30)
        new = tl.maximum(m, tl.max(s, 1))
        p = tl.where(ok, tl.exp(s - new[:, None]), 0.0)
        a = tl.exp(m - new)
        l = l * a + tl.sum(p, 1)
        acc = acc * a[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
        m = new
    out = (pair * Tq + i[:, None]) * D + d[None, :]
    tl.store(O + out, (acc / l[:, None]).to(O.dtype.element_ty), mask=i[:, None] < Tq)
    tl.store(L + pair * Tq + i, m + tl.log(l), mask=i < Tq)


def flash_fwd(q, k, v, is_causal=False):
    B, H, Tq, D = q.shape
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()  # with more keys than queries, larger than o
    o = torch.empty(B, H, Tq, D, dtype=q.dtype, device=q.device)
    lse = torch.zeros(B, H, Tq, device=q.device)
    kernel[(triton.cdiv(Tq, 64) * B * H,)](
        q, k, v, o, lse, *q.stride(), *k.stride(), *v.stride(), H, Tq, k.shape[2], 1 / math.sqrt(D),
        CAUSAL=is_causal, D=D, M=64, N=64,
    )  # fmt: skip
    return o, lse
