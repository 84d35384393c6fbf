"""Reference of the page `attention_from_scratch`: one query at a time; the softmax's Jacobian written out."""

import numpy as np


def _one_query(q, K, allowed, scale):
    weights = np.zeros(len(K), dtype=K.dtype)
    keys = np.flatnonzero(allowed)
    if len(keys):
        scores = np.array([np.sum(q * K[j]) * scale for j in keys])
        powers = np.exp(scores - scores.max())
        weights[keys] = powers / powers.sum()
    return weights


def attention(Q, K, V, mask=None, scale=None):
    """A weighted sum of the allowed values per query."""
    lead, (q_len, d_k), kv_len = Q.shape[:-2], Q.shape[-2:], K.shape[-2]
    scale = d_k**-0.5 if scale is None else scale
    allowed = np.broadcast_to(True if mask is None else mask, (*lead, q_len, kv_len))
    out = np.zeros((*lead, q_len, V.shape[-1]), dtype=Q.dtype)
    weights = np.zeros((*lead, q_len, kv_len), dtype=Q.dtype)
    for index in np.ndindex(*lead, q_len):
        weights[index] = _one_query(Q[index], K[index[:-1]], allowed[index], scale)
        for j in np.flatnonzero(weights[index]):
            out[index] += weights[index][j] * V[index[:-1]][j]
    return out, weights


def attention_vjp(dO, Q, K, V, mask=None):
    """Σ over queries of the products with the Jacobian diag(p) − p pᵀ of each softmax."""
    scale = Q.shape[-1] ** -0.5
    allowed = np.broadcast_to(True if mask is None else mask, (*Q.shape[:-1], K.shape[-2]))
    dQ, dK, dV = (np.zeros(a.shape, dtype=a.dtype) for a in (Q, K, V))
    for index in np.ndindex(*Q.shape[:-1]):
        lead, keys = index[:-1], np.flatnonzero(allowed[index])
        p = _one_query(Q[index], K[lead], allowed[index], scale)[keys]
        jacobian = np.diag(p) - np.outer(p, p)
        ds = jacobian @ (V[lead][keys] @ dO[index])
        dQ[index] = scale * ds @ K[lead][keys]
        dK[lead][keys] += scale * np.outer(ds, Q[index])
        dV[lead][keys] += np.outer(p, dO[index])
    return dQ, dK, dV
