"""The encoder on a packed batch, so that it stops by itself; scores as one einsum."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class AttnSeq2Seq(nn.Module):
    def __init__(self, vocab, d, attn):
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

    def forward(self, src, tgt_in):
        lengths = src.ne(0).sum(1)
        packed = pack_padded_sequence(self.embed(src), lengths, batch_first=True, enforce_sorted=False)
        out, last = self.encoder(packed)
        states, _ = pad_packed_sequence(out, batch_first=True, total_length=src.shape[1])
        h, _ = self.decoder(self.embed(tgt_in), last)
        if not self.attn:
            return self.output(torch.cat((h, last.transpose(0, 1).repeat(1, h.shape[1], 1)), 2)), None
        hidden = (self.query(h).unsqueeze(2) + self.key(states).unsqueeze(1)).tanh()
        e = torch.einsum("btsd,d->bts", hidden, self.score.weight[0])
        mask = src.eq(0).unsqueeze(1)
        top = e.masked_fill(mask, torch.finfo(e.dtype).min).amax(2, keepdim=True)
        p = torch.exp(e - top) * ~mask
        p = p / p.sum(2, keepdim=True)
        context = torch.einsum("bts,bsd->btd", p, states)
        return self.output(torch.cat((h, context), 2)), p
