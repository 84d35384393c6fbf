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


@misconception("residual_norm_wrappers", symbol="Residual")
class variants_exchanged(correct.Residual):
    """The two variants were exchanged: norm_first=True is pre-LN, x + f(N(x)), and False post-LN, N(x + f(x))."""

    def forward(self, x, **kwargs):
        if self.norm_first:
            return self.norm(x + drop(self, self.sublayer(x, **kwargs)))
        return x + drop(self, self.sublayer(self.norm(x), **kwargs))


@misconception("residual_norm_wrappers", symbol="Residual")
class always_pre_norm(correct.Residual):
    """norm_first was not used: this is pre-LN in both cases."""

    def forward(self, x, **kwargs):
        return x + drop(self, self.sublayer(self.norm(x), **kwargs))


@misconception("residual_norm_wrappers", symbol="Residual")
class always_post_norm(correct.Residual):
    """norm_first was not used: this is post-LN in both cases."""

    def forward(self, x, **kwargs):
        return self.norm(x + drop(self, self.sublayer(x, **kwargs)))


@misconception("residual_norm_wrappers", symbol="Residual")
class sum_normed_in_pre_norm(correct.Residual):
    """In pre-LN the sum was normalised as well. The norm is on the way to the sub-layer, not on the stream."""

    def forward(self, x, **kwargs):
        return self.norm(super().forward(x, **kwargs)) if self.norm_first else super().forward(x, **kwargs)


@misconception("residual_norm_wrappers", symbol="Residual")
class copy_read_in_post_norm(correct.Residual):
    """In post-LN the sub-layer read a normalised copy as well: N(x + f(N(x))). It reads x itself."""

    def forward(self, x, **kwargs):
        if self.norm_first:
            return super().forward(x, **kwargs)
        return self.norm(x + drop(self, self.sublayer(self.norm(x), **kwargs)))


@misconception("residual_norm_wrappers", symbol="Residual")
class correction_normed_in_pre_norm(correct.Residual):
    """In pre-LN the result of the sub-layer was normalised: x + N(f(x)). The norm comes before the sub-layer."""

    def forward(self, x, **kwargs):
        if not self.norm_first:
            return super().forward(x, **kwargs)
        return x + drop(self, self.norm(self.sublayer(x, **kwargs)))


@misconception("residual_norm_wrappers", symbol="Residual")
class nothing_dropped(Dropping):
    """In train mode nothing was dropped: the argument `dropout` has no effect."""

    def drop(self, written):
        return written


@misconception("residual_norm_wrappers", symbol="Residual")
class dropped_in_eval_mode(Dropping):
    """Numbers were dropped in eval mode, too. `F.dropout` does not know the module's mode unless it is told."""

    def drop(self, written):
        return F.dropout(written, self.dropout)


@misconception("residual_norm_wrappers", symbol="Residual")
class survivors_not_enlarged(Dropping):
    """The numbers that were kept are not divided by 1 - dropout, so in train mode less is written on average."""

    def drop(self, written):
        return super().drop(written) * (1 - self.dropout) if self.training else written


@misconception("residual_norm_wrappers", symbol="Residual")
class only_read_dropped(Dropping):
    """Dropout was applied to what the sub-layer reads. What it writes is dropped, and only that."""

    def read(self, x):
        return drop(self, x)

    def drop(self, written):
        return written


@misconception("residual_norm_wrappers", symbol="Residual")
class whole_examples_dropped(Dropping):
    """All that was written into an example is dropped together: that is stochastic depth, another idea.

    Dropout decides about each number by itself.
    """

    def drop(self, written):
        return drop_by(self, (len(written), *[1] * (written.ndim - 1)), written)


@misconception("residual_norm_wrappers", symbol="Residual")
class sublayer_called_twice(correct.Residual):
    """The sub-layer was called more than once. It may draw numbers or keep a count: call it once."""

    def forward(self, x, **kwargs):
        self.sublayer(self.norm(x) if self.norm_first else x, **kwargs)
        return super().forward(x, **kwargs)
