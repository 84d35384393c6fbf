"""Works on contiguous float32 copies; dk and dv in a kernel of their own each, tiles with keys as rows."""

import math
import os

import torch

os.environ.setdefault("TRITON_INTERPRET", "1")

import triton
import triton.language as tl


@triton.jit
def kernel(
    DO, Q, K, V, L, R, OUT, Tq, Tk, scale, WHICH: tl.constexpr, CAUSAL: tl.constexpr, D: tl.constexpr, N: tl.constexpr
):
    """WHICH: 0 dq, own rows are queries; 1 dk, 2 dv, own rows are keys."""
    pair = tl.program_id(1)
    mine = tl.program_id(0) * N + tl.arange(0, N)
    d = tl.arange(0, D)
    own_length, other_length = Tk, Tq
    if WHICH == 0:
        own_length, other_length = Tq, Tk
    total = tl.zeros([N, D], tl.float32)
    begin, end = 0, other_length
    if CAUSAL:
        if WHICH == 0:
            end = tl.minimum(other_length, tl.program_id(0) * N + N)
        else:
            begin = tl.program_id(0) * N
    for start in range(begin, end, N):
        theirs = start + tl.arange(0, N)
        i, j = theirs, mine
        if WHICH == 0:
            i, j = mine, theirs
        q_at = (pair * Tq + i[:, None]) * D + d[None, :]
        k_at = (pair * Tk + j[:, None]) * D + d[None, :]
        q = tl.load(Q + q_at, mask=i[:, None] < Tq, other=0.0)
        do = tl.load(DO + q_at, mask=i[:, None] < Tq, other=0.0)
        k = tl.load(K + k_at, mask=j[:, None] < Tk, other=0.0)
        v = tl.load(V + k_at, mask=j[:, None] < Tk, other=0.0)
        lse = tl.load(L + pair * Tq + i, mask=i < Tq, other=0.0)
        r = tl.load(R + pair * Tq + i, mask=i < Tq, other=0.0)
        s = tl.dot(k, tl.trans(q), input_precision="ieee") * scale - lse[None, :]  # (keys, queries)
        ok = (j[:, None] < Tk) & (i[None, :] < Tq)
        if CAUSAL:
            ok = ok & (j[:, None] <= i[None, :])
        p = tl.exp(tl.where(ok, s, float("-inf")))
        if WHICH == 2:
            total += tl.dot(p, do, input_precision="ieee")
        else:
            ds = p * (tl.dot(v, tl.trans(do), input_precision="ieee") - r[None, :]) * scale
            if WHICH == 1:
                total += tl.dot(ds, q, input_precision="ieee")
            else:
                total += tl.dot(tl.trans(ds), k, input_precision="ieee")
    tl.store(OUT + (pair * own_length + mine[:, None]) * D + d[None, :], total, mask=mine[:, None] < own_length)


def flash_bwd(do, q, k, v, o, lse, is_causal=False):
    B, H, Tq, D = q.shape
    dtype = q.dtype
    do, q, k, v, o = (t.float().contiguous() for t in (do, q, k, v, o))
    r = (do * o).sum(-1)
    outs = []
    for which, like in enumerate((q, k, v)):
        out = torch.empty(like.shape, device=like.device)
        kernel[(triton.cdiv(like.shape[2], 32), B * H)](
            do,
            q,
            k,
            v,
            lse.contiguous(),
            r,
            out,
            Tq,
            k.shape[2],
            1 / math.sqrt(D),
            WHICH=which,
            CAUSAL=is_causal,
            D=D,
            N=32,
        )
        outs.append(out.to(dtype))
    return tuple(outs)
