"""einsum; the average wish of a query is the product of its dO and its output."""

import numpy as np


def attention_vjp(dO, Q, K, V, mask=None):
    c = Q.shape[-1] ** -0.5
    S = np.einsum("...id,...jd->...ij", Q * c, K)
    may = np.broadcast_to(np.array(True) if mask is None else mask, S.shape)
    top = np.max(S, axis=-1, keepdims=True, where=may, initial=np.finfo(S.dtype).min)
    P = np.exp(np.where(may, S - top, 0)) * may
    total = P.sum(axis=-1, keepdims=True)
    P = P / np.where(total == 0, 1, total)
    out = np.einsum("...ij,...jd->...id", P, V)
    D = (dO * out).sum(axis=-1, keepdims=True)
    dS = P * (np.einsum("...id,...jd->...ij", dO, V) - D)
    dQ = np.einsum("...ij,...jd->...id", dS, K) * c
    dK = np.einsum("...ij,...id->...jd", dS, Q) * c
    return tuple(a.astype(Q.dtype) for a in (dQ, dK, np.einsum("...ij,...id->...jd", P, dO)))
