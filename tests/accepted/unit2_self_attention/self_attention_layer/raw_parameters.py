"""Bare parameters stored (in, out), transposed by load_reference; one sentence at a time, softmax spelled out."""

import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, d_model, d_k, d_v, bias=False):
        super().__init__()
        self.d_k = d_k
        self.wq = nn.Parameter(torch.randn(d_model, d_k) / d_model**0.5)
        self.wk = nn.Parameter(torch.randn(d_model, d_k) / d_model**0.5)
        self.wv = nn.Parameter(torch.randn(d_model, d_v) / d_model**0.5)
        self.bias = bias
        if bias:
            self.bq = nn.Parameter(torch.zeros(d_k))
            self.bk = nn.Parameter(torch.zeros(d_k))
            self.bv = nn.Parameter(torch.zeros(d_v))

    def load_reference(self, state_dict):
        self.to(state_dict["q_proj.weight"].dtype)
        with torch.no_grad():
            for letter in "qkv":
                getattr(self, f"w{letter}").copy_(state_dict[f"{letter}_proj.weight"].t())
                if self.bias:
                    getattr(self, f"b{letter}").copy_(state_dict[f"{letter}_proj.bias"])

    def project(self, x, letter):
        y = x @ getattr(self, f"w{letter}")
        return y + getattr(self, f"b{letter}") if self.bias else y

    def forward(self, x, mask=None, need_weights=False):
        B, T, _ = x.shape
        allowed = torch.ones(B, T, T, dtype=torch.bool, device=x.device)
        if mask is not None:
            allowed = allowed * mask
        outs, all_weights = [], []
        for sentence, may in zip(x, allowed, strict=True):
            scores = self.project(sentence, "q") @ self.project(sentence, "k").T / self.d_k**0.5
            scores = torch.where(may, scores, torch.zeros_like(scores))
            shift = scores.detach().max(dim=-1, keepdim=True).values
            numerator = torch.exp(scores - shift) * may
            total = numerator.sum(dim=-1, keepdim=True)
            weights = numerator / (total + (total == 0))
            outs.append(weights @ self.project(sentence, "v"))
            all_weights.append(weights)
        out = torch.stack(outs)
        return (out, torch.stack(all_weights)) if need_weights else out
