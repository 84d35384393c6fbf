"""Reference of the page `transformer`: one sentence at a time without its padding, so that no mask is needed.

The decoder goes through its input symbol by symbol and keeps what it has read in lists; what is not in a list yet
cannot be seen.
"""

import math

import torch
from torch import Tensor, nn


def make_decoder_io(tgt: Tensor, bos: int, pad: int) -> tuple[Tensor, Tensor]:
    """Row by row, with lists."""
    rows = tgt.tolist()
    inp = [[bos, *row[:-1]] for row in rows]
    return torch.tensor(inp), torch.tensor([[-100 if symbol == pad else symbol for symbol in row] for row in rows])


def src_mask(src: Tensor, pad: int) -> Tensor:
    """Symbol by symbol."""
    return torch.tensor([[[[symbol != pad for symbol in row]]] for row in src.tolist()])


def tgt_mask(inp: Tensor, pad: int) -> Tensor:
    """Pair by pair."""
    T = inp.shape[1]
    pairs = [[[[j <= i and (j == 0 or row[j] != pad) for j in range(T)] for i in range(T)]] for row in inp.tolist()]
    return torch.tensor(pairs)


class Transformer(nn.Module):
    """`nn.Embedding`, `nn.Linear` and `nn.LayerNorm` only hold the parameters. Where inp is padding, logits are 0."""

    def __init__(
        self, src_vocab, tgt_vocab, d_model, n_heads, n_enc, n_dec, d_ff, max_len, pad_id, tie=False, norm_first=True
    ):
        super().__init__()
        self.heads, self.max_len, self.pad, self.pre = n_heads, max_len, pad_id, norm_first
        self.src_embed, self.tgt_embed = nn.Embedding(src_vocab, d_model), nn.Embedding(tgt_vocab, d_model)
        self.encoder_layers = nn.ModuleList(_layer(d_model, d_ff, ["self_attn"]) for _ in range(n_enc))
        self.decoder_layers = nn.ModuleList(_layer(d_model, d_ff, ["self_attn", "cross_attn"]) for _ in range(n_dec))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.output = nn.Linear(d_model, tgt_vocab, bias=False)
        if tie:
            self.output.weight = self.tgt_embed.weight

    def encode(self, src):
        self._check(src)
        sentences = [self._read(row[: _length(row, self.pad)]) for row in src.tolist()]
        width = src.shape[1]
        return torch.stack([torch.cat([s, s.new_zeros(width - len(s), s.shape[1])]) for s in sentences])

    def decode(self, inp, memory, src):
        self._check(inp)
        rows = []
        for written, states, source in zip(inp.tolist(), memory, src.tolist(), strict=True):
            kept = [state for state, symbol in zip(states, source, strict=True) if symbol != self.pad]
            logits = self._write(written[: _length(written, self.pad)], torch.stack(kept))
            rows.append(torch.cat([logits, logits.new_zeros(len(written) - len(logits), logits.shape[1])]))
        return torch.stack(rows)

    def forward(self, src, inp):
        return self.decode(inp, self.encode(src), src)

    def _check(self, ids):
        if ids.shape[1] > self.max_len:
            raise ValueError(f"{ids.shape[1]} symbols, and {self.max_len} are allowed")

    def _read(self, symbols):
        x = torch.stack([_embedded(self.src_embed, symbol, place) for place, symbol in enumerate(symbols)])
        for layer in self.encoder_layers:
            x = self._step(x, layer["norm1"], lambda y, layer=layer: self._attend(layer["self_attn"], y, y))
            x = self._step(x, layer["norm2"], lambda y, layer=layer: _network(layer["ffn"], y))
        return _norm(x, self.encoder_norm)

    def _write(self, symbols, memory):
        seen = [[] for _ in self.decoder_layers]  # per layer: what its self-attention has been asked for so far
        logits = []
        for place, symbol in enumerate(symbols):
            x = _embedded(self.tgt_embed, symbol, place)[None]
            for layer, past in zip(self.decoder_layers, seen, strict=True):

                def look_back(y, layer=layer, past=past):
                    past.append(y)
                    return self._attend(layer["self_attn"], y, torch.cat(past))

                x = self._step(x, layer["norm1"], look_back)
                x = self._step(x, layer["norm2"], lambda y, layer=layer: self._attend(layer["cross_attn"], y, memory))
                x = self._step(x, layer["norm3"], lambda y, layer=layer: _network(layer["ffn"], y))
            logits.append(_norm(x, self.decoder_norm)[0] @ self.output.weight.T)
        return torch.stack(logits)

    def _step(self, x, norm, sublayer):
        return x + sublayer(_norm(x, norm)) if self.pre else _norm(x + sublayer(x), norm)

    def _attend(self, parts, x, source):
        q, k, v = (_project(parts[f"{n}_proj"], t) for n, t in (("q", x), ("k", source), ("v", source)))
        heads = []
        for qh, kh, vh in zip(q.chunk(self.heads, 1), k.chunk(self.heads, 1), v.chunk(self.heads, 1), strict=True):
            powers = torch.exp(torch.einsum("id,jd->ij", qh, kh) / qh.shape[1] ** 0.5)
            heads.append(torch.einsum("ij,jd->id", powers / powers.sum(dim=1, keepdim=True), vh))
        return _project(parts["out_proj"], torch.cat(heads, dim=1))


def _layer(d, d_ff, attentions):
    parts = {"ffn": nn.ModuleDict({"fc1": nn.Linear(d, d_ff), "fc2": nn.Linear(d_ff, d)})}
    for name in attentions:
        parts[name] = nn.ModuleDict({f"{n}_proj": nn.Linear(d, d) for n in ("q", "k", "v", "out")})
    return nn.ModuleDict(parts | {f"norm{n + 1}": nn.LayerNorm(d) for n in range(len(attentions) + 1)})


def _length(symbols, pad):
    """How many symbols come before the padding at the end; the first one is never padding."""
    length = len(symbols)
    while length > 1 and symbols[length - 1] == pad:
        length -= 1
    return length


def _embedded(embedding, symbol, place):
    width = embedding.weight.shape[1]
    angles = [place / 10000 ** (2 * (i // 2) / width) for i in range(width)]
    position = [math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(angles)]
    return width**0.5 * embedding.weight[symbol] + torch.tensor(position, dtype=embedding.weight.dtype)


def _project(linear, y):
    return torch.einsum("ti,oi->to", y, linear.weight) + linear.bias


def _network(parts, y):
    hidden = _project(parts["fc1"], y)
    return _project(parts["fc2"], hidden * (hidden > 0))


def _norm(y, norm):
    mean = y.sum(dim=1, keepdim=True) / y.shape[1]
    variance = ((y - mean) ** 2).sum(dim=1, keepdim=True) / y.shape[1]
    return (y - mean) * (variance + 1e-5) ** -0.5 * norm.weight + norm.bias
