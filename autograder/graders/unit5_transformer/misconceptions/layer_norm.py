"""Known wrong answers to the page `layer_norm`."""

import numpy as np
import torch

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- layer_norm


def _forward(x, gamma, beta, mean, s):
    """The forward pass with another mean and another divisor."""
    x_hat = ((x - mean) / s).astype(x.dtype)
    return gamma * x_hat + beta, (x_hat, s, gamma)


@misconception("layer_norm", symbol="layer_norm_forward")
def unbiased_std(x, gamma, beta, eps=1e-5):
    """The variance was divided by D − 1 instead of D.

    That is the unbiased estimate from a sample, the default of torch.std and torch.var. Here the D features are all
    there is; at D = 8 your result is off by 6.5 %.
    """
    with np.errstate(all="ignore"):
        variance = x.var(axis=-1, keepdims=True, ddof=1)
    return _forward(x, gamma, beta, x.mean(axis=-1, keepdims=True), np.sqrt(variance + eps))


@misconception("layer_norm", symbol="layer_norm_forward")
def eps_on_std(x, gamma, beta, eps=1e-5):
    """eps was added to the standard deviation. It belongs under the root, added to the variance.

    For vectors of size 1 the difference hides behind the fifth digit; for tiny ones it is everything.
    """
    with np.errstate(all="ignore"):
        return _forward(x, gamma, beta, x.mean(axis=-1, keepdims=True), x.std(axis=-1, keepdims=True) + eps)


@misconception("layer_norm", symbol="layer_norm_forward")
def batch_axis(x, gamma, beta, eps=1e-5):
    """Mean and variance were taken over the first axis, over the tokens. That is batch normalisation.

    Each token is normalised by itself, over its features: the last axis.
    """
    with np.errstate(all="ignore"):
        s = np.sqrt(x.var(axis=0, keepdims=True) + eps)
        return _forward(x, gamma, beta, x.mean(axis=0, keepdims=True), s)


@misconception("layer_norm", symbol="layer_norm_backward")
def scalar_gamma(dy, cache):
    """The gradients of gamma and beta were summed over everything, as if there were a single gamma for all features.

    Each feature has a gamma and a beta of its own: sum over the tokens, and leave the features apart.
    """
    dx, dgamma, dbeta = correct.layer_norm_backward(dy, cache)
    return dx, dgamma.sum(), dbeta.sum()


@misconception("layer_norm", symbol="layer_norm_backward")
def dx_missing_mean_terms(dy, cache):
    """dx is only γ·dy divided by the standard deviation, as if mean and variance were constants.

    Both are made of x. Moving one feature moves the mean and the variance, and with them all the others: two more
    terms.
    """
    _, s, gamma = cache
    _, dgamma, dbeta = correct.layer_norm_backward(dy, cache)
    return gamma * dy / s, dgamma, dbeta


@misconception("layer_norm", symbol="layer_norm_forward")
def e_x2_cancellation(x, gamma, beta, eps=1e-5):
    """The variance was computed as E[x²] − E[x]², the difference of two large and nearly equal numbers.

    With a mean of 1e4 float32 has no digits left for it, and it even becomes negative. Subtract the mean first, then
    square.
    """
    mean = x.mean(axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        s = np.sqrt((x * x).mean(axis=-1, keepdims=True) - mean * mean + eps)
        return _forward(x, gamma, beta, mean, s)


# ---------------------------------------------------------------- rms_norm


@misconception("rms_norm", symbol="RMSNorm")
class subtracts_mean(correct.RMSNorm):
    """The mean was subtracted. That is layer norm; RMSNorm divides only."""

    def forward(self, x):
        return super().forward(x - x.mean(dim=-1, keepdim=True))


@misconception("rms_norm", symbol="RMSNorm")
class eps_missing(correct.RMSNorm):
    """eps is not used.

    Ordinary vectors do not notice, and many tests do not either. For vectors of size 1e-4 the right result is a tenth
    of yours, and a vector of zeros must not become NaN.
    """

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return self.weight * (wide / wide.square().mean(dim=-1, keepdim=True).sqrt()).to(x.dtype)


@misconception("rms_norm", symbol="RMSNorm")
class eps_outside_sqrt(correct.RMSNorm):
    """eps was added to the root. It is added to the mean square, under the root, where 1e-6 acts like 1e-3."""

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return self.weight * (wide / (wide.square().mean(dim=-1, keepdim=True).sqrt() + self.eps)).to(x.dtype)


@misconception("rms_norm", symbol="RMSNorm")
class no_f32_upcast(correct.RMSNorm):
    """float16 was squared in float16, where everything above 65 504 is infinite: the square of 300 already.

    A division by infinity gives 0. Square and add in float32, and return to the dtype of x at the end.
    """

    def forward(self, x):
        return self.weight * (x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + self.eps))


@misconception("rms_norm", symbol="RMSNorm")
class sum_not_mean(correct.RMSNorm):
    """The squares were added, not averaged: x was divided by its length, which is √D times as much.

    The M in RMS is a mean over the D features.
    """

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return self.weight * (wide / torch.sqrt(wide.square().sum(dim=-1, keepdim=True) + self.eps)).to(x.dtype)
