"""Known wrong answers to the page `decoder`."""

import torch

from autograder.grading.misconceptions import correct, misconception


class Parts(correct.DecoderLayer):
    """The layer as a list of steps, so that a mistake is one step."""

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        return self.think(self.look_at_memory(self.look_at_itself(x, tgt_mask), memory, memory_mask))

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


@misconception("decoder_layer", symbol="DecoderLayer")
class keys_not_normed(Parts):
    """In pre-LN only the queries of the self-attention were normalised; its keys and values were made from x itself.

    The sub-layer reads one thing, the normalised copy, and all three of its parts are made from it:
    `mha(query, key, value)` fills in the query where key and value are left out.
    """

    def look_at_itself(self, x, tgt_mask):
        if not self.norm_first:
            return super().look_at_itself(x, tgt_mask)
        return x + self.dropout(self.self_attn(self.norm1(x), x, x, mask=tgt_mask))


@misconception("decoder_layer", symbol="DecoderLayer")
class empty_mask_as_none(Parts):
    """A mask without a single True was taken for no mask at all. It hides everything; None shows everything.

    `mask.any()` says whether something is visible, not whether there is a mask. Compare with None.
    """

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        tgt_mask, memory_mask = (m if m is not None and m.any() else None for m in (tgt_mask, memory_mask))
        return self.think(self.look_at_memory(self.look_at_itself(x, tgt_mask), memory, memory_mask))


@misconception("decoder_layer", symbol="DecoderLayer")
class ffn_not_dropped(Parts):
    """What the feed-forward network returns was not dropped. All three sub-layers are treated alike."""

    def think(self, x):
        return x + self.ffn(self.norm3(x)) if self.norm_first else self.norm3(x + self.ffn(x))


@misconception("decoder_layer", symbol="DecoderLayer")
class whole_tokens_dropped(Parts):
    """All that a sub-layer returns for a token is dropped together, or nothing of it.

    Dropout decides about each number by itself. How many random numbers are drawn for one token?
    """

    def joined(self, x, norm, sublayer):
        written = sublayer(norm(x) if self.norm_first else x)
        if self.training and self.dropout.p:
            written = written * self.dropout(torch.ones_like(written[..., :1]))
        return x + written if self.norm_first else norm(x + written)


@misconception("decoder_layer", symbol="DecoderLayer")
class normed_copy_dropped(Parts):
    """Dropout was applied to what the sub-layers read, too. Only what they return is dropped."""

    def joined(self, x, norm, sublayer):
        return super().joined(x, norm, lambda y: sublayer(self.dropout(y)))


@misconception("decoder_layer", symbol="DecoderLayer")
class masks_exchanged(Parts):
    """The masks were exchanged: tgt_mask is for the self-attention, memory_mask for the cross-attention."""

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        return super().forward(x, memory, memory_mask, tgt_mask)


@misconception("decoder_layer", symbol="DecoderLayer")
class memory_not_masked(Parts):
    """The cross-attention did not get memory_mask, so it reads the padding of the source."""

    def look_at_memory(self, x, memory, memory_mask):
        return super().look_at_memory(x, memory, None)


@misconception("decoder_layer", symbol="DecoderLayer")
class own_causal_mask(Parts):
    """The layer made a causal mask of its own where none was given. With None every token of x sees every other."""

    def look_at_itself(self, x, tgt_mask):
        if tgt_mask is None:
            tgt_mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        return super().look_at_itself(x, tgt_mask)


@misconception("decoder_layer", symbol="DecoderLayer")
class variants_exchanged(Parts):
    """The two variants were exchanged: norm_first=True is pre-LN, x + f(N(x)), and False post-LN, N(x + f(x))."""

    def joined(self, x, norm, sublayer):
        if self.norm_first:
            return norm(x + self.dropout(sublayer(x)))
        return x + self.dropout(sublayer(norm(x)))


@misconception("decoder_layer", symbol="DecoderLayer")
class pre_norm_always(Parts):
    """The argument norm_first changes nothing: the layer is pre-LN in any case."""

    def joined(self, x, norm, sublayer):
        return x + self.dropout(sublayer(norm(x)))


@misconception("decoder_layer", symbol="DecoderLayer")
class post_norm_always(Parts):
    """The argument norm_first changes nothing: the layer is post-LN in any case."""

    def joined(self, x, norm, sublayer):
        return norm(x + self.dropout(sublayer(x)))


@misconception("decoder_layer", symbol="DecoderLayer")
class copy_is_the_stream(Parts):
    """In pre-LN the normalised copy took the place of the stream: N(x) + f(N(x)). The addition is to x itself."""

    def joined(self, x, norm, sublayer):
        if not self.norm_first:
            return super().joined(x, norm, sublayer)
        copy = norm(x)
        return copy + self.dropout(sublayer(copy))


@misconception("decoder_layer", symbol="DecoderLayer")
class one_attention_for_both(Parts):
    """self_attn was used for the memory as well, and cross_attn not at all. The two have weights of their own."""

    def look_at_memory(self, x, memory, memory_mask):
        return self.joined(x, self.norm2, lambda y: self.self_attn(y, memory, mask=memory_mask))


@misconception("decoder_layer", symbol="DecoderLayer")
class query_not_normed(Parts):
    """In pre-LN the cross-attention was asked with x itself. Its queries are made from the copy that norm2 gives."""

    def look_at_memory(self, x, memory, memory_mask):
        if not self.norm_first:
            return super().look_at_memory(x, memory, memory_mask)
        return x + self.dropout(self.cross_attn(x, memory, mask=memory_mask))


@misconception("decoder_layer", symbol="DecoderLayer")
class memory_without_residual(Parts):
    """The cross-attention replaces the stream, where it should add to it. All three have a residual connection."""

    def look_at_memory(self, x, memory, memory_mask):
        written = self.dropout(self.cross_attn(self.norm2(x) if self.norm_first else x, memory, mask=memory_mask))
        return written if self.norm_first else self.norm2(written)


@misconception("decoder_layer", symbol="DecoderLayer")
class nothing_dropped(Parts):
    """In train mode nothing was dropped: the argument `dropout` has no effect."""

    def joined(self, x, norm, sublayer):
        return x + sublayer(norm(x)) if self.norm_first else norm(x + sublayer(x))


@misconception("decoder_layer", symbol="DecoderLayer")
class stream_dropped(Parts):
    """Dropout was applied to the sum, and with it to the stream. Drop what a sub-layer returns, before it is added."""

    def joined(self, x, norm, sublayer):
        return self.dropout(x + sublayer(norm(x))) if self.norm_first else norm(self.dropout(x + sublayer(x)))


@misconception("decoder_layer", symbol="DecoderLayer")
class norm3_at_the_end_too(Parts):
    """norm3 was applied to the result once more. The norm behind a pre-LN stack belongs to the stack."""

    def forward(self, x, memory, tgt_mask=None, memory_mask=None):
        return self.norm3(super().forward(x, memory, tgt_mask, memory_mask))
