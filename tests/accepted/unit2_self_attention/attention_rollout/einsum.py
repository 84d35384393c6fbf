"""einsum from the last layer downwards: the product grows on the right."""

import numpy as np


def rollout(weights, residual=0.5):
    identity = np.identity(weights.shape[-1], dtype=weights.dtype)
    mean = np.einsum("lbhij->lbij", weights) / weights.shape[2]
    mixed = identity * residual + mean * (1 - residual)
    sums = np.sum(mixed, axis=3)[..., None]
    mixed = np.divide(mixed, sums, out=np.zeros_like(mixed), where=sums > 0)
    product = np.broadcast_to(identity, mixed.shape[1:])
    for layer in reversed(range(len(mixed))):
        product = np.einsum("bij,bjk->bik", product, mixed[layer])
    return product
