"""Reference of the page `networks`: sums written out, one example and one entry at a time."""

import math
from collections.abc import Callable

import numpy as np


def mlp_loss_and_grads(
    x: np.ndarray, W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray, y: np.ndarray
) -> tuple[float, dict[str, np.ndarray]]:
    """Example by example in float64; each adds its share to the loss and to the gradients."""
    names = {"dx": x, "dW1": W1, "db1": b1, "dW2": W2, "db2": b2}
    grads = {name: np.zeros(array.shape) for name, array in names.items()}
    W1, b1, W2, b2 = (array.astype(np.float64) for array in (W1, b1, W2, b2))
    losses = []
    for n, (example, right) in enumerate(zip(x.astype(np.float64), y, strict=True)):
        a = np.einsum("i,ij->j", example, W1) + b1
        z = np.einsum("j,jk->k", np.where(a > 0, a, 0.0), W2) + b2
        total = sum(math.exp(value - z.max()) for value in z)
        losses.append(z.max() + math.log(total) - z[right])
        for k in range(len(z)):
            dz = (math.exp(z[k] - z.max()) / total - (k == right)) / len(x)
            grads["db2"][k] += dz
            for j in range(len(a)):
                if a[j] > 0:
                    grads["dW2"][j, k] += dz * a[j]
                    grads["db1"][j] += dz * W2[j, k]
                    grads["dW1"][:, j] += dz * W2[j, k] * example
                    grads["dx"][n] += dz * W2[j, k] * W1[:, j]
    return math.fsum(losses) / len(x), {name: grad.astype(names[name].dtype) for name, grad in grads.items()}


def gradient_descent(
    grad_fn: Callable[[np.ndarray], np.ndarray],
    x0: np.ndarray,
    lr: float,
    steps: int,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> np.ndarray:
    """The velocity after step t is Σ_s μ^(t−s) g_s, written as that sum."""
    points, gradients = [x0.copy()], []
    for t in range(steps):
        gradients.append(np.array(grad_fn(points[-1].copy())))
        velocity = sum(momentum ** (t - s) * g for s, g in enumerate(gradients))
        direction = gradients[-1] + momentum * velocity if nesterov else velocity
        points.append((points[-1] - lr * direction).astype(x0.dtype))
    return np.stack(points)


def adamw_step(
    p: np.ndarray,
    g: np.ndarray,
    state: dict,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> np.ndarray:
    """Entry by entry in Python's floats."""
    t = state.get("t", 0) + 1
    m, v, p_new = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for index in np.ndindex(p.shape):
        before_m, before_v = (float(state[name][index]) if name in state else 0.0 for name in ("m", "v"))
        m_t = betas[0] * before_m + (1 - betas[0]) * float(g[index])
        v_t = betas[1] * before_v + (1 - betas[1]) * float(g[index]) ** 2
        step = m_t / (1 - betas[0] ** t) / (math.sqrt(v_t / (1 - betas[1] ** t)) + eps)
        m[index], v[index] = m_t, v_t
        p_new[index] = float(p[index]) * (1 - lr * weight_decay) - lr * step
    state.update(t=t, m=m, v=v)
    return p_new
