"""Query by query with the Jacobian of its softmax."""

import numpy as np


def attention_vjp(dO, Q, K, V, mask=None):
    lead = Q.shape[:-2]
    may = np.broadcast_to(True if mask is None else mask, (*Q.shape[:-1], K.shape[-2]))
    dQ, dK, dV = np.zeros_like(Q), np.zeros_like(K), np.zeros_like(V)
    c = 1 / np.sqrt(Q.dtype.type(Q.shape[-1]))
    for b in np.ndindex(lead):
        for i, q in enumerate(Q[b]):
            keys = may[b][i]
            if keys.any():
                s = K[b][keys] @ q * c
                p = np.exp(s - s.max())
                p /= p.sum()
                g = (np.diag(p) - p[:, None] * p[None, :]) @ (V[b][keys] @ dO[b][i]) * c
                dQ[b][i] = g @ K[b][keys]
                dK[b][keys] += g[:, None] * q
                dV[b][keys] += p[:, None] * dO[b][i]
    return dQ, dK, dV
