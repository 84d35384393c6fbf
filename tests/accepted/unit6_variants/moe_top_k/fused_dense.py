"""All experts for all tokens, from fused matrices; gates by a mask of -inf; the picks by comparing with the k-th."""

import torch
import torch.nn.functional as F
from torch import nn


class TopKMoE(nn.Module):
    def __init__(self, d, d_ff, n_experts, k):
        super().__init__()
        if k not in range(1, n_experts + 1):
            raise ValueError(k)
        self.k = k
        self.gate = nn.Parameter(torch.empty(n_experts, d))
        self.gate_up = nn.Parameter(torch.empty(n_experts, 2 * d_ff, d))
        self.down = nn.Parameter(torch.empty(n_experts, d, d_ff))

    def load_reference(self, state_dict):
        with torch.no_grad():
            self.gate = nn.Parameter(state_dict["router.weight"].clone())
            pick = lambda name: [state_dict[f"experts.{e}.{name}.weight"] for e in range(len(self.gate))]  # noqa: E731
            both = [torch.cat(pair) for pair in zip(pick("w1"), pick("w3"), strict=True)]
            self.gate_up = nn.Parameter(torch.stack(both))
            self.down = nn.Parameter(torch.stack(pick("w2")))

    def forward(self, x):
        logits = torch.einsum("btd,ed->bte", x, self.gate)
        kth = logits.sort(dim=-1, descending=True).values[..., self.k - 1 : self.k]
        gates = logits.masked_fill(logits < kth, float("-inf")).softmax(dim=-1)
        a, b = torch.einsum("btd,efd->btef", x, self.gate_up).chunk(2, dim=-1)
        return torch.einsum("btef,edf,bte->btd", F.silu(a) * b, self.down, gates), logits.reshape(-1, logits.shape[-1])


def load_balancing_loss(router_logits, k):
    kth = router_logits.sort(dim=-1, descending=True).values[:, k - 1 : k]
    picked = (router_logits >= kth).to(router_logits.dtype).mean(0)
    return router_logits.shape[1] * picked @ router_logits.softmax(1).mean(0)
