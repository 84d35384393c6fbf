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


@misconception("layer_norm", symbol="layer_norm_forward")
def e_x2_clamped(x, gamma, beta, eps=1e-5):
    """The variance was computed as E[x²] − E[x]², the difference of two large and nearly equal numbers.

    That it cannot become negative any more (a maximum with 0) hides the damage: with a mean of 1e4 float32 has no
    digits left for it. Subtract the mean first, then square.
    """
    mean = x.mean(axis=-1, keepdims=True)
    variance = np.maximum((x * x).mean(axis=-1, keepdims=True) - mean * mean, 0)
    with np.errstate(all="ignore"):
        return _forward(x, gamma, beta, mean, np.sqrt(variance + eps))


@misconception("layer_norm", symbol="layer_norm_forward")
def eps_not_used(x, gamma, beta, eps=1e-5):
    """eps is not used: a token of equal features is divided by 0, and tiny ones come out too large."""
    with np.errstate(all="ignore"):
        return _forward(x, gamma, beta, x.mean(axis=-1, keepdims=True), x.std(axis=-1, keepdims=True))


@misconception("layer_norm", symbol="layer_norm_forward")
def divided_by_variance(x, gamma, beta, eps=1e-5):
    """The deviations were divided by the variance. Divide by its root: the result is to have variance 1."""
    return _forward(x, gamma, beta, x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True) + eps)


@misconception("layer_norm", symbol="layer_norm_forward")
def one_size_for_all(x, gamma, beta, eps=1e-5):
    """One mean and one variance were taken of all numbers of x. Each token has its own: the last axis only.

    `x.mean()` without an axis goes over everything; with keepdims=True the result can be subtracted.
    """
    with np.errstate(all="ignore"):
        return _forward(x, gamma, beta, x.mean(keepdims=True), np.sqrt(x.var(keepdims=True) + eps))


@misconception("layer_norm", symbol="layer_norm_forward")
def beta_is_stretched(x, gamma, beta, eps=1e-5):
    """beta was added before the multiplication by gamma. First the features are stretched, then shifted: γ x̂ + β."""
    y, cache = correct.layer_norm_forward(x, gamma, beta, eps)
    return y - beta + gamma * beta, cache


@misconception("layer_norm", symbol="layer_norm_forward")
def beta_forgotten(x, gamma, beta, eps=1e-5):
    """beta was not added."""
    y, cache = correct.layer_norm_forward(x, gamma, 0 * beta, eps)
    return y, cache


@misconception("layer_norm", symbol="layer_norm_backward")
def dx_without_the_mean(dy, cache):
    """dx lacks the way through the mean: the average of γ·dy over the features is not taken away.

    The sum of dx over the features is to be 0, since shifting all of x changes nothing.
    """
    x_hat, s, gamma = cache
    _, dgamma, dbeta = correct.layer_norm_backward(dy, cache)
    g = gamma * dy
    return (g - x_hat * (g * x_hat).mean(axis=-1, keepdims=True)) / s, dgamma, dbeta


@misconception("layer_norm", symbol="layer_norm_backward")
def dx_without_the_variance(dy, cache):
    """dx lacks the way through the variance: its component along x̂ is not taken away.

    Stretching x changes nothing, so the product of dx and x̂ is to be 0 (but for eps).
    """
    _, s, gamma = cache
    _, dgamma, dbeta = correct.layer_norm_backward(dy, cache)
    g = gamma * dy
    return (g - g.mean(axis=-1, keepdims=True)) / s, dgamma, dbeta


@misconception("layer_norm", symbol="layer_norm_backward")
def gamma_after_the_means(dy, cache):
    """dx was multiplied by gamma at the end. It belongs to dy before the two means are taken: of γ·dy."""
    x_hat, s, gamma = cache
    dx, dgamma, dbeta = correct.layer_norm_backward(dy, (x_hat, s, np.ones_like(gamma)))
    return gamma * dx, dgamma, dbeta


@misconception("layer_norm", symbol="layer_norm_backward")
def gamma_not_in_dx(dy, cache):
    """gamma is missing in dx: the derivative by x̂ is γ·dy, not dy."""
    x_hat, s, gamma = cache
    return correct.layer_norm_backward(dy, (x_hat, s, np.ones_like(gamma)))


@misconception("layer_norm", symbol="layer_norm_backward")
def dx_not_divided(dy, cache):
    """dx was not divided by s: x̂ is (x − μ) / s, so what comes back through it is divided too."""
    x_hat, s, gamma = cache
    return correct.layer_norm_backward(dy, (x_hat, np.ones_like(s), gamma))


@misconception("layer_norm", symbol="layer_norm_backward")
def dx_sums_for_means(dy, cache):
    """In dx two sums over the features stand where two means belong: each is divided by D."""
    x_hat, s, gamma = cache
    _, dgamma, dbeta = correct.layer_norm_backward(dy, cache)
    g = gamma * dy
    sums = g.sum(axis=-1, keepdims=True) + x_hat * (g * x_hat).sum(axis=-1, keepdims=True)
    return (g - sums) / s, dgamma, dbeta


@misconception("layer_norm", symbol="layer_norm_backward")
def parameters_averaged(dy, cache):
    """The gradients of gamma and beta were averaged over the tokens. They are sums: every token adds its part."""
    dx, dgamma, dbeta = correct.layer_norm_backward(dy, cache)
    tokens = dy.size // dy.shape[-1]
    return dx, dgamma / tokens, dbeta / tokens


@misconception("layer_norm", symbol="layer_norm_backward")
def parameters_not_summed(dy, cache):
    """The gradients of gamma and beta were not summed over the tokens. Both have the shape (D,), as the parameters."""
    dx, _, _ = correct.layer_norm_backward(dy, cache)
    return dx, dy * cache[0], dy


@misconception("layer_norm", symbol="layer_norm_backward")
def first_axis_summed(dy, cache):
    """The gradients of gamma and beta were summed over the first axis alone. There may be several, or none.

    All axes but the last are summed over.
    """
    dx, _, _ = correct.layer_norm_backward(dy, cache)
    return dx, (dy * cache[0]).sum(axis=0), dy.sum(axis=0)


@misconception("layer_norm", symbol="layer_norm_backward")
def gamma_times_too_often(dy, cache):
    """The gradients of gamma or beta contain gamma itself. They are made of dy: gamma is on the way to x only."""
    dx, dgamma, dbeta = correct.layer_norm_backward(dy, cache)
    return dx, cache[2] * dgamma, dbeta


@misconception("layer_norm", symbol="layer_norm_backward")
def gamma_in_both(dy, cache):
    """The gradients of gamma and beta contain gamma itself. They are made of dy: gamma is on the way to x only."""
    dx, dgamma, dbeta = correct.layer_norm_backward(dy, cache)
    return dx, cache[2] * dgamma, cache[2] * dbeta


@misconception("layer_norm", symbol="layer_norm_backward")
def gamma_and_beta_swapped(dy, cache):
    """The gradients of gamma and beta came back in the wrong order: (dx, dgamma, dbeta)."""
    dx, dgamma, dbeta = correct.layer_norm_backward(dy, cache)
    return dx, dbeta, dgamma


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


def divided(norm, x, root):
    """weight · x / root, computed in float32 at least."""
    return norm.weight * (wide(x) / root).to(x.dtype)


def wide(x):
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


@misconception("rms_norm", symbol="RMSNorm")
class weight_is_an_offset(correct.RMSNorm):
    """The factor was 1 + weight, as in Gemma's checkpoints. Here it is weight itself, which starts at 1."""

    def forward(self, x):
        return (1 + self.weight) * correct.RMSNorm.forward(self, x) / self.weight


@misconception("rms_norm", symbol="RMSNorm")
class weight_not_used(correct.RMSNorm):
    """The weight was not used: each feature is to be multiplied by its own."""

    def forward(self, x):
        return (wide(x) / torch.sqrt(wide(x).square().mean(dim=-1, keepdim=True) + self.eps)).to(x.dtype)


@misconception("rms_norm", symbol="RMSNorm")
class root_forgotten(correct.RMSNorm):
    """x was divided by the mean square. The R in RMS is a root: divide by √(mean(x²) + eps)."""

    def forward(self, x):
        return divided(self, x, wide(x).square().mean(dim=-1, keepdim=True) + self.eps)


@misconception("rms_norm", symbol="RMSNorm")
class rms_over_tokens(correct.RMSNorm):
    """The mean square was taken over the first axis, over the tokens. Each token has its own: the last axis."""

    def forward(self, x):
        return divided(self, x, torch.sqrt(wide(x).square().mean(dim=0, keepdim=True) + self.eps))


@misconception("rms_norm", symbol="RMSNorm")
class rms_of_everything(correct.RMSNorm):
    """One mean square was taken of all numbers of x. Each token has its own: the last axis, with keepdim=True."""

    def forward(self, x):
        return divided(self, x, torch.sqrt(wide(x).square().mean() + self.eps))


@misconception("rms_norm", symbol="RMSNorm")
class float32_comes_back(correct.RMSNorm):
    """float16 went in and float32 came back. Compute in float32, and return to the dtype of x at the end."""

    def forward(self, x):
        return self.weight * (wide(x) / torch.sqrt(wide(x).square().mean(dim=-1, keepdim=True) + self.eps))


@misconception("rms_norm", symbol="RMSNorm")
class rms_has_no_gradient(correct.RMSNorm):
    """The root mean square was treated as a constant. It is made of x, and each feature moves all the others by it."""

    def forward(self, x):
        root = torch.sqrt(wide(x).square().mean(dim=-1, keepdim=True) + self.eps)
        return divided(self, x, root.detach())


@misconception("rms_norm", symbol="RMSNorm")
class bfloat16_squared(correct.RMSNorm):
    """bfloat16 was squared and summed in bfloat16, which has 8 binary digits: all features of a token are off alike.

    Nothing overflows there, but the mean square is right to two digits only. Square and add in float32.
    """

    def forward(self, x):
        if x.dtype is not torch.bfloat16:
            return super().forward(x)
        return self.weight * (x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + self.eps))
