"""Reference of the page `bottleneck`: one sequence at a time, the GRU's equations written out."""

import torch
from torch import Tensor, nn


class AttnSeq2Seq(nn.Module):
    """The page's model; `nn.GRU` and `nn.Linear` only hold the parameters."""

    def __init__(self, vocab: int, d: int, attn: bool) -> None:
        super().__init__()
        self.attn = attn
        self.embed = nn.Embedding(vocab, d)
        self.encoder = nn.GRU(d, d, batch_first=True)
        self.decoder = nn.GRU(d, d, batch_first=True)
        if attn:
            self.query = nn.Linear(d, d)
            self.key = nn.Linear(d, d, bias=False)
            self.score = nn.Linear(d, 1, bias=False)
        self.output = nn.Linear(2 * d, vocab)

    def forward(self, src: Tensor, tgt_in: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, weights = [], []
        for source, written in zip(src, tgt_in, strict=True):
            length = int((source != 0).sum())
            h = self.embed.weight.new_zeros(self.embed.weight.shape[1])
            states = []
            for symbol in source[:length]:
                h = _gru_step(self.encoder, self.embed.weight[symbol], h)
                states.append(h)
            keys = torch.stack(states)
            rows, shares = [], []
            for symbol in written:
                h = _gru_step(self.decoder, self.embed.weight[symbol], h)
                context = states[-1]
                if self.attn:
                    hidden = torch.tanh(self.query.weight @ h + self.query.bias + keys @ self.key.weight.T)
                    powers = torch.exp(hidden @ self.score.weight[0])
                    share = powers / powers.sum()
                    context = sum(w * state for w, state in zip(share, states, strict=True))
                    shares.append(torch.cat([share, share.new_zeros(len(source) - length)]))
                rows.append(self.output.weight @ torch.cat([h, context]) + self.output.bias)
            logits.append(torch.stack(rows))
            weights.append(torch.stack(shares) if shares else None)
        return torch.stack(logits), torch.stack(weights) if self.attn else None


def _gru_step(gru: nn.GRU, x: Tensor, h: Tensor) -> Tensor:
    """Reset and update gate, candidate, mixture; the weights hold the three parts one below the other."""
    xr, xz, xn = (gru.weight_ih_l0 @ x + gru.bias_ih_l0).chunk(3)
    hr, hz, hn = (gru.weight_hh_l0 @ h + gru.bias_hh_l0).chunk(3)
    update = torch.sigmoid(xz + hz)
    candidate = torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
    return (1 - update) * candidate + update * h
