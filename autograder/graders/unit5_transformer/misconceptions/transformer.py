"""Known wrong answers to the page `transformer`."""

import math

import torch
from torch import nn

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- shift_and_masks


@misconception("shift_and_masks", symbol="make_decoder_io")
def no_shift(tgt, bos, pad):
    """The decoder's input is the target itself. It must be one place behind, with BOS in front.

    Without the shift the model reads the very symbol that it is to predict. The loss falls to 0, and a model trained
    like that cannot write.
    """
    return tgt.clone(), correct.make_decoder_io(tgt, bos, pad)[1]


@misconception("shift_and_masks", symbol="make_decoder_io")
def shift_left(tgt, bos, pad):
    """The target was moved to the left instead of to the right.

    Place t of the input then holds symbol t + 1, which is even later than the one to be predicted. Put BOS in front and
    let the *last* column fall off.
    """
    inp = torch.cat([tgt[:, 1:], torch.full_like(tgt[:, :1], bos)], dim=1)
    return inp, correct.make_decoder_io(tgt, bos, pad)[1]


@misconception("shift_and_masks", symbol="make_decoder_io")
def pads_not_ignored(tgt, bos, pad):
    """The labels still contain padding. A label that is not to count must be -100.

    Otherwise the model is rewarded for predicting padding after padding, which is easy and makes up much of a batch:
    the loss looks better than it is.
    """
    return correct.make_decoder_io(tgt, bos, pad)[0], tgt.clone()


@misconception("shift_and_masks", symbol="tgt_mask")
def mask_or(inp, pad):
    """A pair was allowed if it is not in the future *or* the key is no padding. Both must hold.

    With "or" every real symbol is visible from everywhere, also from before it.
    """
    T = inp.shape[1]
    return (inp != pad)[:, None, None] | torch.ones(T, T, dtype=torch.bool).tril()


@misconception("shift_and_masks", symbol="make_decoder_io")
def tgt_mutated(tgt, bos, pad):
    """tgt was changed in place. The caller still needs it, for the accuracy for instance.

    Assigning to a slice or masked_fill_ writes into the caller's tensor. Work on a new one.
    """
    inp = correct.make_decoder_io(tgt, bos, pad)[0]
    tgt[tgt == pad] = -100
    return inp, tgt


@misconception("shift_and_masks", symbol="make_decoder_io")
def bos_written_over(tgt, bos, pad):
    """BOS was written over the first symbol, and the rest stays where it is. All move one place to the right.

    From place 1 on the model reads the very symbol that it is to predict.
    """
    return torch.cat([torch.full_like(tgt[:, :1], bos), tgt[:, 1:]], dim=1), correct.make_decoder_io(tgt, bos, pad)[1]


@misconception("shift_and_masks", symbol="make_decoder_io")
def last_column_kept(tgt, bos, pad):
    """BOS was put in front, and the last column stayed: the input is one symbol longer than the labels.

    The last symbol is never read, since nothing comes after it.
    """
    return torch.cat([torch.full_like(tgt[:, :1], bos), tgt], dim=1), correct.make_decoder_io(tgt, bos, pad)[1]


@misconception("shift_and_masks", symbol="make_decoder_io")
def target_has_bos(tgt, bos, pad):
    """The target was taken to begin with BOS: input without its last column, labels without its first.

    Here the target is what is to be written, without BOS, and all of it is labels. BOS is put in front of the input.
    """
    return tgt[:, :-1].clone(), correct.make_decoder_io(tgt, bos, pad)[1][:, 1:]


@misconception("shift_and_masks", symbol="make_decoder_io")
def rolled(tgt, bos, pad):
    """The target was rolled: its last symbol came round to the front, where BOS belongs."""
    return tgt.roll(1, dims=1), correct.make_decoder_io(tgt, bos, pad)[1]


@misconception("shift_and_masks", symbol="make_decoder_io")
def labels_by_input(tgt, bos, pad):
    """A label is -100 where the *input* is padding. Input and labels are one place apart: look where tgt is pad."""
    inp = correct.make_decoder_io(tgt, bos, pad)[0]
    return inp, tgt.masked_fill(inp == pad, -100)


@misconception("shift_and_masks", symbol="make_decoder_io")
def input_ignored_too(tgt, bos, pad):
    """The input holds -100. That is a label which does not count, and no symbol: padding in the input stays pad."""
    inp, labels = correct.make_decoder_io(tgt, bos, pad)
    return torch.cat([inp[:, :1], labels[:, :-1]], dim=1), labels


@misconception("shift_and_masks", symbol="src_mask")
def source_mask_inverted(src, pad):
    """The source mask is turned round: True at the padding. True means *may attend*."""
    return ~correct.src_mask(src, pad)


@misconception("shift_and_masks", symbol="src_mask")
def source_mask_of_queries(src, pad):
    """The source mask says which *query* is padding, (B, 1, S, 1). Padding is hidden as a key: (B, 1, 1, S)."""
    return correct.src_mask(src, pad).mT


@misconception("shift_and_masks", symbol="src_mask")
def source_mask_without_axes(src, pad):
    """The source mask is (B, S). It must broadcast to (B, H, T, S): two axes in between, (B, 1, 1, S)."""
    return src != pad


@misconception("shift_and_masks", symbol="src_mask")
def first_source_symbol_visible(src, pad):
    """The first symbol of the source is visible though it is pad. That is a rule for the decoder's input alone."""
    real = src != pad
    real[:, 0] = True
    return real[:, None, None]


@misconception("shift_and_masks", symbol="src_mask")
def pad_is_zero(src, pad):
    """pad was taken to be 0. It is an argument."""
    return correct.src_mask(src, 0)


@misconception("shift_and_masks", symbol="tgt_mask")
def key_0_hidden(inp, pad):
    """Key 0 is hidden where BOS has the number of pad, and row 0 has nothing left to see.

    Place 0 always holds the begin of the sequence, whatever its number is.
    """
    T = inp.shape[1]
    return (inp != pad)[:, None, None] & torch.ones(T, T, dtype=torch.bool).tril()


@misconception("shift_and_masks", symbol="tgt_mask")
def key_0_for_query_0_only(inp, pad):
    """Where BOS has the number of pad only row 0 may see it. Key 0 is visible to all queries."""
    mask = key_0_hidden(inp, pad)
    mask[:, :, 0, 0] = True
    return mask


@misconception("shift_and_masks", symbol="tgt_mask")
def own_place_hidden(inp, pad):
    """A query may not look at its own place in yours. It may: j ≤ i, the diagonal included.

    The input is one place behind already, so place i holds the symbol before the one to be predicted.
    """
    T = inp.shape[1]
    return correct.tgt_mask(inp, pad) & torch.ones(T, T, dtype=torch.bool).tril(-1)


@misconception("shift_and_masks", symbol="tgt_mask")
def triangle_upside_down(inp, pad):
    """The triangle is upside down: each query sees what comes after it. Rows are queries, columns are keys: j ≤ i."""
    real = correct.tgt_mask(inp, pad)[:, :, -1:]
    T = inp.shape[1]
    return real & torch.ones(T, T, dtype=torch.bool).triu()


@misconception("shift_and_masks", symbol="tgt_mask")
def target_pads_visible(inp, pad):
    """The target mask is a triangle only: padding in the input can be seen."""
    T = inp.shape[1]
    return torch.ones(T, T, dtype=torch.bool).tril().expand(len(inp), 1, T, T)


@misconception("shift_and_masks", symbol="tgt_mask")
def target_not_causal(inp, pad):
    """The target mask hides padding only: each query sees the symbols after it."""
    T = inp.shape[1]
    return correct.tgt_mask(inp, pad)[:, :, -1:].expand(-1, 1, T, T)


@misconception("shift_and_masks", symbol="tgt_mask")
def padding_queries_hidden(inp, pad):
    """The rows of padding are empty. A query may be padding: nobody reads its result. Only keys are hidden."""
    mask = correct.tgt_mask(inp, pad)
    return mask & mask[:, :, -1:].mT


@misconception("shift_and_masks", symbol="tgt_mask")
def queries_for_keys(inp, pad):
    """The padding was laid on the queries, (B, 1, T, 1), and as a key it stays visible. It belongs to the last axis."""
    T = inp.shape[1]
    return correct.tgt_mask(inp, pad)[:, :, -1:].mT & torch.ones(T, T, dtype=torch.bool).tril()


@misconception("shift_and_masks", symbol="tgt_mask")
def target_mask_inverted(inp, pad):
    """The target mask is turned round: True where attention is forbidden. True means *may attend*."""
    return ~correct.tgt_mask(inp, pad)


@misconception("shift_and_masks", symbol="tgt_mask")
def next_symbol_visible(inp, pad):
    """Each query sees one symbol too many: j ≤ i + 1. That is the symbol to be predicted; `tril(1)` is one too far."""
    T = inp.shape[1]
    return correct.tgt_mask(inp, pad)[:, :, -1:] & torch.ones(T, T, dtype=torch.bool).tril(1)


@misconception("shift_and_masks", symbol="make_decoder_io")
def begins_with_pad(tgt, bos, pad):
    """The input begins with pad, whatever bos is."""
    return correct.make_decoder_io(tgt, pad, pad)


# ---------------------------------------------------------------- seq2seq_transformer


class Changed(correct.Transformer):
    """The right model, with places where it can be changed."""

    def of_source(self, src):
        return correct.src_mask(src, self.pad_id)

    def of_target(self, inp):
        return correct.tgt_mask(inp, self.pad_id)

    def of_memory(self, src):
        return correct.src_mask(src, self.pad_id)

    def end_of_encoder(self, x):
        return self.encoder_norm(x)

    def end(self, x):
        return self.output(self.decoder_norm(x))

    def encode(self, src):
        x = self._embedded(self.src_embed, src)
        for layer in self.encoder_layers:
            x = layer(x, mask=self.of_source(src))
        return self.end_of_encoder(x)

    def decode(self, inp, memory, src):
        x = self._embedded(self.tgt_embed, inp)
        for layer in self.decoder_layers:
            x = layer(x, memory, self.of_target(inp), self.of_memory(src))
        return self.end(x)


@misconception("seq2seq_transformer", symbol="Transformer")
class future_leak_via_mask_shape(Changed):
    """The decoder's self-attention got a mask for padding only, (B, 1, 1, T). It broadcasts, so nothing complains.

    Without the triangle each place sees the symbols after it. Look at the shape of the mask that arrives at the layer:
    it must say something about each *pair*, (B, 1, T, T).
    """

    def of_target(self, inp):
        return (inp != self.pad_id)[:, None, None]


@misconception("seq2seq_transformer", symbol="Transformer")
class src_pad_leak(Changed):
    """The cross-attention did not get the source mask: the decoder reads the places of padding in the memory.

    The encoder's own mask is not enough. It keeps padding out of the real places, but at the places of padding the
    memory holds numbers too, and their count depends on the longest sentence of the batch.
    """

    def of_memory(self, src):
        return None


@misconception("seq2seq_transformer", symbol="Transformer")
class tie_by_copy(correct.Transformer):
    """With tie=True the output layer still has a weight of its own. A *copy* of the embedding is equal to it only until
    the first step of training.

    Tied means one parameter under two names: assign the parameter itself, not a clone of it, nor its values.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.output.weight is self.tgt_embed.weight:
            self.output.weight = nn.Parameter(self.tgt_embed.weight.detach().clone())


@misconception("seq2seq_transformer", symbol="Transformer")
class scale_missing(correct.Transformer):
    """The embeddings were not multiplied by √D before the positions were added.

    Their entries begin at a size of D^-½, those of the sinusoids at 1: without the root, the places drown the words.
    """

    def _embedded(self, embedding, ids):
        x = super()._embedded(embedding, ids)
        return x - (math.sqrt(self.d_model) - 1) * embedding(ids)


@misconception("seq2seq_transformer", symbol="Transformer")
class memory_recomputed_with_tgt_mask(correct.Transformer):
    """decode did not use the memory it was given: it ran the encoder again, under a causal mask.

    The encoder may see the whole source at once, since that is known before the first symbol is written; only the
    decoder's own input is causal. And the memory is computed once for a source, however often one decodes.
    """

    def decode(self, inp, memory, src):
        S = src.shape[1]
        allowed = correct.src_mask(src, self.pad_id) & torch.ones(S, S, dtype=torch.bool).tril()
        x = self._embedded(self.src_embed, src)
        for layer in self.encoder_layers:
            x = layer(x, mask=allowed)
        return super().decode(inp, self.encoder_norm(x), src)


@misconception("seq2seq_transformer", symbol="Transformer")
class softmax_output(correct.Transformer):
    """Probabilities came back instead of logits: the model ends with its output layer, without a softmax.

    Cross-entropy takes the softmax itself. Given probabilities it takes a second one of numbers between 0 and 1, which
    is nearly flat whatever the model says, and the gradients are tiny.
    """

    def decode(self, inp, memory, src):
        return torch.softmax(super().decode(inp, memory, src), dim=-1)


@misconception("seq2seq_transformer", symbol="Transformer")
class scale_on_sum(Changed):
    """√D was applied to the sum of embedding and positions. It belongs to the embedding alone."""

    def _embedded(self, embedding, ids):
        x = super()._embedded(embedding, ids)
        return x + (math.sqrt(self.d_model) - 1) * self.positions[: ids.shape[1]].to(x.dtype)


@misconception("seq2seq_transformer", symbol="Transformer")
class positions_missing(Changed):
    """No positions were added: the model sees a bag of symbols."""

    def _embedded(self, embedding, ids):
        x = super()._embedded(embedding, ids)
        return x - self.positions[: ids.shape[1]].to(x.dtype)


@misconception("seq2seq_transformer", symbol="Transformer")
class encoder_norm_missing(Changed):
    """encoder_norm was not applied. The memory is what the last encoder layer gives, normalised once more."""

    def end_of_encoder(self, x):
        return x


@misconception("seq2seq_transformer", symbol="Transformer")
class decoder_norm_missing(Changed):
    """decoder_norm was not applied before the output layer."""

    def end(self, x):
        return self.output(x)


@misconception("seq2seq_transformer", symbol="Transformer")
class memory_normed_twice(Changed):
    """decode normalised the memory once more. It is taken as it is."""

    def decode(self, inp, memory, src):
        return super().decode(inp, self.encoder_norm(memory), src)


@misconception("seq2seq_transformer", symbol="Transformer")
class encoder_reads_padding(Changed):
    """The encoder layers did not get the source mask: the real symbols read the padding."""

    def of_source(self, src):
        return None


@misconception("seq2seq_transformer", symbol="Transformer")
class causal_encoder(Changed):
    """The encoder has a causal mask. The source is known as a whole: each symbol may look at all the others."""

    def of_source(self, src):
        return correct.tgt_mask(src, self.pad_id)


@misconception("seq2seq_transformer", symbol="Transformer")
class decoder_not_masked(Changed):
    """The decoder's self-attention got no mask, so each place sees the symbols after it."""

    def of_target(self, inp):
        return None


@misconception("seq2seq_transformer", symbol="Transformer")
class bos_hidden(Changed):
    """Where BOS has the number of pad_id it was hidden. The first symbol of the input is never padding."""

    def of_target(self, inp):
        return key_0_hidden(inp, self.pad_id)


@misconception("seq2seq_transformer", symbol="Transformer")
class one_table_for_both(Changed):
    """The decoder's input was looked up in src_embed. It has a table of its own, tgt_embed."""

    def decode(self, inp, memory, src):
        own, self._modules["tgt_embed"] = self.tgt_embed, self.src_embed
        try:
            return super().decode(inp, memory, src)
        finally:
            self._modules["tgt_embed"] = own


@misconception("seq2seq_transformer", symbol="Transformer")
class log_softmax_output(Changed):
    """Log-probabilities came back instead of logits: the model ends with its output layer."""

    def end(self, x):
        return super().end(x).log_softmax(dim=-1)


@misconception("seq2seq_transformer", symbol="Transformer")
class last_place_only(Changed):
    """Only the last place's logits came back. In training all places are used: (B, T, tgt_vocab)."""

    def end(self, x):
        return super().end(x)[:, -1:]


@misconception("seq2seq_transformer", symbol="Transformer")
class norms_exchanged(Changed):
    """encoder_norm and decoder_norm were exchanged. Fresh ones are equal; those of trained weights are not."""

    def end_of_encoder(self, x):
        return self.decoder_norm(x)

    def end(self, x):
        return self.output(self.encoder_norm(x))


@misconception("seq2seq_transformer", symbol="Transformer")
class tied_in_any_case(correct.Transformer):
    """The weights are tied although tie is False: the output layer has a weight of its own then."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.output.weight = self.tgt_embed.weight


@misconception("seq2seq_transformer", symbol="Transformer")
class max_len_refused(correct.Transformer):
    """A sequence of max_len symbols raised ValueError already. Only a longer one is to."""

    def _embedded(self, embedding, ids):
        if ids.shape[1] >= self.max_len:
            raise ValueError("too long")
        return super()._embedded(embedding, ids)
