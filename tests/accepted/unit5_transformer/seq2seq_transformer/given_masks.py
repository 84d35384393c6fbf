"""The kit's masks; the tie in the constructor; forward does all the work."""

import math

import torch
from torch import nn

from autograder.given import DecoderLayer, EncoderLayer, LayerNorm, sinusoidal_encoding, source_mask, target_mask


class Transformer(nn.Module):
    def __init__(
        self, src_vocab, tgt_vocab, d_model, n_heads, n_enc, n_dec, d_ff, max_len, pad_id, tie=False, norm_first=True
    ):
        super().__init__()
        self.max_len, self.pad_id = max_len, pad_id
        self.src_embed = nn.Embedding(src_vocab, d_model)
        self.tgt_embed = nn.Embedding(tgt_vocab, d_model)
        self.register_buffer("positions", sinusoidal_encoding(max_len, d_model), persistent=False)
        arguments = (d_model, n_heads, d_ff, 0.0, norm_first)
        self.encoder_layers = nn.ModuleList([EncoderLayer(*arguments) for _ in range(n_enc)])
        self.encoder_norm = LayerNorm(d_model)
        self.decoder_layers = nn.ModuleList([DecoderLayer(*arguments) for _ in range(n_dec)])
        self.decoder_norm = LayerNorm(d_model)
        self.output = nn.Linear(d_model, tgt_vocab, bias=False)
        if tie:
            self.tgt_embed.weight = self.output.weight

    def embed(self, embedding, ids):
        if ids.size(1) > self.max_len:
            raise ValueError("too long")
        x = embedding(ids) * math.sqrt(embedding.embedding_dim)
        return x + self.positions[None, : ids.size(1)].to(x)

    def encode(self, src):
        x, mask = self.embed(self.src_embed, src), source_mask(src, self.pad_id)
        for layer in self.encoder_layers:
            x = layer(x, mask)
        return self.encoder_norm(x)

    def decode(self, inp, memory, src):
        x, mask, seen = self.embed(self.tgt_embed, inp), target_mask(inp, self.pad_id), source_mask(src, self.pad_id)
        for layer in self.decoder_layers:
            x = layer(x, memory, mask, seen)
        return torch.einsum("btd,vd->btv", self.decoder_norm(x), self.output.weight)

    def forward(self, src, inp):
        return self.decode(inp, self.encode(src), src)
