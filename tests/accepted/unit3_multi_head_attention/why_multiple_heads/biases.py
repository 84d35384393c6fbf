"""Wide heads, a bias as the query for position 0, the shift on the side of the keys, and swapped heads."""

import torch


def two_head_weights(T, D):
    E = 2 * (D + T) + 4
    half = E // 2
    state = {f"{n}_proj.weight": torch.zeros(E, E) for n in ("q", "k", "v", "out")}
    state |= {f"{n}_proj.bias": torch.zeros(E) for n in ("q", "k", "v", "out")}
    state["q_proj.bias"][0] = 100.0  # head 0 looks at the first token
    state["k_proj.weight"][0, D] = half**0.5
    for j in range(T):  # head 1 looks at the previous one
        state["q_proj.weight"][half + j, D + j] = half**0.5
        if j + 1 < T:
            state["k_proj.weight"][half + j + 1, D + j] = 100.0
    for d in range(D):
        state["v_proj.weight"][d, d] = state["v_proj.weight"][half + d, d] = 2.0
        state["out_proj.weight"][d, half + d] = state["out_proj.weight"][D + d, d] = 0.5
    return state


def best_single_head_error(x):
    worst = 0.0
    for t in range(1, len(x)):
        middle = (x[t - 1] + x[0]) / 2
        worst = max(worst, float(torch.max(torch.abs(middle - x[0]))))
    return worst
