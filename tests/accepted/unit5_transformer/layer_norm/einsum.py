"""np.var, a dict as cache, einsum for the sums; the gradient written over D·s."""

import numpy as np


def layer_norm_forward(x, gamma, beta, eps=1e-5):
    inverse = 1.0 / np.sqrt(np.var(x, axis=-1, keepdims=True) + x.dtype.type(eps))
    normed = (x - np.mean(x, axis=-1, keepdims=True)) * inverse
    return normed * gamma + beta, {"normed": normed, "inverse": inverse, "gamma": gamma}


def layer_norm_backward(dy, cache):
    normed, D = cache["normed"], dy.shape[-1]
    flat, flat_normed = dy.reshape(-1, D), normed.reshape(-1, D)
    g = dy * cache["gamma"]
    inner = D * g - g.sum(-1, keepdims=True) - normed * np.einsum("...i,...i->...", g, normed)[..., None]
    return cache["inverse"] * inner / D, np.einsum("ni,ni->i", flat, flat_normed), np.einsum("ni->i", flat)
