"""Entry by entry over the flattened arrays, with an extra key in the state."""

import numpy as np


def adamw_step(p, g, state, lr, betas, eps, weight_decay):
    state.setdefault("first_shape", p.shape)
    state["t"] = state.get("t", 0) + 1
    old_m, old_v = state.get("m"), state.get("v")
    m, v, out = np.zeros(p.size), np.zeros(p.size), np.zeros(p.size)
    for i in range(p.size):
        gi = float(g.reshape(-1)[i])
        m[i] = (1 - betas[0]) * gi + (betas[0] * float(old_m.reshape(-1)[i]) if old_m is not None else 0.0)
        v[i] = (1 - betas[1]) * gi * gi + (betas[1] * float(old_v.reshape(-1)[i]) if old_v is not None else 0.0)
        m_hat, v_hat = m[i] / (1 - betas[0] ** state["t"]), v[i] / (1 - betas[1] ** state["t"])
        pi = float(p.reshape(-1)[i])
        out[i] = pi - lr * weight_decay * pi - lr * m_hat / (v_hat**0.5 + eps)
    state["m"], state["v"] = m.astype(p.dtype).reshape(p.shape), v.astype(p.dtype).reshape(p.shape)
    return out.astype(p.dtype).reshape(p.shape)
