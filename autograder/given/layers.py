"""Layers of the transformer of unit 5, and the positions of unit 4."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from autograder.given.attention import MultiHeadAttention


def sinusoidal_encoding(max_len: int, d_model: int, base: float = 1e4) -> Tensor:
    """The encoding of unit 4, (max_len, d_model) in float64: sines in the even columns, cosines in the odd ones.

    Args:
        max_len: number of positions, from 0. d_model: an even width. base: the root of the slowest frequency.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """
    pairs = torch.arange(0, d_model, 2, dtype=torch.float64)
    angles = torch.outer(torch.arange(max_len, dtype=torch.float64), base ** (-pairs / d_model))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # (max_len, d_model / 2, 2), then side by side


class LayerNorm(nn.Module):
    """The layer norm of unit 5, over the last axis; `weight` and `bias` (d,) are its parameters.

    Written with mean and square root, so that a page may forbid torch's own.
    Source: Ba et al. 2016, arXiv:1607.06450.
    """

    def __init__(self, d: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d))
        self.bias = nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d): mean 0 and variance 1 over the last axis, then times weight plus bias."""
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.square().mean(dim=-1, keepdim=True)
        return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias


class FeedForward(nn.Module):
    """The position-wise network of unit 5, without dropout: `fc1` (d_model to d_ff) and `fc2` (back) are its layers.

    Args:
        activation: "relu", "gelu" (with erf) or "gelu_tanh".
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.3.
    """

    def __init__(self, d_model: int, d_ff: int, activation: str = "relu") -> None:
        super().__init__()
        if activation not in ("relu", "gelu", "gelu_tanh"):
            raise ValueError(f'activation {activation!r}: expected "relu", "gelu" or "gelu_tanh"')
        self.activation = activation
        self.fc1 = nn.Linear(d_model, d_ff)
        self.fc2 = nn.Linear(d_ff, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) -> (..., d_model), every token by itself."""
        hidden = self.fc1(x)
        if self.activation == "relu":
            hidden = torch.relu(hidden)
        else:
            approximate = "tanh" if self.activation == "gelu_tanh" else "none"
            hidden = torch.nn.functional.gelu(hidden, approximate=approximate)
        out: Tensor = self.fc2(hidden)
        return out


class EncoderLayer(nn.Module):
    """The encoder layer of unit 5: `self_attn`, `ffn`, `norm1` and `norm2` are its parts.

    Args:
        dropout: probability with which each output of the two sub-layers is dropped in train mode.
        norm_first: pre-LN, x + f(norm(x)), where True; post-LN, norm(x + f(x)), where False.
        eps: of both norms, added to the variance.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; Xiong et al. 2020, arXiv:2002.04745, for pre-LN.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: str = "relu",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self_attn = MultiHeadAttention(d_model, n_heads)
        self.ffn = FeedForward(d_model, d_ff, activation)
        self.norm1 = LayerNorm(d_model, eps)
        self.norm2 = LayerNorm(d_model, eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, S, d_model) -> (B, S, d_model). `mask`: bool, True = may attend, broadcastable to (B, H, S, S)."""
        out: Tensor
        if self.norm_first:
            x = x + self.dropout(self.self_attn(self.norm1(x), mask=mask))
            out = x + self.dropout(self.ffn(self.norm2(x)))
        else:
            x = self.norm1(x + self.dropout(self.self_attn(x, mask=mask)))
            out = self.norm2(x + self.dropout(self.ffn(x)))
        return out


class DecoderLayer(nn.Module):
    """The decoder layer of unit 5: `self_attn`, `cross_attn`, `ffn`, `norm1`, `norm2` and `norm3` are its parts.

    Arguments as of EncoderLayer. Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self_attn = MultiHeadAttention(d_model, n_heads)
        self.cross_attn = MultiHeadAttention(d_model, n_heads)
        self.ffn = FeedForward(d_model, d_ff, activation)
        self.norm1, self.norm2, self.norm3 = LayerNorm(d_model), LayerNorm(d_model), LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """(B, T, d_model), with memory (B, S, d_model), -> (B, T, d_model).

        The masks: bool, True = may attend, broadcastable to (B, H, T, T) and (B, H, T, S).
        """
        parts: tuple[tuple[nn.Module, Callable[[Tensor], Any]], ...] = (
            (self.norm1, lambda y: self.self_attn(y, mask=tgt_mask)),
            (self.norm2, lambda y: self.cross_attn(y, memory, mask=memory_mask)),
            (self.norm3, self.ffn),
        )
        for norm, sublayer in parts:
            x = x + self.dropout(sublayer(norm(x))) if self.norm_first else norm(x + self.dropout(sublayer(x)))
        return x


def squared_error(target: Tensor) -> Callable[[Tensor], Tensor]:
    """A loss function: the mean of (out - target)² over all entries, as a tensor without axes."""
    return lambda out: (out - target).square().mean()
