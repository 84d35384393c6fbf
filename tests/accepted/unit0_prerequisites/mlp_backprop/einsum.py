"""einsum throughout, a one-hot matrix, np.where for relu; returns a 0-d array as the loss."""

import numpy as np


def mlp_loss_and_grads(x, W1, b1, W2, b2, y):
    a = np.einsum("ni,ij->nj", x, W1) + b1
    h = np.where(a > 0, a, np.zeros_like(a))
    z = np.einsum("nj,jk->nk", h, W2) + b2
    top = z.max(axis=1, keepdims=True)
    p = np.exp(z - top)
    p = p / p.sum(axis=1, keepdims=True)
    hot = np.eye(z.shape[1], dtype=z.dtype)[y]
    losses = np.log(np.exp(z - top).sum(axis=1)) + top[:, 0] - np.einsum("nk,nk->n", z, hot)
    dz = (p - hot) / np.array(len(y), dtype=z.dtype)
    dh = np.einsum("nk,jk->nj", dz, W2)
    da = np.where(a > 0, dh, np.zeros_like(dh))
    return np.asarray(np.mean(losses)), {
        "db2": np.einsum("nk->k", dz),
        "dW2": np.einsum("nj,nk->jk", h, dz),
        "db1": np.einsum("nj->j", da),
        "dW1": np.einsum("ni,nj->ij", x, da),
        "dx": np.einsum("nj,ij->ni", da, W1),
    }
