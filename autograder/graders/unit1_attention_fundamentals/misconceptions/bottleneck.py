"""Known wrong answers to the page `bottleneck`."""

import math

import torch

from autograder.grading.misconceptions import correct, misconception


class Parts(correct.AttnSeq2Seq):
    """The model in pieces, so that a mistake is one piece."""

    def read(self, src):
        states, _ = self.encoder(self.embed(src))
        return states, states[torch.arange(len(src)), (src != 0).sum(dim=1) - 1]

    def write(self, tgt_in, last):
        return self.decoder(self.embed(tgt_in), last[None])[0]

    def look_back(self, query, keys, mask):
        pairs = torch.tanh(self.query(query)[:, :, None] + self.key(keys)[:, None])
        weights = torch.softmax(self.score(pairs).squeeze(-1).masked_fill(~mask, -math.inf), dim=-1)
        return weights @ keys, weights

    def logits(self, h, context):
        return self.output(torch.cat([h, context], dim=-1))


class InPieces(Parts):
    """Put together from its pieces, so that one wrong piece is wrong with attention and without."""

    def forward(self, src, tgt_in):
        states, last = self.read(src)
        h = self.write(tgt_in, last)
        if not self.attn:
            return self.logits(h, last[:, None].expand(-1, h.shape[1], -1)), None
        context, weights = self.look_back(h, states, (src != 0)[:, None])
        return self.logits(h, context), weights


@misconception("bottleneck_study", symbol="AttnSeq2Seq")
class attn_on_decoder_inputs(Parts):
    """The attention runs over the decoder's own states, not over the encoder's.

    The queries come from the decoder, the keys and values from the source. The decoder then still knows no more of the
    source than the one vector, and the weights have the shape (B, T, T) instead of (B, T, S).
    """

    def forward(self, src, tgt_in):
        if not self.attn:
            return super().forward(src, tgt_in)
        h = self.write(tgt_in, self.read(src)[1])
        context, weights = self.look_back(h, h, torch.ones(1, 1, 1, dtype=torch.bool))
        return self.logits(h, context), weights


@misconception("bottleneck_study", symbol="AttnSeq2Seq")
class context_one_step_late(Parts):
    """The context of step t was computed with the decoder's state before it read input t, one step too early.

    The query of step t is h_t, the state after reading tgt_in[:, t], and the logits of step t get the context of that
    same query. Such a shift trains nearly as well, so only a comparison finds it.
    """

    def forward(self, src, tgt_in):
        if not self.attn:
            return super().forward(src, tgt_in)
        states, last = self.read(src)
        h = self.write(tgt_in, last)
        before = torch.cat([last[:, None], h[:, :-1]], dim=1)
        context, weights = self.look_back(before, states, (src != 0)[:, None])
        return self.logits(h, context), weights


@misconception("bottleneck_study", symbol="AttnSeq2Seq")
class leaks_when_off(Parts):
    """With attn=False the decoder still gets at all the encoder's states, not only at the last one.

    A mean of the states, or attention with fixed weights, is a second way around the bottleneck. The comparison is
    worth something only if, with the switch off, everything passes through one vector of width d.
    """

    def forward(self, src, tgt_in):
        if self.attn:
            return super().forward(src, tgt_in)
        states, last = self.read(src)
        h = self.write(tgt_in, last)
        scores = (h @ states.mT).masked_fill(~(src != 0)[:, None], -math.inf)
        return self.logits(h, torch.softmax(scores, dim=-1) @ states), None


@misconception("bottleneck_study", symbol="AttnSeq2Seq")
class no_src_mask(Parts):
    """The attention does not leave out padding: PAD positions of the source get weight.

    The sum over the source then depends on how much padding the batch happens to have. PAD has to be excluded before
    the softmax.
    """

    def forward(self, src, tgt_in):
        if not self.attn:
            return super().forward(src, tgt_in)
        states, last = self.read(src)
        h = self.write(tgt_in, last)
        context, weights = self.look_back(h, states, torch.ones_like(src, dtype=torch.bool)[:, None])
        return self.logits(h, context), weights


@misconception("bottleneck_study", symbol="AttnSeq2Seq")
class detached_context(Parts):
    """The context is cut off from the gradient: query, key and score never learn.

    Outputs are right, but look for detach(), .data, torch.no_grad() or a tensor built anew from values between the
    encoder's states and the output layer. The attention stays as random as it began.
    """

    def forward(self, src, tgt_in):
        if not self.attn:
            return super().forward(src, tgt_in)
        states, last = self.read(src)
        h = self.write(tgt_in, last)
        context, weights = self.look_back(h, states, (src != 0)[:, None])
        return self.logits(h, context.detach()), weights


@misconception("bottleneck_study", symbol="AttnSeq2Seq")
class last_after_padding(InPieces):
    """The last state is the one after the padding: s[:, -1], or the second result of nn.GRU.

    A short source has then read PAD for a while, and what the decoder gets depends on how long the others are. Which
    state of each row is the one after its last real symbol?
    """

    def read(self, src):
        states, last = self.encoder(self.embed(src))
        return states, last[0]


@misconception("bottleneck_study", symbol="AttnSeq2Seq")
class context_before_state(InPieces):
    """The context stands before the decoder's state. The output layer reads [h; c], the state first.

    Both are d wide, so nothing complains.
    """

    def logits(self, h, context):
        return self.output(torch.cat([context, h], dim=-1))


@misconception("bottleneck_study", symbol="AttnSeq2Seq")
class decoder_from_zeros(InPieces):
    """The decoder starts from zeros. It is to start from the encoder's last real state, with attention and without."""

    def write(self, tgt_in, last):
        return self.decoder(self.embed(tgt_in))[0]
