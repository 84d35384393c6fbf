"""One token at a time, in float64, with an object as cache; the backward pass by three explicit paths."""

import numpy as np


class Seen:
    def __init__(self, x, gamma, eps):
        self.x, self.gamma, self.eps = x, gamma, eps


def layer_norm_forward(x, gamma, beta, eps=1e-5):
    y = np.zeros(x.shape, dtype=np.float64)
    for index in np.ndindex(x.shape[:-1]):
        token = x[index].astype(np.float64)
        deviation = token - np.mean(token)
        y[index] = gamma * deviation / np.sqrt(np.mean(deviation**2) + eps) + beta
    return y.astype(x.dtype), Seen(x.copy(), gamma.copy(), eps)


def layer_norm_backward(dy, cache):
    D = dy.shape[-1]
    dx, dgamma, dbeta = np.zeros(dy.shape), np.zeros(D), np.zeros(D)
    for index in np.ndindex(dy.shape[:-1]):
        token = cache.x[index].astype(np.float64)
        deviation = token - token.mean()
        variance = (deviation**2).mean()
        s = (variance + cache.eps) ** 0.5
        dgamma += dy[index] * deviation / s
        dbeta += dy[index]
        dhat = dy[index] * cache.gamma
        dvariance = (dhat * deviation).sum() * -0.5 * s**-3
        dmean = -dhat.sum() / s
        dx[index] = dhat / s + dvariance * 2 * deviation / D + dmean / D
    return dx.astype(dy.dtype), dgamma.astype(dy.dtype), dbeta.astype(dy.dtype)
