"""GRU cells in a loop, step by step, with parameters of other names and shapes."""

import torch
import torch.nn.functional as F
from torch import nn


class AttnSeq2Seq(nn.Module):
    def __init__(self, vocab, d, attn):
        super().__init__()
        self.attn = attn
        self.table = nn.Embedding(vocab, d)
        self.reader = nn.GRUCell(d, d)
        self.writer = nn.GRUCell(d, d)
        if attn:
            self.pair = nn.Linear(2 * d, d)  # [query; key] at once
            self.v = nn.Parameter(torch.zeros(d))
        self.from_state = nn.Linear(d, vocab)
        self.from_context = nn.Linear(d, vocab, bias=False)

    def load_reference(self, sd):
        with torch.no_grad():
            self.table.weight.copy_(sd["embed.weight"])
            for cell, name in ((self.reader, "encoder"), (self.writer, "decoder")):
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(cell, part).copy_(sd[f"{name}.{part}_l0"])
            if self.attn:
                self.pair.weight.copy_(torch.cat([sd["query.weight"], sd["key.weight"]], dim=1))
                self.pair.bias.copy_(sd["query.bias"])
                self.v.copy_(sd["score.weight"][0])
            d = self.table.embedding_dim
            self.from_state.weight.copy_(sd["output.weight"][:, :d])
            self.from_context.weight.copy_(sd["output.weight"][:, d:])
            self.from_state.bias.copy_(sd["output.bias"])

    def forward(self, src, tgt_in):
        B, S = src.shape
        real = src > 0
        h = self.table.weight.new_zeros(B, self.table.embedding_dim)
        states = []
        for j in range(S):
            h = torch.where(real[:, j : j + 1], self.reader(self.table(src[:, j]), h), h)
            states.append(h)
        last, states = h, torch.stack(states, dim=1)
        logits, weights = [], []
        for t in range(tgt_in.shape[1]):
            h = self.writer(self.table(tgt_in[:, t]), h)
            context = last
            if self.attn:
                both = torch.cat([h[:, None].expand_as(states), states], dim=-1)
                e = torch.tanh(self.pair(both)) @ self.v
                w = F.softmax(e.masked_fill(~real, float("-inf")), dim=1)
                context = (w[..., None] * states).sum(dim=1)
                weights.append(w)
            logits.append(self.from_state(h) + self.from_context(context))
        return torch.stack(logits, dim=1), torch.stack(weights, dim=1) if self.attn else None
