"""Known wrong answers to the page `learned`."""

import torch
from torch import nn

from autograder.grading.misconceptions import correct, misconception


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class batch_index_used(correct.LearnedPositionalEmbedding):
    """The row was chosen by the number of the example in its batch. It is the number of the token in its text.

    In (B, T, D) positions run along axis 1. All examples get the same rows; with several tokens, yours get one and the
    same.
    """

    def forward(self, x, offset=0):
        super().forward(x, offset)  # raises what it should
        rows = (offset + torch.arange(x.shape[0])) % len(self.weight)
        return x + self.weight[rows][:, None]


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class silent_wrap(correct.LearnedPositionalEmbedding):
    """A position that the table does not have was taken from its other end, without an error.

    A remainder wraps around, and so does a negative index. The model then reads wrong positions, and only in long
    texts. Say so instead: ValueError.
    """

    def forward(self, x, offset=0):
        rows = (offset + torch.arange(x.shape[1])) % len(self.weight)
        return x + self.weight[rows]


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class last_row_refused(correct.LearnedPositionalEmbedding):
    """The last row cannot be used: offset + T = max_len raised ValueError already.

    The last position is offset + T - 1, and row max_len - 1 exists. Compare offset + T with max_len again.
    """

    def forward(self, x, offset=0):
        if offset + x.shape[1] >= len(self.weight):
            raise ValueError("too long")
        return super().forward(x, offset)


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class offset_ignored(correct.LearnedPositionalEmbedding):
    """The offset was not used: every text starts at row 0.

    When a model writes token by token, each new token comes alone with its offset, and yours is always the first one.
    """

    def forward(self, x, offset=0):
        super().forward(x, offset)  # raises what it should
        return super().forward(x, 0)


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class concat_not_add(correct.LearnedPositionalEmbedding):
    """The rows were put beside the tokens, which makes the result twice as wide. They are added: the width stays D."""

    def forward(self, x, offset=0):
        rows = super().forward(torch.zeros_like(x), offset)
        return torch.cat([x, rows], dim=-1)


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class buffer_not_param(correct.LearnedPositionalEmbedding):
    """The table is a buffer or carries no gradient: it is saved and moved with the module, but no optimiser trains it.

    A buffer is for what is given, such as sines. What is to be learned must be an nn.Parameter, or a module such as
    nn.Embedding.
    """

    def __init__(self, max_len, d_model):
        super().__init__(max_len, d_model)
        weight = self.weight.detach().clone()
        del self.weight
        self.register_buffer("weight", weight)


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class table_without_gradient(correct.LearnedPositionalEmbedding):
    """No gradient reaches the table, so training leaves it as it started.

    Either the parameter is frozen (requires_grad=False), or its rows are taken out of the graph on their way to the sum
    (.data, .detach(), no_grad).
    """

    def forward(self, x, offset=0):
        return x + super().forward(torch.zeros_like(x), offset).detach()


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class tokens_lost(correct.LearnedPositionalEmbedding):
    """The rows alone came back. They are added to x, whose content is lost otherwise."""

    def forward(self, x, offset=0):
        return super().forward(x, offset) - x


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class last_row_repeated(correct.LearnedPositionalEmbedding):
    """A position that the table does not have got the nearest row there is, without an error.

    All tokens behind the end then stand at one place, and only long texts show it. Say so instead: ValueError.
    """

    def forward(self, x, offset=0):
        rows = (offset + torch.arange(x.shape[1])).clamp(0, len(self.weight) - 1)
        return x + self.weight[rows]


@misconception("learned_positions", symbol="LearnedPositionalEmbedding")
class row_0_is_padding(correct.LearnedPositionalEmbedding):
    """Row 0 gets no gradient: `padding_idx=0` keeps it from being trained. Position 0 is an ordinary position."""

    def forward(self, x, offset=0):
        super().forward(x, offset)  # raises what it should
        rows = offset + torch.arange(x.shape[1])
        return x + nn.functional.embedding(rows, self.weight, padding_idx=0)
