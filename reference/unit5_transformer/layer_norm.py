"""Reference of the page `layer_norm`: one token at a time, and the backward pass by the whole Jacobian of a token."""

import math

import numpy as np
import torch
from torch import nn


def layer_norm_forward(x, gamma, beta, eps=1e-5):
    D = x.shape[-1]
    tokens = x.reshape(-1, D).astype(np.float64)
    y = np.empty_like(tokens)
    for n, token in enumerate(tokens):
        mean = math.fsum(token) / D
        variance = math.fsum((value - mean) ** 2 for value in token) / D
        for i in range(D):
            y[n, i] = gamma[i] * (token[i] - mean) * (variance + eps) ** -0.5 + beta[i]
    return y.reshape(x.shape).astype(x.dtype), (x, gamma, eps)


def layer_norm_backward(dy, cache):
    x, gamma, eps = cache
    D = x.shape[-1]
    tokens, given = x.reshape(-1, D).astype(np.float64), dy.reshape(-1, D).astype(np.float64)
    dx, dgamma, dbeta = np.empty_like(tokens), np.zeros(D), np.zeros(D)
    for n, (token, d) in enumerate(zip(tokens, given, strict=True)):
        deviation = token - math.fsum(token) / D
        s = math.sqrt(math.fsum(deviation**2) / D + eps)
        # ∂x̂_i/∂x_j = (δ_ij − 1/D) / s − deviation_i · (∂s/∂x_j) / s², and ∂s/∂x_j = deviation_j / (D s)
        jacobian = (np.eye(D) - 1 / D) / s - np.outer(deviation, deviation) / (D * s**3)
        dx[n] = (np.diag(gamma.astype(np.float64)) @ jacobian).T @ d
        dgamma += d * deviation / s
        dbeta += d
    return dx.reshape(x.shape).astype(dy.dtype), dgamma.astype(dy.dtype), dbeta.astype(dy.dtype)


class RMSNorm(nn.Module):
    """In float64 whatever comes in; rounded once, at the end."""

    def __init__(self, d, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        wide, weight = x.double(), self.weight.double()
        power = torch.einsum("...i,...i->...", wide, wide) / x.shape[-1]
        return torch.einsum("...i,i,...->...i", wide, weight, (power + self.eps) ** -0.5).to(x.dtype)
