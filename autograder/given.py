"""Building blocks that later pages may import, made of public torch calls.

A page never depends on a student's own earlier page: what it builds on comes from here, so that one early failure
costs nothing later.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √d_k) v, where `attn_mask` (True = may attend) allows it; an empty row gives zeros.

    Args:
        q: (..., Tq, d_k). k: (..., Tk, d_k). v: (..., Tk, d_v).
        attn_mask: bool, broadcastable to (..., Tq, Tk).
    Returns: (..., Tq, d_v) in the dtype of q.
    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    """
    return attention_weights(q, k, attn_mask) @ v  # not the fused function: pages that ban it may use this one


def attention_weights(q: Tensor, k: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √d_k) over the keys, (..., Tq, Tk); an empty row gives zeros."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if attn_mask is None:
        return torch.softmax(scores, dim=-1)
    weights = torch.softmax(scores.masked_fill(~attn_mask, float("-inf")), dim=-1)
    return torch.where(attn_mask.any(-1, keepdim=True), weights, torch.zeros_like(weights))


def masked_softmax(scores: NDArray[Any], mask: NDArray[Any] | None = None) -> NDArray[Any]:
    """Softmax over the last axis of an array, where `mask` (True = may attend) allows it; an empty row gives zeros.

    Args:
        scores: (..., Tq, Tk), floating point.
        mask: bool, broadcastable to the shape of scores; None allows everything.
    Returns: the weights, of the shape and dtype of scores. A forbidden key has weight exactly 0.
    """
    allowed = torch.from_numpy(np.broadcast_to(True if mask is None else mask, scores.shape).copy())
    filled = torch.from_numpy(scores.copy()).masked_fill(~allowed, float("-inf"))
    weights = torch.softmax(filled, dim=-1)
    return weights.masked_fill(~allowed, 0.0).numpy()  # 0 also in place of the NaN of an empty row


def sinusoidal_encoding(max_len: int, d_model: int, base: float = 1e4) -> Tensor:
    """The encoding of unit 4, (max_len, d_model) in float64: sines in the even columns, cosines in the odd ones.

    Args:
        max_len: number of positions, from 0. d_model: an even width. base: the root of the slowest frequency.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """
    pairs = torch.arange(0, d_model, 2, dtype=torch.float64)
    angles = torch.outer(torch.arange(max_len, dtype=torch.float64), base ** (-pairs / d_model))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # (max_len, d_model / 2, 2), then side by side


class MultiHeadAttention(nn.Module):
    """The layer of unit 3, without dropout: `n_heads`, `q_proj`, `k_proj`, `v_proj` and `out_proj` are its attributes.

    Args:
        d_model: width of queries and output. n_heads: number of heads, a divisor of it; head h owns the block
            h·Dh ... (h+1)·Dh - 1 of the rows of q_proj, k_proj and v_proj, and of the columns of out_proj.
        d_kv: width of the key and value inputs, d_model unless given. bias: whether the projections have biases.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
    """

    def __init__(self, d_model: int, n_heads: int, d_kv: int | None = None, bias: bool = True) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model {d_model} cannot be cut into {n_heads} heads of equal width")
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_kv or d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_kv or d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend from query (B, Tq, d_model) over key and value (B, Tk, d_kv); None means query, and key.

        `mask`: bool, True = may attend, broadcastable to (B, H, Tq, Tk). With need_weights also returns (B, H, Tq, Tk).
        """
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = (
            projected.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for projected in (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        )
        weights = attention_weights(q, k, mask)  # (B, H, Tq, Tk)
        out: Tensor = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        return (out, weights) if need_weights else out


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
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self_attn = MultiHeadAttention(d_model, n_heads)
        self.ffn = FeedForward(d_model, d_ff, activation)
        self.norm1 = LayerNorm(d_model)
        self.norm2 = LayerNorm(d_model)
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


def squared_error(target: Tensor) -> Callable[[Tensor], Tensor]:
    """A loss function: the mean of (out - target)² over all entries, as a tensor without axes."""
    return lambda out: (out - target).square().mean()


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


def source_mask(src: Tensor, pad: int) -> Tensor:
    """(B, S) -> (B, 1, 1, S): True where src holds a symbol other than `pad`."""
    return (src != pad)[:, None, None]


def target_mask(inp: Tensor, pad: int) -> Tensor:
    """(B, T) -> (B, 1, T, T): query i may attend to key j <= i that is no `pad`, and to key 0, which holds BOS."""
    seen = (inp != pad)[:, None, None] | (torch.arange(inp.shape[1], device=inp.device) == 0)
    return seen & torch.ones(inp.shape[1], inp.shape[1], dtype=torch.bool, device=inp.device).tril()


class BareTransformer(nn.Module):
    """An encoder-decoder (pre-LN, one embedding for both sides) that only does what it is told to.

    Padding (symbol 0) in `src` it leaves out by itself. But as with torch's nn.Transformer, who calls it says which
    output may see which, and which positions the symbols have.

    Args:
        vocab: number of symbols. d_model: width, also the attribute `d_model`. n_heads, n_layers (encoder and decoder
            each), d_ff: as usual.
    """

    def __init__(self, vocab: int, d_model: int, n_heads: int, n_layers: int, d_ff: int) -> None:
        super().__init__()
        self.d_model = d_model
        self.embed = nn.Embedding(vocab, d_model)
        nn.init.normal_(self.embed.weight, std=d_model**-0.5)
        options = {"d_model": d_model, "n_heads": n_heads, "d_ff": d_ff, "norm_first": True}
        self.encoder = nn.ModuleList(EncoderLayer(**options) for _ in range(n_layers))  # type: ignore[arg-type]
        self.encoder_norm = LayerNorm(d_model)
        self.decoder = nn.ModuleList(DecoderLayer(**options) for _ in range(n_layers))  # type: ignore[arg-type]
        self.decoder_norm = LayerNorm(d_model)
        self.output = nn.Linear(d_model, vocab, bias=False)

    def forward(
        self, src: Tensor, inp: Tensor, tgt_mask: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        """The logits (B, T, vocab) after each symbol of inp.

        Args:
            src: int64 (B, S), padded with 0. inp: int64 (B, T).
            tgt_mask: bool, True = may attend, broadcastable to (B, H, T, T). None: every symbol of inp sees all others.
            positions: int64, at least as long as S and T; symbol t of src, and of inp, stands at positions[t]. None:
                no symbol has a position, and both sequences are bags of symbols.
        """
        table = None if positions is None else sinusoidal_encoding(int(positions.max()) + 1, self.d_model)[positions]
        allowed = source_mask(src, 0)
        memory = self._embedded(src, table)
        for layer in self.encoder:
            memory = layer(memory, mask=allowed)
        memory = self.encoder_norm(memory)
        x = self._embedded(inp, table)
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask, allowed)
        logits: Tensor = self.output(self.decoder_norm(x))
        return logits

    def _embedded(self, ids: Tensor, table: Tensor | None) -> Tensor:
        x: Tensor = math.sqrt(self.d_model) * self.embed(ids)
        return x if table is None else x + table[: ids.shape[1]].to(x)


class SequenceTask:
    """A stream of batches for a small task: call it with a torch.Generator, and it returns (src, tgt).

    Symbols: 0 PAD, 1 BOS (in neither), 2 EOS, from 3 on content. Lengths vary between half of `length` and `length`.
    src: int64 (batch, length), content and then PAD. tgt: int64 (batch, length + 1), content, EOS, and then PAD; for
    the kind "first" int64 (batch, 2).

    Args:
        kind: what the content of tgt is. "copy": that of src; "reverse": backwards; "sort": in ascending order;
            "first": its first symbol alone; "noise": other content of the same length, which nobody can predict.
    """

    def __init__(self, kind: str, vocab: int = 12, length: int = 8, batch: int = 64) -> None:
        if kind not in ("copy", "reverse", "sort", "first", "noise"):
            raise ValueError(f'kind {kind!r}: expected "copy", "reverse", "sort", "first" or "noise"')
        self.kind, self.vocab, self.length, self.batch = kind, vocab, length, batch

    def __call__(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        lengths = torch.randint((self.length + 1) // 2, self.length + 1, (self.batch, 1), generator=generator)
        place = torch.arange(self.length)
        real = place < lengths
        src, other = torch.randint(3, self.vocab, (2, self.batch, self.length), generator=generator).where(real, 0)
        if self.kind == "first":
            return src, torch.cat([src[:, :1], torch.full_like(lengths, 2)], dim=1)
        content = {
            "copy": src,
            "reverse": src.gather(1, (lengths - 1 - place).clamp(min=0)),
            "sort": src.where(real, self.vocab).sort(dim=1).values,
            "noise": other,
        }[self.kind]
        tgt = torch.cat([content.where(real, 0), torch.zeros_like(lengths)], dim=1)
        return src, tgt.scatter(1, lengths, 2)


def attention_with_lse(q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / √D) v and the logsumexp of the scaled scores, for 128 queries at a time.

    Args:
        q: (B, H, Tq, D). k: (B, H, Tk, D). v: (B, H, Tk, Dv). is_causal: query i sees keys 0..i only.
    Returns: (B, H, Tq, Dv) in the dtype of q, and (B, H, Tq) in float64 for float64 inputs, else in float32.
    """
    work = torch.promote_types(q.dtype, torch.float32)
    outs, sums = [q.new_empty(*q.shape[:2], 0, v.shape[-1])], [q.new_empty(*q.shape[:2], 0, dtype=work)]
    for start, rows in zip(range(0, q.shape[2], 128), torch.split(q, 128, dim=2), strict=False):
        scores = rows.to(work) @ k.to(work).mT / math.sqrt(q.shape[-1])
        if is_causal:
            later = torch.ones_like(scores, dtype=torch.bool).triu(start + 1)
            scores = scores.masked_fill(later, float("-inf"))
        outs.append((torch.softmax(scores, dim=-1) @ v.to(work)).to(q.dtype))
        sums.append(torch.logsumexp(scores, dim=-1))
    return torch.cat(outs, dim=2), torch.cat(sums, dim=2)
