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
