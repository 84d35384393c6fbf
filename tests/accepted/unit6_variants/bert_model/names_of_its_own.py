"""Other names inside, filled by load_reference; the token table is used twice without an output layer."""

import torch
import torch.nn.functional as F
from torch import nn

from autograder import given


class Bert(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        d = cfg["d"]
        sizes = (cfg["vocab"], d, cfg["max_len"], cfg["n_segments"], cfg["pad_id"])
        self.embed = given.BertEmbeddings(*sizes)
        stack = [
            given.EncoderLayer(d, cfg["n_heads"], cfg["d_ff"], 0.0, False, "gelu", 1e-12)
            for _ in range(cfg["n_layers"])
        ]
        self.stack = nn.ModuleList(stack)
        self.heads = nn.ModuleDict({"pooler": nn.Linear(d, d), "transform": nn.Linear(d, d), "nsp": nn.Linear(d, 2)})
        self.norm = nn.LayerNorm(d, eps=1e-12)
        self.frequency = nn.Parameter(torch.zeros(cfg["vocab"]))

    def load_reference(self, state_dict):
        mine = {}
        for name, value in state_dict.items():
            start, _, rest = name.partition(".")
            if start in ("pooler", "transform", "nsp"):
                mine[f"heads.{name}"] = value
            elif start == "decoder":
                if rest == "bias":
                    mine["frequency"] = value
            else:
                mine[{"embeddings": "embed", "layers": "stack", "transform_norm": "norm"}[start] + "." + rest] = value
        self.load_state_dict(mine)

    def forward(self, ids, segments=None, mask=None):
        x = self.embed(ids, segments)
        if mask is not None:
            mask = mask.unsqueeze(1).unsqueeze(1)
        for layer in self.stack:
            x = layer(x, mask)
        first = self.heads["pooler"](x[:, 0]).tanh()
        words = self.norm(F.gelu(self.heads["transform"](x)))
        return x, first, words @ self.embed.tokens.weight.T + self.frequency, self.heads["nsp"](first)
