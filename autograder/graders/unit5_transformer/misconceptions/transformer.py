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


# ---------------------------------------------------------------- seq2seq_transformer


@misconception("seq2seq_transformer", symbol="Transformer")
class future_leak_via_mask_shape(correct.Transformer):
    """The decoder's self-attention got a mask for padding only, (B, 1, 1, T). It broadcasts, so nothing complains.

    Without the triangle each place sees the symbols after it. Look at the shape of the mask that arrives at the layer:
    it must say something about each *pair*, (B, 1, T, T).
    """

    def decode(self, inp, memory, src):
        x = self._embedded(self.tgt_embed, inp)
        for layer in self.decoder_layers:
            x = layer(x, memory, (inp != self.pad_id)[:, None, None], correct.src_mask(src, self.pad_id))
        return self.output(self.decoder_norm(x))


@misconception("seq2seq_transformer", symbol="Transformer")
class src_pad_leak(correct.Transformer):
    """The cross-attention did not get the source mask: the decoder reads the places of padding in the memory.

    The encoder's own mask is not enough. It keeps padding out of the real places, but at the places of padding the
    memory holds numbers too, and their count depends on the longest sentence of the batch.
    """

    def decode(self, inp, memory, src):
        x = self._embedded(self.tgt_embed, inp)
        for layer in self.decoder_layers:
            x = layer(x, memory, correct.tgt_mask(inp, self.pad_id), None)
        return self.output(self.decoder_norm(x))


@misconception("seq2seq_transformer", symbol="Transformer")
class tie_by_copy(correct.Transformer):
    """With tie=True the output layer has a *copy* of the embedding. They are equal until the first step of training.

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
