"""A transformer that only does what it is told to, and small tasks to train it on."""

import math

import torch
from torch import Tensor, nn

from autograder.given.layers import DecoderLayer, EncoderLayer, LayerNorm, sinusoidal_encoding


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
