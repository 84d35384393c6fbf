"""Reference of the page `self_attention`: one token at a time, and property tests by experiments on single tokens."""

import itertools

import numpy as np
import torch
from torch import Tensor, nn

# Between rounding (below 3e-6) and a violation (1e-4 and more).
THRESHOLD = 2e-5


class SelfAttention(nn.Module):
    """One attention head; each query is computed by itself."""

    def __init__(self, d_model: int, d_k: int, d_v: int, bias: bool = False) -> None:
        super().__init__()
        self.q_proj = nn.Linear(d_model, d_k, bias=bias)
        self.k_proj = nn.Linear(d_model, d_k, bias=bias)
        self.v_proj = nn.Linear(d_model, d_v, bias=bias)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, need_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        batch, length, _ = x.shape
        allowed = torch.ones(batch, length, length, dtype=torch.bool, device=x.device)
        if mask is not None:
            allowed = allowed & mask
        d_k = self.q_proj.weight.shape[0]
        examples = []
        for b in range(batch):
            q, k = _project(self.q_proj, x[b]), _project(self.k_proj, x[b])
            rows = []
            for i in range(length):
                row = 0 * q[i, :1].expand(length)  # zeros that stay part of the graph
                keys = allowed[b, i].nonzero().flatten()
                if len(keys):
                    scores = (q[i] * k[keys]).sum(dim=-1) / d_k**0.5
                    row = row.index_put((keys,), torch.softmax(scores, dim=0))
                rows.append(row)
            examples.append(torch.stack(rows))
        weights = torch.stack(examples)
        out = torch.einsum("bij,bjd->bid", weights, _project(self.v_proj, x))
        return (out, weights) if need_weights else out


def _project(linear: nn.Linear, x: Tensor) -> Tensor:
    y = torch.einsum("...i,oi->...o", x, linear.weight)
    return y if linear.bias is None else y + linear.bias


def is_permutation_equivariant(f: nn.Module, x: Tensor, rng: np.random.Generator) -> bool:
    """Try every swap of two tokens."""
    with _Eval(f) as call:
        for _ in range(3):
            tokens = torch.from_numpy(rng.normal(size=tuple(x.shape))).to(x)
            out = call(tokens)
            for i, j in itertools.combinations(range(len(x)), 2):
                order = list(range(len(x)))
                order[i], order[j] = j, i
                if _differ(call(tokens[order]), out[order]):
                    return False
    return True


def is_causal(f: nn.Module, x: Tensor) -> bool:
    """Change one token at a time; no earlier output may move."""
    generator = torch.Generator().manual_seed(1)
    with _Eval(f) as call:
        for _ in range(3):
            tokens = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
            out = call(tokens)
            for j in range(1, len(x)):
                changed = tokens.clone()
                changed[j] += torch.randn(x.shape[1:], generator=generator, dtype=torch.float64).to(x)
                if _differ(call(changed)[:j], out[:j]):
                    return False
    return True


def is_batch_independent(f: nn.Module, x: Tensor) -> bool:
    """Change one example at a time; no other output may move."""
    generator = torch.Generator().manual_seed(1)
    with _Eval(f) as call:
        for _ in range(3):
            batch = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
            out = call(batch)
            for c in range(len(x)):
                changed = batch.clone()
                changed[c] += torch.randn(x.shape[1:], generator=generator, dtype=torch.float64).to(x)
                others = [b for b in range(len(x)) if b != c]
                if others and _differ(call(changed)[others], out[others]):
                    return False
    return True


class _Eval:
    """`f` in eval mode without gradients; afterwards in the mode in which it came."""

    def __init__(self, f: nn.Module) -> None:
        self.f = f

    def __enter__(self):
        self.was_training = self.f.training
        self.f.eval()
        return self.call

    def call(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.f(x)

    def __exit__(self, *_: object) -> None:
        self.f.train(self.was_training)


def _differ(a: Tensor, b: Tensor) -> bool:
    return not bool(((a - b).abs() <= THRESHOLD).all())
