"""Reference of the page `why_multiple_heads`: gates through the columns of W_O, and other hand-set weights."""

import torch
from torch import Tensor, nn
from torch.func import functional_call


def _heads_alone(mha: nn.Module, x: Tensor) -> list[Tensor]:
    """What each head adds to the output: the layer with the other columns of out_proj, and its bias, set to 0."""
    weight, bias = mha.out_proj.weight, mha.out_proj.bias
    width = weight.shape[1] // mha.n_heads
    outs = []
    for h in range(mha.n_heads):
        alone = torch.zeros_like(weight)
        alone[:, h * width : (h + 1) * width] = weight[:, h * width : (h + 1) * width]
        changes = {"out_proj.weight": alone} | ({} if bias is None else {"out_proj.bias": torch.zeros_like(bias)})
        outs.append(functional_call(mha, changes, (x,)))
    return outs


def mha_with_head_gate(mha: nn.Module, x: Tensor, gate: Tensor) -> Tensor:
    """The weighted sum of what the heads add."""
    bias = mha.out_proj.bias
    out = torch.zeros_like(x) if bias is None else bias.expand(x.shape)
    for h, alone in enumerate(_heads_alone(mha, x)):
        out = out + gate[h] * alone
    return out


def head_importance(mha: nn.Module, x: Tensor, loss_fn) -> Tensor:
    """By the chain rule: the gradient at the output, times what the head adds to it."""
    out = mha(x).detach().requires_grad_()
    (slope,) = torch.autograd.grad(loss_fn(out), out)
    return torch.stack([(slope * alone).sum().abs() for alone in _heads_alone(mha, x)]).detach()


def two_head_weights(T: int, D: int) -> dict[str, Tensor]:
    """Each head has room for a token and a position; the second head asks by its bias. float64, E = 2(D + T)."""
    width = D + T
    blocks = {name: torch.zeros(2, width, 2 * width, dtype=torch.float64) for name in ("q", "k", "v")}
    out = torch.zeros(2 * width, 2, width, dtype=torch.float64)
    bias = torch.zeros(2, width, dtype=torch.float64)
    for t in range(T):
        blocks["k"][:, D + t, D + t] = 1000.0
        if t > 0:
            blocks["q"][0, D + t - 1, D + t] = 1.0
    bias[1, D] = 1.0
    for d in range(D):
        for h in range(2):
            blocks["v"][h, d, d] = 1.0
            out[h * D + d, h, d] = 1.0
    state = {f"{name}_proj.weight": block.reshape(2 * width, 2 * width) for name, block in blocks.items()}
    state |= {f"{name}_proj.bias": torch.zeros(2 * width, dtype=torch.float64) for name in ("k", "v", "out")}
    return state | {"out_proj.weight": out.reshape(2 * width, 2 * width), "q_proj.bias": bias.flatten()}


def best_single_head_error(x: Tensor) -> float:
    """Half the largest distance between a token and the first one, entry by entry."""
    T, D = x.shape
    return max(abs(x[t - 1, d].item() - x[0, d].item()) / 2 for t in range(1, T) for d in range(D))
