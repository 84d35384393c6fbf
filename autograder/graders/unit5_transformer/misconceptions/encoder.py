"""Known wrong answers to the page `encoder`."""

import torch
from torch import nn

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- encoder_layer


class _Layer(correct.EncoderLayer):
    """The right layer, with places where it can be changed."""

    def attend(self, x, mask):
        return self.dropout(self.self_attn(x, mask=mask))

    def work(self, x):
        return self.dropout(self.ffn(x))

    def run(self, x, mask, first, second):
        if self.norm_first:
            x = x + self.attend(first(x), mask)
            return x + self.work(second(x))
        x = first(x + self.attend(x, mask))
        return second(x + self.work(x))


@misconception("encoder_layer", symbol="EncoderLayer")
class norms_swapped(_Layer):
    """norm2 was used for attention and norm1 for the feed-forward network.

    Fresh norms are equal, so that nobody notices before somebody's trained weights are loaded. norm1 belongs to
    attention, in both variants.
    """

    def forward(self, x, mask=None):
        return self.run(x, mask, self.norm2, self.norm1)


@misconception("encoder_layer", symbol="EncoderLayer")
class shared_norm(_Layer):
    """One norm serves both sub-layers. There are two, with parameters of their own; norm2 is never used in yours."""

    def forward(self, x, mask=None):
        return self.run(x, mask, self.norm1, self.norm1)


@misconception("encoder_layer", symbol="EncoderLayer")
class mask_not_passed(_Layer):
    """The mask does not reach attention: every token sees every other one, padding included."""

    def forward(self, x, mask=None):
        return self.run(x, None, self.norm1, self.norm2)


@misconception("encoder_layer", symbol="EncoderLayer")
class ffn_without_residual(_Layer):
    """The feed-forward network replaces the stream, where it should add to it.

    Both sub-layers have a residual connection; what attention has gathered is lost in yours.
    """

    def forward(self, x, mask=None):
        if self.norm_first:
            x = x + self.attend(self.norm1(x), mask)
            return self.work(self.norm2(x))
        x = self.norm1(x + self.attend(x, mask))
        return self.norm2(self.work(x))


@misconception("encoder_layer", symbol="EncoderLayer")
class norm_first_ignored(_Layer):
    """The argument norm_first changes nothing: the layer is post-LN in any case.

    With norm_first=True the norms stand before the sub-layers, and the stream itself is never normalised.
    """

    def forward(self, x, mask=None):
        self.norm_first = False
        return self.run(x, mask, self.norm1, self.norm2)


def drop_tokens(layer, written):
    """One decision for all numbers of a token."""
    if not layer.training or not layer.dropout.p:
        return written
    return written * nn.functional.dropout(torch.ones_like(written[..., :1]), layer.dropout.p)


@misconception("encoder_layer", symbol="EncoderLayer")
class whole_tokens_dropped(_Layer):
    """All that a sub-layer writes into a token is dropped together, or nothing of it.

    Dropout decides about each number by itself. How many random numbers are drawn for one token?
    """

    def attend(self, x, mask):
        return drop_tokens(self, self.self_attn(x, mask=mask))

    def work(self, x):
        return drop_tokens(self, self.ffn(x))

    def forward(self, x, mask=None):
        return self.run(x, mask, self.norm1, self.norm2)


@misconception("encoder_layer", symbol="EncoderLayer")
class normed_copy_dropped(_Layer):
    """Dropout was applied to the normalised copy, too, before the sub-layer reads it.

    In pre-LN the sub-layer reads the copy as it is; what it makes of it is dropped, and then added. One dropout for
    each sub-layer.
    """

    def forward(self, x, mask=None):
        if not self.norm_first:
            return self.run(x, mask, self.norm1, self.norm2)
        x = x + self.attend(self.dropout(self.norm1(x)), mask)
        return x + self.work(self.dropout(self.norm2(x)))


@misconception("encoder_layer", symbol="EncoderLayer")
class input_dropped(_Layer):
    """In post-LN dropout was applied to the input of the sub-layers, too. They read all of the stream.

    What a sub-layer makes of it is dropped, and then added. One dropout for each sub-layer.
    """

    def forward(self, x, mask=None):
        if self.norm_first:
            return self.run(x, mask, self.norm1, self.norm2)
        x = self.norm1(x + self.attend(self.dropout(x), mask))
        return self.norm2(x + self.work(self.dropout(x)))


@misconception("encoder_layer", symbol="EncoderLayer")
class empty_mask_as_none(_Layer):
    """A mask without a single True was taken for no mask at all. It hides everything; None shows everything.

    `mask.any()` says whether something is visible, not whether there is a mask. Compare with None.
    """

    def forward(self, x, mask=None):
        return self.run(x, mask if mask is not None and mask.any() else None, self.norm1, self.norm2)


@misconception("encoder_layer", symbol="EncoderLayer")
class variants_exchanged(_Layer):
    """The two variants were exchanged: norm_first=True is pre-LN, x + f(N(x)), and False post-LN, N(x + f(x))."""

    def forward(self, x, mask=None):
        own, self.norm_first = self.norm_first, not self.norm_first
        try:
            return self.run(x, mask, self.norm1, self.norm2)
        finally:
            self.norm_first = own


@misconception("encoder_layer", symbol="EncoderLayer")
class pre_norm_always(_Layer):
    """The argument norm_first changes nothing: the layer is pre-LN in any case. The default is post-LN."""

    def forward(self, x, mask=None):
        self.norm_first = True
        return self.run(x, mask, self.norm1, self.norm2)


@misconception("encoder_layer", symbol="EncoderLayer")
class mask_inverted(_Layer):
    """The mask was turned round. True means *may attend* in all of this course; `nn.MultiheadAttention` differs."""

    def forward(self, x, mask=None):
        return self.run(x, None if mask is None else ~mask, self.norm1, self.norm2)


@misconception("encoder_layer", symbol="EncoderLayer")
class network_first(_Layer):
    """The feed-forward network came before attention. First the tokens read each other, then each of them works."""

    def forward(self, x, mask=None):
        if self.norm_first:
            x = x + self.work(self.norm2(x))
            return x + self.attend(self.norm1(x), mask)
        x = self.norm2(x + self.work(x))
        return self.norm1(x + self.attend(x, mask))


@misconception("encoder_layer", symbol="EncoderLayer")
class input_added_twice(_Layer):
    """The second residual connection begins at the layer's input: what attention wrote is not in the stream any more.

    The network's result is added to the stream as it is then, after attention.
    """

    def forward(self, x, mask=None):
        if self.norm_first:
            return x + self.work(self.norm2(x + self.attend(self.norm1(x), mask)))
        return self.norm2(x + self.work(self.norm1(x + self.attend(x, mask))))


@misconception("encoder_layer", symbol="EncoderLayer")
class attention_without_residual(_Layer):
    """Attention replaces the stream, where it should add to it. Both sub-layers have a residual connection."""

    def forward(self, x, mask=None):
        if self.norm_first:
            x = self.attend(self.norm1(x), mask)
            return x + self.work(self.norm2(x))
        x = self.norm1(self.attend(x, mask))
        return self.norm2(x + self.work(x))


@misconception("encoder_layer", symbol="EncoderLayer")
class copy_is_the_stream(_Layer):
    """In pre-LN the normalised copy took the place of the stream: N(x) + f(N(x)). The addition is to x itself."""

    def forward(self, x, mask=None):
        if not self.norm_first:
            return self.run(x, mask, self.norm1, self.norm2)
        x = self.norm1(x)
        x = self.norm2(x + self.attend(x, mask))
        return x + self.work(x)


@misconception("encoder_layer", symbol="EncoderLayer")
class keys_not_normed(_Layer):
    """In pre-LN only the queries were normalised; keys and values were made from x. All three read the copy."""

    def forward(self, x, mask=None):
        if not self.norm_first:
            return self.run(x, mask, self.norm1, self.norm2)
        x = x + self.dropout(self.self_attn(self.norm1(x), x, x, mask=mask))
        return x + self.work(self.norm2(x))


@misconception("encoder_layer", symbol="EncoderLayer")
class activation_ignored(_Layer):
    """The argument activation changes nothing: the network has a relu in any case."""

    def forward(self, x, mask=None):
        self.ffn.activation = "relu"
        return self.run(x, mask, self.norm1, self.norm2)


@misconception("encoder_layer", symbol="EncoderLayer")
class nothing_dropped(_Layer):
    """In train mode nothing was dropped: the argument `dropout` has no effect."""

    def forward(self, x, mask=None):
        self.dropout.p = 0.0
        return self.run(x, mask, self.norm1, self.norm2)


@misconception("encoder_layer", symbol="EncoderLayer")
class stream_dropped(_Layer):
    """Dropout was applied to the sum, and with it to the stream. Drop what a sub-layer writes, before it is added."""

    def forward(self, x, mask=None):
        drop = self.dropout
        if self.norm_first:
            x = drop(x + self.self_attn(self.norm1(x), mask=mask))
            return drop(x + self.ffn(self.norm2(x)))
        x = self.norm1(drop(x + self.self_attn(x, mask=mask)))
        return self.norm2(drop(x + self.ffn(x)))


# ---------------------------------------------------------------- encoder_stack


@misconception("encoder_stack", symbol="Encoder")
class tied_layers(correct.Encoder):
    """All layers are one and the same: its weights are used again and again.

    `[layer] * n` is a list of n references to one layer. Make a new one for each place.
    """

    def __init__(self, n_layers, *args, **kwargs):
        super().__init__(n_layers, *args, **kwargs)
        self.layers = nn.ModuleList([layer for layer in self.layers[:1] for _ in range(n_layers)])


@misconception("encoder_stack", symbol="Encoder")
class mask_first_layer_only(correct.Encoder):
    """Only the first layer gets the mask. The second reads the padding, into which the first has written.

    Hand the mask to every layer.
    """

    def forward(self, x, mask=None):
        for layer in self.layers:
            x, mask = layer(x, mask=mask), None
        return self.norm(x)


@misconception("encoder_stack", symbol="Encoder")
class final_norm_missing(correct.Encoder):
    """The final norm is not applied.

    A pre-LN stack never normalises the stream itself: after the last layer it is the sum of everything that was
    written, of any size.
    """

    def forward(self, x, mask=None):
        for layer in self.layers:
            x = layer(x, mask=mask)
        return x


@misconception("encoder_stack", symbol="Encoder")
class python_list(correct.Encoder):
    """The layers stand in a Python list, where the module does not find them.

    They are in neither parameters() nor the state dict: nothing can be loaded, and an optimiser never trains them.
    Which list does a module look into?
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        layers = list(self.layers)
        del self.layers
        self.layers = layers


@misconception("encoder_stack", symbol="Encoder")
class norm_of_pre_norm_only(correct.Encoder):
    """The final norm depends on norm_first. Nothing decides about it but final_norm."""

    def __init__(self, *args, norm_first=False, final_norm=False, **kwargs):
        super().__init__(*args, norm_first=norm_first, final_norm=norm_first, **kwargs)


@misconception("encoder_stack", symbol="Encoder")
class norm_in_any_case(correct.Encoder):
    """There is a final norm although final_norm is False: it has parameters that the state dict does not know."""

    def __init__(self, *args, final_norm=False, **kwargs):
        super().__init__(*args, final_norm=True, **kwargs)


@misconception("encoder_stack", symbol="Encoder")
class mask_for_nobody(correct.Encoder):
    """No layer gets the mask: every token sees every other one, padding included."""

    def forward(self, x, mask=None):
        return super().forward(x)


@misconception("encoder_stack", symbol="Encoder")
class all_read_the_input(correct.Encoder):
    """Every layer reads the input of the encoder, and only the last one's result counts.

    The result of one layer is the input of the next: give both the same name.
    """

    def forward(self, x, mask=None):
        out = x
        for layer in self.layers:
            out = layer(x, mask=mask)
        return self.norm(out)


@misconception("encoder_stack", symbol="Encoder")
class input_added_again(correct.Encoder):
    """x was added to the result of each layer. A layer has its residual connections inside."""

    def forward(self, x, mask=None):
        for layer in self.layers:
            x = x + layer(x, mask=mask)
        return self.norm(x)


@misconception("encoder_stack", symbol="Encoder")
class norm_after_every_layer(correct.Encoder):
    """The final norm was applied after every layer. It follows the last one, and only that."""

    def forward(self, x, mask=None):
        for layer in self.layers:
            x = self.norm(layer(x, mask=mask))
        return x if len(self.layers) else self.norm(x)


@misconception("encoder_stack", symbol="Encoder")
class layers_backwards(correct.Encoder):
    """The layers were applied from the last to the first. layers.0 reads the input."""

    def forward(self, x, mask=None):
        for layer in reversed(self.layers):
            x = layer(x, mask=mask)
        return self.norm(x)


@misconception("encoder_stack", symbol="Encoder")
class norm_first_not_handed_on(correct.Encoder):
    """norm_first does not reach the layers: they are post-LN in any case."""

    def __init__(self, *args, norm_first=False, **kwargs):
        super().__init__(*args, **kwargs)


@misconception("encoder_stack", symbol="Encoder")
class activation_not_handed_on(correct.Encoder):
    """activation does not reach the layers: they have a relu in any case."""

    def __init__(self, *args, activation="relu", **kwargs):
        super().__init__(*args, **kwargs)


@misconception("encoder_stack", symbol="Encoder")
class dropout_not_handed_on(correct.Encoder):
    """dropout does not reach the layers: in train mode nothing is dropped."""

    def __init__(self, *args, dropout=0.0, **kwargs):
        super().__init__(*args, **kwargs)
