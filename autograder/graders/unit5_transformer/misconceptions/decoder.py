"""Known wrong answers to the page `decoder`."""

from autograder.grading.misconceptions import correct, misconception


class Parts(correct.DecoderLayer):
    """The layer as a list of steps, so that a mistake is one step."""

    def look_at_itself(self, x, tgt_mask):
        return self.joined(x, self.norm1, lambda y: self.self_attn(y, mask=tgt_mask))

    def look_at_memory(self, x, memory, memory_mask):
        return self.joined(x, self.norm2, lambda y: self.cross_attn(y, memory, mask=memory_mask))

    def think(self, x):
        return self.joined(x, self.norm3, self.ffn)

    def joined(self, x, norm, sublayer):
        if self.norm_first:
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))


@misconception("decoder_layer", symbol="DecoderLayer")
class cross_before_self(Parts):
    """The cross-attention came before the self-attention.

    All shapes are right, and the layer trains. But the order is part of the architecture: first the decoder looks at
    what it has written, and with that in mind it asks the source.
    """

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        return self.think(self.look_at_itself(self.look_at_memory(x, memory, memory_mask), tgt_mask))


@misconception("decoder_layer", symbol="DecoderLayer")
class memory_normed(Parts):
    """The memory went through norm2, together with the queries. It is to be used as it comes.

    The encoder has normalised it already. norm2 belongs to the decoder's own stream, from which the queries are made.
    """

    def look_at_memory(self, x, memory, memory_mask):
        return super().look_at_memory(x, self.norm2(memory), memory_mask)

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        return self.think(self.look_at_memory(self.look_at_itself(x, tgt_mask), memory, memory_mask))


@misconception("decoder_layer", symbol="DecoderLayer")
class no_causal(Parts):
    """The self-attention did not get tgt_mask, so every output sees the symbols that it is to predict.

    In training that looks like a triumph: the loss falls to nothing. When the model has to write, there is no future to
    copy from.
    """

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        return self.think(self.look_at_memory(self.look_at_itself(x, None), memory, memory_mask))


@misconception("decoder_layer", symbol="DecoderLayer")
class memory_mask_on_self(Parts):
    """The self-attention was given memory_mask, which says what is padding in the *source*.

    Where source and target have the same length it fits, and hides the wrong tokens. tgt_mask is for the
    self-attention, and memory_mask for the cross-attention.
    """

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        return self.think(self.look_at_memory(self.look_at_itself(x, memory_mask), memory, memory_mask))


@misconception("decoder_layer", symbol="DecoderLayer")
class two_norms_only(Parts):
    """Only two of the three norms are used: the feed-forward network shares norm2 with the cross-attention.

    Each sub-layer has a norm with a weight and a bias of its own. At the start of training all norms are alike, so
    nothing shows; norm3 then never learns.
    """

    def think(self, x):
        return self.joined(x, self.norm2, self.ffn)

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        return self.think(self.look_at_memory(self.look_at_itself(x, tgt_mask), memory, memory_mask))
