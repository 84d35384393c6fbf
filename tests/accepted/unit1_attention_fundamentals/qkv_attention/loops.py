"""The leading axes flattened, one query at a time, only over its allowed keys."""

import numpy as np


def attention(Q, K, V, mask=None, scale=None):
    lead = Q.shape[:-2]
    Tq, Tk, Dv = Q.shape[-2], K.shape[-2], V.shape[-1]
    n = int(np.prod(lead))
    allowed = np.ones((*lead, Tq, Tk), dtype=bool)
    if mask is not None:
        allowed &= mask
    out, weights = np.zeros((n, Tq, Dv), dtype=Q.dtype), np.zeros((n, Tq, Tk), dtype=Q.dtype)
    slices = (a.reshape(n, *a.shape[len(lead) :]) for a in (Q, K, V, allowed))
    for b, (q, k, v, may) in enumerate(zip(*slices, strict=True)):
        for i in range(Tq):
            if not may[i].any():
                continue
            s = (k[may[i]] * q[i]).sum(axis=1)
            s = s / np.sqrt(q.shape[1]) if scale is None else s * scale
            e = np.exp(s - s.max())
            weights[b, i, may[i]] = e / e.sum()
            out[b, i] = (weights[b, i, may[i], None] * v[may[i]]).sum(axis=0)
    return out.reshape(*lead, Tq, Dv), weights.reshape(*lead, Tq, Tk)
