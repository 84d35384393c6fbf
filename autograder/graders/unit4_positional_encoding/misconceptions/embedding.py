"""Known wrong answers to the page `embedding`."""

import math

import torch
from torch import nn

from autograder.given import sinusoidal_encoding
from autograder.grading.misconceptions import correct, misconception


class Changed(correct.TransformerEmbedding):
    """The right module, with the sum made anew by `add`."""

    def __init__(self, vocab, d_model, max_len, pad_id=None, dropout=0.0):
        super().__init__(vocab, d_model, max_len, pad_id, dropout)
        self.register_buffer("sines", sinusoidal_encoding(max_len, d_model).float(), persistent=False)

    def add(self, token, position):
        return math.sqrt(token.shape[-1]) * token + position

    def drop(self, both):
        return nn.functional.dropout(both, self.dropout.p, self.training)

    def drop_by(self, shape, both):
        """One decision for all numbers that share a place in `shape`."""
        if not self.training or not self.dropout.p:
            return both
        return both * nn.functional.dropout(torch.ones(shape, dtype=both.dtype), self.dropout.p)

    def forward(self, ids):
        if ids.shape[1] > len(self.sines):
            raise ValueError("too long")
        return self.drop(self.add(self.token(ids), self.sines[: ids.shape[1]]))


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class scale_on_sum(Changed):
    """The factor √D was applied to the sum of token and position. It belongs to the token alone.

    Its purpose is to make the token as loud as the position; scaling both leaves the one a whisper.
    """

    def add(self, token, position):
        return math.sqrt(token.shape[-1]) * (token + position)


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class scale_inverse(Changed):
    """The token was divided by √D. Scores are divided by the root of their width, since they are large sums; the rows
    of the table are small, and are to be multiplied by it.
    """

    def add(self, token, position):
        return token / math.sqrt(token.shape[-1]) + position


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class pe_is_parameter(Changed):
    """The sines are a parameter, so training changes them. They are given: only the table of tokens is learned.

    What moves with a module and is not trained is a buffer.
    """

    def __init__(self, vocab, d_model, max_len, pad_id=None, dropout=0.0):
        super().__init__(vocab, d_model, max_len, pad_id, dropout)
        sines = self.sines
        del self.sines
        self.sines = nn.Parameter(sines)


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class pe_plain_attribute(Changed):
    """The sines are a plain attribute, which .to() does not find: they stay on the CPU and in float32.

    The sum then has a dtype that is not the module's, or fails on another device. What moves with a module and is not
    trained is a buffer.
    """

    def __init__(self, vocab, d_model, max_len, pad_id=None, dropout=0.0):
        super().__init__(vocab, d_model, max_len, pad_id, dropout)
        sines = self.sines
        del self.sines
        self.sines = sines


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class pad_row_trained(Changed):
    """The row of the padding token is trained like a word. It means nothing: it starts at 0 and no gradient reaches it.

    A row set to 0 at the start does not stay 0 by itself. `nn.Embedding` has an option that does both.
    """

    def __init__(self, vocab, d_model, max_len, pad_id=None, dropout=0.0):
        super().__init__(vocab, d_model, max_len, pad_id, dropout)
        self.token.padding_idx = None


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class whole_tokens_dropped(Changed):
    """Whole tokens were dropped: all numbers of a token vanish together, or none does.

    Dropout decides about each number by itself. A model that loses a word now and then is another idea (word dropout).
    How many random numbers are drawn for one token?
    """

    def drop(self, both):
        return self.drop_by((*both.shape[:2], 1), both)


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class one_mask_for_all(Changed):
    """All tokens of all texts lost the same numbers: one row of D decisions was drawn for the whole batch.

    Dropout decides about each number by itself, so every token loses others. What shape has what you draw?
    """

    def drop(self, both):
        return self.drop_by(both.shape[-1:], both)


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class scale_forgotten(Changed):
    """The factor √D is missing: the token's row was added as it stands in the table, a whisper beside the position."""

    def add(self, token, position):
        return token + position


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class scale_without_root(Changed):
    """The token was multiplied by D. The factor is √D, and what is D times as large drowns the position."""

    def add(self, token, position):
        return token.shape[-1] * token + position


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class scale_on_position(Changed):
    """The factor √D was applied to the position. It belongs to the token, which is the quieter of the two."""

    def add(self, token, position):
        return token + math.sqrt(token.shape[-1]) * position


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class position_of_the_example(Changed):
    """The row of sines was chosen by the number of the example in its batch. It is the number of the token in its text.

    In ids (B, T) the positions run along axis 1, and are the same for all examples.
    """

    def forward(self, ids):
        super().forward(ids)  # raises what it should
        return self.drop(self.add(self.token(ids), self.sines[: ids.shape[0], None]))


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class padding_without_pad_id(correct.TransformerEmbedding):
    """Token 0 was treated as padding though pad_id is None. Then no row is special, and all of them are trained."""

    def __init__(self, vocab, d_model, max_len, pad_id=None, dropout=0.0):
        super().__init__(vocab, d_model, max_len, pad_id or 0, dropout)


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class token_0_never_padding(correct.TransformerEmbedding):
    """With pad_id=0 there was no padding: `if pad_id` is false for the number 0 as for None. Ask `is not None`."""

    def __init__(self, vocab, d_model, max_len, pad_id=None, dropout=0.0):
        super().__init__(vocab, d_model, max_len, pad_id or None, dropout)


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class no_position_at_padding(correct.TransformerEmbedding):
    """At padded places everything is 0. The row of the token is; the position is added there like anywhere."""

    def forward(self, ids):
        out = super().forward(ids)
        return out if self.token.padding_idx is None else out.masked_fill((ids == self.token.padding_idx)[..., None], 0)


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class max_len_refused(correct.TransformerEmbedding):
    """A text of max_len tokens raised ValueError already. Its last position is max_len - 1, which has sines."""

    def forward(self, ids):
        if ids.shape[1] >= len(self.position):
            raise ValueError("too long")
        return super().forward(ids)


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class nothing_dropped(Changed):
    """In train mode nothing was dropped: the argument `dropout` has no effect."""

    def drop(self, both):
        return both


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class dropped_in_eval_mode(Changed):
    """Entries were dropped in eval mode, too. `F.dropout` does not know the module's mode unless it is told."""

    def drop(self, both):
        return nn.functional.dropout(both, self.dropout.p)


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class survivors_not_enlarged(Changed):
    """The entries that were kept are not divided by 1 - dropout, so in train mode the sum is smaller on average."""

    def drop(self, both):
        return super().drop(both) * (1 - self.dropout.p) if self.training else both


@misconception("transformer_embedding", symbol="TransformerEmbedding")
class only_tokens_dropped(Changed):
    """Dropout was applied to the tokens before the positions were added. It acts on the sum of the two."""

    def forward(self, ids):
        if ids.shape[1] > len(self.sines):
            raise ValueError("too long")
        return self.drop(math.sqrt(self.sines.shape[1]) * self.token(ids)) + self.sines[: ids.shape[1]]
