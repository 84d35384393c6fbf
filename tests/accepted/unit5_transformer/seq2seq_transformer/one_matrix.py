"""Tied: there is no output layer at all, the embedding is used twice. Its own names, filled by load_reference.

The causal mask alone in the decoder: padding comes last, so no real symbol sees it, unless the first has its number.
"""

import torch
import torch.nn.functional as F
from torch import nn

from autograder.given import DecoderLayer, EncoderLayer, LayerNorm, sinusoidal_encoding


class Transformer(nn.Module):
    def __init__(
        self, src_vocab, tgt_vocab, d_model, n_heads, n_enc, n_dec, d_ff, max_len, pad_id, tie=False, norm_first=True
    ):
        super().__init__()
        self.pad, self.max_len = pad_id, max_len
        self.tables = nn.ParameterDict({"src": torch.randn(src_vocab, d_model), "tgt": torch.randn(tgt_vocab, d_model)})
        if not tie:
            self.tables["out"] = torch.randn(tgt_vocab, d_model)
        make = {"dropout": 0.0, "norm_first": norm_first}
        self.reader = nn.ModuleList([EncoderLayer(d_model, n_heads, d_ff, **make) for _ in range(n_enc)])
        self.writer = nn.ModuleList([DecoderLayer(d_model, n_heads, d_ff, **make) for _ in range(n_dec)])
        self.norms = nn.ModuleDict({"reader": LayerNorm(d_model), "writer": LayerNorm(d_model)})

    def load_reference(self, state):
        names = {"encoder_layers.": "reader.", "decoder_layers.": "writer."}
        names |= {"encoder_norm.": "norms.reader.", "decoder_norm.": "norms.writer."}
        names |= {"src_embed.weight": "tables.src", "tgt_embed.weight": "tables.tgt", "output.weight": "tables.out"}
        mine = {}
        for name, value in state.items():
            old = next(prefix for prefix in names if name.startswith(prefix))
            mine[names[old] + name.removeprefix(old)] = value
        if "out" not in self.tables:
            del mine["tables.out"]
        self.load_state_dict(mine)

    def embedded(self, which, ids):
        T = ids.size(1)
        if self.max_len < T:
            raise ValueError(f"{T} > {self.max_len}")
        table = self.tables[which]
        return F.embedding(ids, table) * table.size(1) ** 0.5 + sinusoidal_encoding(T, table.size(1)).to(table.dtype)

    def encode(self, src):
        x = self.embedded("src", src)
        for layer in self.reader:
            x = layer(x, src.ne(self.pad)[:, None, None, :])
        return self.norms["reader"](x)

    def decode(self, inp, memory, src):
        x = self.embedded("tgt", inp)
        earlier = torch.ones(inp.size(1), inp.size(1)).tril().bool()
        for layer in self.writer:
            x = layer(x, memory, earlier, src.ne(self.pad)[:, None, None, :])
        return self.norms["writer"](x) @ self.tables["out" if "out" in self.tables else "tgt"].T

    def forward(self, src, inp):
        return self.decode(inp, self.encode(src), src)
