"""Reference of the page `decoder`: one example and one head at a time, exponentials divided by their sum."""

import torch
from torch import Tensor, nn


class DecoderLayer(nn.Module):
    """Without dropout: what eval mode gives. `nn.Linear` and `nn.LayerNorm` only hold the parameters."""

    def __init__(self, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu"):
        super().__init__()
        self.heads, self.pre, self.activation = n_heads, norm_first, activation
        self.self_attn, self.cross_attn = _projections(d_model), _projections(d_model)
        self.ffn = nn.ModuleDict({"fc1": nn.Linear(d_model, d_ff), "fc2": nn.Linear(d_ff, d_model)})
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d_model), nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        (B, T, _), S = x.shape, memory.shape[1]
        sees_target, sees_memory = (
            torch.ones(B, self.heads, T, n, dtype=torch.bool) & (True if mask is None else mask)
            for mask, n in ((tgt_mask, T), (memory_mask, S))
        )
        examples = []
        for b in range(B):
            y = x[b]
            asked = _norm(y, self.norm1) if self.pre else y
            y = self._joined(y, _attend(self.self_attn, asked, asked, sees_target[b]), self.norm1)
            asked = _norm(y, self.norm2) if self.pre else y
            y = self._joined(y, _attend(self.cross_attn, asked, memory[b], sees_memory[b]), self.norm2)
            asked = _norm(y, self.norm3) if self.pre else y
            examples.append(self._joined(y, self._network(asked), self.norm3))
        return torch.stack(examples)

    def _joined(self, y, gain, norm):
        return y + gain if self.pre else _norm(y + gain, norm)

    def _network(self, y):
        hidden = _project(self.ffn["fc1"], y)
        if self.activation == "relu":
            hidden = hidden * (hidden > 0)
        elif self.activation == "gelu":
            hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        else:
            hidden = hidden * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (hidden + 0.044715 * hidden**3))) / 2
        return _project(self.ffn["fc2"], hidden)


def _projections(d: int) -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.Linear(d, d) for name in ("q_proj", "k_proj", "v_proj", "out_proj")})


def _project(linear: nn.Linear, y: Tensor) -> Tensor:
    return torch.einsum("ti,oi->to", y, linear.weight) + linear.bias


def _norm(y: Tensor, norm: nn.LayerNorm) -> Tensor:
    width = y.shape[1]
    mean = y.sum(dim=1, keepdim=True) / width
    variance = ((y - mean) ** 2).sum(dim=1, keepdim=True) / width
    return (y - mean) * (variance + 1e-5) ** -0.5 * norm.weight + norm.bias


def _attend(parts: nn.ModuleDict, x: Tensor, source: Tensor, allowed: Tensor) -> Tensor:
    """What the tokens of one example gain from those of `source` that `allowed` (heads, T, S) shows them."""
    q, k, v = _project(parts["q_proj"], x), _project(parts["k_proj"], source), _project(parts["v_proj"], source)
    width = q.shape[1] // len(allowed)
    heads = []
    for h, seen in enumerate(allowed):
        cut = slice(h * width, (h + 1) * width)
        scores = torch.einsum("id,jd->ij", q[:, cut], k[:, cut]) / width**0.5
        highest = scores.detach().masked_fill(~seen, torch.finfo(scores.dtype).min).amax(dim=1, keepdim=True)
        share = torch.exp((scores - highest).masked_fill(~seen, 0.0)) * seen
        total = share.sum(dim=1, keepdim=True)
        heads.append(torch.einsum("ij,jd->id", share / (total + (total == 0)), v[:, cut]))
    return _project(parts["out_proj"], torch.cat(heads, dim=1))
