"""Decay first, and the two corrections folded into the learning rate and eps, as in older code."""

import math

import numpy as np


def adamw_step(p, g, state, lr, betas, eps, weight_decay):
    if not state:
        state["t"], state["m"], state["v"] = 0, np.zeros_like(p), np.zeros_like(p)
    state["t"] += 1
    state["m"] *= betas[0]
    state["m"] += (1 - betas[0]) * g
    state["v"] *= betas[1]
    state["v"] += (1 - betas[1]) * g**2
    c1, c2 = 1 - betas[0] ** state["t"], 1 - betas[1] ** state["t"]
    rate = lr * math.sqrt(c2) / c1
    return p * (1 - lr * weight_decay) - rate * state["m"] / (np.sqrt(state["v"]) + eps * math.sqrt(c2))
