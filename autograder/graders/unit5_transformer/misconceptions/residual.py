"""Known wrong answers to the page `residual`."""

import torch
import torch.nn.functional as F

from autograder.grading.misconceptions import correct, misconception


def drop(wrapper, written):
    return F.dropout(written, wrapper.dropout, training=wrapper.training)


@misconception("residual_norm_wrappers", symbol="Residual")
class norm_on_stream(correct.Residual):
    """In pre-LN the norm was put on the stream: N(x) + f(N(x)).

    The sub-layer reads a normalised copy, and its result is added to x itself. With your formula what earlier layers
    wrote is rescaled in every layer, and the gradient has no straight way back.
    """

    def forward(self, x, **kwargs):
        if not self.norm_first:
            return super().forward(x, **kwargs)
        normed = self.norm(x)
        return normed + drop(self, self.sublayer(normed, **kwargs))


@misconception("residual_norm_wrappers", symbol="Residual")
class post_norm_before_add(correct.Residual):
    """In post-LN only the result of the sub-layer was normalised: x + N(f(x)).

    It is the sum that is normalised, after the addition.
    """

    def forward(self, x, **kwargs):
        if self.norm_first:
            return super().forward(x, **kwargs)
        return x + self.norm(drop(self, self.sublayer(x, **kwargs)))


@misconception("residual_norm_wrappers", symbol="Residual")
class dropout_on_sum(correct.Residual):
    """Dropout was applied to the sum, and with it to the stream: what earlier layers have written gets holes.

    Drop what the sub-layer wrote, before it is added.
    """

    def forward(self, x, **kwargs):
        total = drop(self, x + self.sublayer(self.norm(x) if self.norm_first else x, **kwargs))
        return total if self.norm_first else self.norm(total)


@misconception("residual_norm_wrappers", symbol="Residual")
class no_residual(correct.Residual):
    """x was not added: the sub-layer replaces the stream instead of writing into it."""

    def forward(self, x, **kwargs):
        written = drop(self, self.sublayer(self.norm(x) if self.norm_first else x, **kwargs))
        return written if self.norm_first else self.norm(written)


@misconception("residual_norm_wrappers", symbol="Residual")
class kwargs_dropped(correct.Residual):
    """The keyword arguments did not arrive at the sub-layer: attention never gets its mask.

    Nothing complains, and everybody sees everything. Hand on whatever the caller passes by keyword.
    """

    def forward(self, x, **kwargs):
        return super().forward(x)


def drop_by(wrapper, shape, written):
    """One decision for all numbers that share a place in `shape`."""
    if not wrapper.training or not wrapper.dropout:
        return written
    return written * F.dropout(torch.ones(shape, dtype=written.dtype), wrapper.dropout)


class Dropping(correct.Residual):
    """The right wrapper, with places where dropout can be changed."""

    def read(self, x):
        return x

    def drop(self, written):
        return drop(self, written)

    def forward(self, x, **kwargs):
        written = self.drop(self.sublayer(self.read(self.norm(x) if self.norm_first else x), **kwargs))
        return x + written if self.norm_first else self.norm(x + written)


@misconception("residual_norm_wrappers", symbol="Residual")
class whole_tokens_dropped(Dropping):
    """All that was written into a token is dropped together, or nothing of it.

    Dropout decides about each number by itself. How many random numbers are drawn for one token? (To drop all that a
    sub-layer writes is another idea: stochastic depth.)
    """

    def drop(self, written):
        return drop_by(self, (*written.shape[:-1], 1), written)


@misconception("residual_norm_wrappers", symbol="Residual")
class one_mask_for_all(Dropping):
    """The same numbers are dropped in every token: one row of D decisions was drawn for the whole batch.

    Dropout decides about each number of each token by itself. What shape has what you draw?
    """

    def drop(self, written):
        return drop_by(self, written.shape[-1:], written)


@misconception("residual_norm_wrappers", symbol="Residual")
class what_is_read_dropped(Dropping):
    """Dropout was applied to what the sub-layer reads as well. Only what it writes is dropped.

    The sub-layer reads all of its input, in train mode too.
    """

    def read(self, x):
        return drop(self, x)
