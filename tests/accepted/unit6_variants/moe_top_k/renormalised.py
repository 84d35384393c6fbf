"""A softmax over all experts, divided again after the choice, as in Mixtral; one token's choice at a time."""

import torch
from torch import nn

from autograder.given import SwiGLU


class TopKMoE(nn.Module):
    def __init__(self, d, d_ff, n_experts, k):
        super().__init__()
        if k < 1 or k > n_experts:
            raise ValueError("k must be between 1 and the number of experts")
        self.k = k
        self.router = nn.Linear(d, n_experts, bias=False)
        self.experts = nn.ModuleList([SwiGLU(d, d_ff) for _ in range(n_experts)])

    def forward(self, x):
        B, T, D = x.shape
        logits = self.router(x).reshape(B * T, -1)
        shares, chosen = torch.softmax(logits, dim=-1).topk(self.k)
        shares = shares / shares.sum(dim=-1, keepdim=True)
        rows = []
        for token, weights, indices in zip(x.reshape(B * T, D), shares, chosen, strict=True):
            answers = [self.experts[e](token) for e in indices.tolist()]
            rows.append(weights @ torch.stack(answers))
        return torch.stack(rows).reshape(B, T, D), logits


def load_balancing_loss(router_logits, k):
    N, E = router_logits.shape
    counts = torch.bincount(router_logits.argsort(descending=True)[:, :k].flatten(), minlength=E) / N
    return E * torch.dot(counts.to(router_logits.dtype), router_logits.softmax(dim=1).sum(dim=0) / N)
