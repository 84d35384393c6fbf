"""Known wrong answers to the page `t5`."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autograder.given import RelativeBias
from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- span_corruption


def spans_of(noise, merge=0):
    """Begin and end of each span; spans with at most `merge` tokens between them are taken for one."""
    found = []
    for t in np.flatnonzero(noise).tolist():
        if found and t <= found[-1][1] + merge:
            found[-1][1] = t + 1
        else:
            found.append([t, t + 1])
    return found


def cut_out(tokens, spans, sentinel0, eos, step=-1, in_targets=True, last=True):
    """The inputs and the targets for these spans, with one thing wrong."""
    inputs, targets, done = [], [], 0
    for i, (begin, end) in enumerate(spans):
        inputs += [*tokens[done:begin].tolist(), sentinel0 + step * i]
        targets += [*([sentinel0 + step * i] if in_targets else []), *tokens[begin:end].tolist()]
        done = end
    inputs += [*tokens[done:].tolist(), eos]
    targets += [*([sentinel0 + step * len(spans)] if in_targets and last else []), eos]
    return np.array(inputs, dtype=tokens.dtype), np.array(targets, dtype=tokens.dtype)


@misconception("span_corruption", symbol="apply_span_mask")
def sentinel_per_token(tokens, noise, sentinel0, eos):
    """Each token that was cut out got a sentinel of its own.

    A span, however long, is replaced by one sentinel. That is what makes the input shorter than the text.
    """
    spans = [[t, t + 1] for t in np.flatnonzero(noise).tolist()]
    return cut_out(tokens, spans, sentinel0, eos)


@misconception("span_corruption", symbol="apply_span_mask")
def sentinel_repeated_in_its_span(tokens, noise, sentinel0, eos):
    """Each token that was cut out became its span's sentinel: a span of three tokens is three times the same one.

    A span, however long, is replaced by one sentinel.
    """
    _, targets = correct.apply_span_mask(tokens, noise, sentinel0, eos)
    inputs, done = [], 0
    for i, (begin, end) in enumerate(spans_of(noise)):
        inputs += [*tokens[done:begin].tolist(), *[sentinel0 - i] * (end - begin)]
        done = end
    return np.array([*inputs, *tokens[done:].tolist(), eos], dtype=tokens.dtype), targets


@misconception("span_corruption", symbol="apply_span_mask")
def sentinel_increasing(tokens, noise, sentinel0, eos):
    """The sentinels count upwards.

    They are the last tokens of the vocabulary, counted from its end: sentinel0, sentinel0 − 1, and so on.
    """
    return cut_out(tokens, spans_of(noise), sentinel0, eos, step=1)


@misconception("span_corruption", symbol="apply_span_mask")
def one_sentinel_for_all(tokens, noise, sentinel0, eos):
    """All spans have the same sentinel.

    Then nobody can tell which hole is being filled. Span i has the sentinel sentinel0 − i.
    """
    return cut_out(tokens, spans_of(noise), sentinel0, eos, step=0)


@misconception("span_corruption", symbol="apply_span_mask")
def last_sentinel_repeated(tokens, noise, sentinel0, eos):
    """The sentinel that ends the targets is that of the last span once more.

    It is the next one, which belongs to no span: with k spans, numbered from 0, sentinel0 − k.
    """
    inputs, targets = correct.apply_span_mask(tokens, noise, sentinel0, eos)
    targets[-2] += 1
    return inputs, targets


@misconception("span_corruption", symbol="apply_span_mask")
def targets_missing_sentinels(tokens, noise, sentinel0, eos):
    """The targets are the tokens that were cut out, without the sentinels.

    Each span stands behind its sentinel, or the decoder could not say where one span ends and the next begins.
    """
    return cut_out(tokens, spans_of(noise), sentinel0, eos, in_targets=False)


@misconception("span_corruption", symbol="apply_span_mask")
def last_sentinel_missing(tokens, noise, sentinel0, eos):
    """The sentinel that ends the list of the targets is missing.

    Behind the last span comes the next sentinel, which belongs to no span, and then eos.
    """
    return cut_out(tokens, spans_of(noise), sentinel0, eos, last=False)


@misconception("span_corruption", symbol="apply_span_mask")
def last_sentinel_only_before_text(tokens, noise, sentinel0, eos):
    """Where the text ends with a span, the sentinel that ends the list of the targets is missing.

    The released code of T5 leaves it out there; on this page, as in the paper, it always stands behind the last span.
    """
    return cut_out(tokens, spans_of(noise), sentinel0, eos, last=not (len(noise) and noise[-1]))


@misconception("span_corruption", symbol="apply_span_mask")
def sentinels_behind_their_spans(tokens, noise, sentinel0, eos):
    """In the targets each sentinel stands behind its span. It comes first: it says which hole is being filled."""
    inputs, _ = correct.apply_span_mask(tokens, noise, sentinel0, eos)
    spans = spans_of(noise)
    targets = [x for i, (begin, end) in enumerate(spans) for x in (*tokens[begin:end].tolist(), sentinel0 - i)]
    return inputs, np.array([*targets, sentinel0 - len(spans), eos], dtype=tokens.dtype)


@misconception("span_corruption", symbol="apply_span_mask")
def targets_without_eos(tokens, noise, sentinel0, eos):
    """The targets do not end with eos.

    Both do, inputs and targets.
    """
    inputs, targets = correct.apply_span_mask(tokens, noise, sentinel0, eos)
    return inputs, targets[:-1]


@misconception("span_corruption", symbol="apply_span_mask")
def begin_looks_at_the_end(tokens, noise, sentinel0, eos):
    """Whether a span begins at the first token was asked of the *last* one: np.roll goes round in a circle.

    Nothing stands before the first token. If it is cut out, a span begins with it.
    """
    begins = noise & ~np.roll(noise, 1)
    span = np.cumsum(begins) - 1
    inputs = np.where(begins, sentinel0 - span, tokens)[begins | ~noise]
    targets = []
    for i in range(int(begins.sum())):
        targets += [sentinel0 - i, *tokens[noise & (span == i)].tolist()]
    targets += [sentinel0 - int(begins.sum()), eos]
    return np.append(inputs, eos).astype(tokens.dtype), np.array(targets, dtype=tokens.dtype)


@misconception("span_corruption", symbol="apply_span_mask")
def adjacent_spans_merge_wrong(tokens, noise, sentinel0, eos):
    """Two spans with a single token between them became one, and that token was cut out too.

    One token is enough to part two spans: a span ends where the mask is False.
    """
    return cut_out(tokens, spans_of(noise, merge=1), sentinel0, eos)


@misconception("span_corruption", symbol="apply_span_mask")
def mutates_tokens(tokens, noise, sentinel0, eos):
    """The sentinels were written into the caller's tokens.

    The text is needed again, with other holes: work on a copy.
    """
    answer = correct.apply_span_mask(tokens, noise, sentinel0, eos)
    for i, (begin, _) in enumerate(spans_of(noise)):
        tokens[begin] = sentinel0 - i
    return answer


@misconception("span_corruption", symbol="apply_span_mask")
def inputs_without_eos(tokens, noise, sentinel0, eos):
    """The inputs do not end with eos.

    Both do, inputs and targets.
    """
    inputs, targets = correct.apply_span_mask(tokens, noise, sentinel0, eos)
    return inputs[:-1], targets


@misconception("span_corruption", symbol="random_spans_mask")
def density_bernoulli(T, density, mean_len, generator):
    """Each token was cut out by a coin of its own.

    The number of tokens then changes from text to text, and mean_len is not heeded: most holes are one token wide. n
    tokens, in k spans, exactly.
    """
    return generator.random(T) < density


@misconception("span_corruption", symbol="random_spans_mask")
def spans_from_the_share(T, density, mean_len, generator):
    """The number of spans was computed from T · density as it is. It comes from n, which is rounded and clipped.

    First the number of tokens, a whole number; then n / mean_len, rounded and clipped in its turn.
    """
    n = min(max(round(T * density), 1), T - 1)
    k = min(max(round(T * density / mean_len), 1), n, T - n)

    def pieces(total):
        cuts = 1 + generator.choice(total - 1, size=k - 1, replace=False)
        return np.diff(np.concatenate([[0], np.sort(cuts), [total]]))

    lengths = np.stack([pieces(T - n), pieces(n)], axis=1).ravel()
    return np.repeat(np.arange(2 * k) % 2 == 1, lengths)


@misconception("span_corruption", symbol="random_spans_mask")
def begins_with_a_span(T, density, mean_len, generator):
    """The pieces are laid out beginning with one that is cut out.

    The first piece stays, the second is cut out, and so on in turn; so the last is cut out.
    """
    return correct.random_spans_mask(T, density, mean_len, generator)[::-1].copy()


@misconception("span_corruption", symbol="random_spans_mask")
def spans_of_equal_length(T, density, mean_len, generator):
    """All spans are equally long, as far as possible; only their places are random.

    mean_len is the mean. The lengths are random too: every way of cutting n tokens into k pieces is equally likely.
    """
    mask = correct.random_spans_mask(T, density, mean_len, generator)
    begins = np.flatnonzero(mask & ~np.concatenate([[False], mask[:-1]]))
    n, k = int(mask.sum()), len(begins)
    cut = np.array([n // k + (i < n % k) for i in range(k)])
    lengths = []
    ends = np.flatnonzero(mask & ~np.concatenate([mask[1:], [False]])) + 1
    kept = begins - np.concatenate([[0], ends[:-1]])
    for stays, goes in zip(kept, cut, strict=True):
        lengths += [np.zeros(stays, bool), np.ones(goes, bool)]
    return np.concatenate(lengths)


# ---------------------------------------------------------------- t5_block


class Pieces(correct.T5Block):
    """The layer in pieces, of which the wrong ones below replace one each."""

    def norm(self, module, x):
        return module(x)

    def factor(self, width):
        return 1.0

    def bias_of(self, scores, bias, cross):
        return scores if cross else scores + bias

    def memory_of(self, memory):
        return memory

    def split(self, x):
        return x.unflatten(-1, (self.H, -1)).transpose(1, 2)

    def weights_of(self, scores, mask):
        if mask is None:
            return torch.softmax(scores, dim=-1)
        weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)
        return torch.where(mask.any(-1, keepdim=True), weights, torch.zeros_like(weights))

    def attention(self, attn, query, source, mask, bias, cross=False):
        q, k, v = (self.split(f(y)) for f, y in
                   ((attn["q_proj"], query), (attn["k_proj"], source), (attn["v_proj"], source)))  # fmt: skip
        weights = self.weights_of(self.bias_of(q @ k.mT * self.factor(q.shape[-1]), bias, cross), mask)
        return attn["out_proj"]((weights @ v).transpose(1, 2).flatten(2))

    def causal(self, T):
        return torch.ones(T, T, dtype=torch.bool).tril()

    def both(self, T, mask):
        return self.causal(T) if mask is None else self.causal(T) & mask

    def cross_query(self, x):
        return self.norm(self.norm2, x)

    def kept(self, x, normed, branch):
        """What the result of a branch (0, 1, 2) is added to."""
        return x

    def activation(self, x):
        return torch.relu(x)

    def forward(self, x, bias, memory=None, mask=None, memory_mask=None):
        if self.is_decoder:
            mask = self.both(x.shape[1], mask)
        normed = self.norm(self.norm1, x)
        x = self.kept(x, normed, 0) + self.attention(self.self_attn, normed, normed, mask, bias)
        last = self.norm2
        if self.is_decoder:
            memory, asks = self.memory_of(memory), self.cross_query(x)
            x = self.kept(x, asks, 1) + self.attention(self.cross_attn, asks, memory, memory_mask, bias, cross=True)
            last = self.norm3
        normed = self.norm(last, x)
        return self.kept(x, normed, 2) + self.ffn["fc2"](self.activation(self.ffn["fc1"](normed)))


@misconception("t5_block", symbol="T5Block")
class scaled_attention(Pieces):
    """The scores are divided by √d_kv.

    T5 does not divide: the factor is in the starting values of its query weights.
    """

    def factor(self, width):
        return width**-0.5


@misconception("t5_block", symbol="T5Block")
class bias_per_layer(Pieces):
    """The layer has a table of position biases of its own, and does not use the one that is passed.

    There is one table for all layers of a side. Whoever calls the layer has made the bias from it: add that.
    """

    def __init__(self, d, d_kv, H, d_ff, is_decoder):
        super().__init__(d, d_kv, H, d_ff, is_decoder)
        self.relative = RelativeBias(32, 128, H, not is_decoder)

    def load_reference(self, state_dict):
        self.load_state_dict(state_dict, strict=False)

    def bias_of(self, scores, bias, cross):
        return scores if cross else scores + self.relative(*scores.shape[-2:])


@misconception("t5_block", symbol="T5Block")
class layer_norm_used(Pieces):
    """The norm subtracts the mean, as a layer norm does.

    RMSNorm divides by the root of the mean square and subtracts nothing.
    """

    def norm(self, module, x):
        return F.layer_norm(x, x.shape[-1:], module.weight, None, 1e-6)


@misconception("t5_block", symbol="T5Block")
class linear_biases(Pieces):
    """The linear layers have biases, so that weights without any cannot be loaded. T5 has none.

    Ask nn.Linear for a layer without: bias=False.
    """

    def __init__(self, d, d_kv, H, d_ff, is_decoder):
        super().__init__(d, d_kv, H, d_ff, is_decoder)
        for module in list(self.modules()):
            if isinstance(module, nn.Linear):
                module.bias = nn.Parameter(torch.zeros(module.out_features))


@misconception("t5_block", symbol="T5Block")
class linear_biases_beside(Pieces):
    """The linear layers have biases beside the weights that are loaded. T5 has none.

    Ask nn.Linear for a layer without: bias=False.
    """

    def __init__(self, d, d_kv, H, d_ff, is_decoder):
        super().__init__(d, d_kv, H, d_ff, is_decoder)
        for module in list(self.modules()):
            if isinstance(module, nn.Linear):
                module.bias = nn.Parameter(torch.zeros(module.out_features))

    def load_reference(self, state_dict):
        self.load_state_dict(state_dict, strict=False)


@misconception("t5_block", symbol="T5Block")
class cross_bias_added(Pieces):
    """The bias was added to the scores of cross-attention too.

    It knows distances within one text. Between a text and the memory there are none: cross-attention has no bias.
    """

    def bias_of(self, scores, bias, cross):
        if not cross:
            return scores + bias
        T, S = scores.shape[-2:]
        return scores + F.pad(bias, (0, max(0, S - bias.shape[-1])))[..., :T, :S]


@misconception("t5_block", symbol="T5Block")
class d_kv_equals_d_over_h(correct.T5Block):
    """The heads have the width d / H, whatever d_kv is.

    H · d_kv need not be d: the projections make H · d_kv numbers of d, and out_proj makes d of those.
    """

    def __init__(self, d, d_kv, H, d_ff, is_decoder):
        super().__init__(d, d // H, H, d_ff, is_decoder)


@misconception("t5_block", symbol="T5Block")
class decoder_not_causal(Pieces):
    """In the decoder every token sees the later ones as well.

    With is_decoder=True self-attention is causal by itself, whatever mask says.
    """

    def causal(self, T):
        return torch.ones(T, T, dtype=torch.bool)


@misconception("t5_block", symbol="T5Block")
class causal_in_the_encoder(Pieces):
    """The encoder's self-attention is causal, too. In an encoder every token sees all that mask allows."""

    def forward(self, x, bias, memory=None, mask=None, memory_mask=None):
        mask = mask if self.is_decoder else self.both(x.shape[1], mask)
        return super().forward(x, bias, memory, mask, memory_mask)


@misconception("t5_block", symbol="T5Block")
class causal_replaces_mask(Pieces):
    """In the decoder `mask` has no effect: the causal mask took its place.

    A token is attended to if both allow it: what the mask says, and that it does not come later.
    """

    def both(self, T, mask):
        return self.causal(T)


@misconception("t5_block", symbol="T5Block")
class mask_inverted(Pieces):
    """What the masks allow was hidden, and what they forbid was read. They are True where a token may attend."""

    def weights_of(self, scores, mask):
        return super().weights_of(scores, None if mask is None else ~mask)


@misconception("t5_block", symbol="T5Block")
class eps_of_a_layer_norm(Pieces):
    """The norms have an eps of 1e-5, as layer norms often do. T5's have 1e-6."""

    def norm(self, module, x):
        return module.weight * x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-5)


@misconception("t5_block", symbol="T5Block")
class mask_replaces_causal(Pieces):
    """Where a mask is given, the decoder's self-attention is no longer causal: the mask took the place of the other.

    A token is attended to if both allow it: what the mask says, and that it does not come later.
    """

    def both(self, T, mask):
        return self.causal(T) if mask is None else mask


@misconception("t5_block", symbol="T5Block")
class normed_stream_goes_on(Pieces):
    """The branches were added to the normalised x: their input took the place of the stream.

    In a pre-norm layer only the branch reads the norm; what it answers is added to x as it was. Keep both under names
    of their own.
    """

    def kept(self, x, normed, branch):
        return normed


@misconception("t5_block", symbol="T5Block")
class normed_before_self_attention_goes_on(Pieces):
    """Self-attention was added to norm1(x), and the x from before the norm is lost.

    In a pre-norm layer only the branch reads the norm; what it answers is added to x as it was. Keep both under names
    of their own.
    """

    def kept(self, x, normed, branch):
        return x if branch else normed


@misconception("t5_block", symbol="T5Block")
class cross_query_not_normed(Pieces):
    """Cross-attention asks with the stream as it is, without norm2.

    Each of the three branches of a decoder layer reads the stream through a norm of its own; only the memory comes
    without one.
    """

    def cross_query(self, x):
        return x


@misconception("t5_block", symbol="T5Block")
class memory_normed(Pieces):
    """The memory went through norm2 before cross-attention.

    The encoder's last norm was its norm. norm2 is for the stream, which asks; keys and values come from memory itself.
    """

    def memory_of(self, memory):
        return self.norm2(memory)


@misconception("t5_block", symbol="T5Block")
class memory_mask_ignored(Pieces):
    """memory_mask has no effect: cross-attention reads the padding of the memory."""

    def forward(self, x, bias, memory=None, mask=None, memory_mask=None):
        return super().forward(x, bias, memory, mask)


@misconception("t5_block", symbol="T5Block")
class cross_attention_scaled(Pieces):
    """The scores of cross-attention are divided by √d_kv. T5 divides nowhere."""

    def bias_of(self, scores, bias, cross):
        return scores * self.self_width**-0.5 if cross else scores + bias

    def __init__(self, d, d_kv, H, d_ff, is_decoder):
        super().__init__(d, d_kv, H, d_ff, is_decoder)
        self.self_width = d_kv


@misconception("t5_block", symbol="T5Block")
class cross_attention_without_residual(Pieces):
    """What cross-attention has found replaces the stream: its residual connection is missing. Each branch adds to x."""

    def kept(self, x, normed, branch):
        return 0.0 if branch == 1 else x


@misconception("t5_block", symbol="T5Block")
class network_without_residual(Pieces):
    """What the feed-forward network gives replaces the stream: its residual connection is missing.

    Each branch adds to x.
    """

    def kept(self, x, normed, branch):
        return 0.0 if branch == 2 else x


@misconception("t5_block", symbol="T5Block")
class nan_where_nothing_is_allowed(Pieces):
    """A token that may attend to nothing became NaN: a softmax of nothing but −inf is 0/0. Attention writes 0 there."""

    def weights_of(self, scores, mask):
        return torch.softmax(scores if mask is None else scores.masked_fill(~mask, float("-inf")), dim=-1)


@misconception("t5_block", symbol="T5Block")
class evenly_where_nothing_is_allowed(Pieces):
    """A token that may attend to nothing attended to everything: equally low scores make a softmax that is even.

    Attention writes 0 to such a token.
    """

    def weights_of(self, scores, mask):
        low = torch.finfo(scores.dtype).min
        return torch.softmax(scores if mask is None else scores.masked_fill(~mask, low), dim=-1)


@misconception("t5_block", symbol="T5Block")
class heads_cut_across_tokens(Pieces):
    """The heads were cut by a reshape to (B, H, T, d_kv) alone, which mixes numbers of different tokens.

    Split the last axis, (B, T, H, d_kv), and then exchange two axes.
    """

    def split(self, x):
        return x.reshape(len(x), self.H, x.shape[1], -1)


@misconception("t5_block", symbol="T5Block")
class bias_detached(Pieces):
    """No gradient reaches the bias: it was cut off (detach, no_grad, .data?). The table behind it is learned."""

    def bias_of(self, scores, bias, cross):
        return scores if cross else scores + bias.detach()


@misconception("t5_block", symbol="T5Block")
class gelu_used(Pieces):
    """The feed-forward network has a GELU.

    That is version 1.1, and there with a gate. T5 has a ReLU.
    """

    def activation(self, x):
        return F.gelu(x, approximate="tanh")


@misconception("t5_block", symbol="T5Block")
class post_norm(Pieces):
    """The norm comes after the addition instead of before the branch.

    T5 is pre-norm: each branch reads a normalised copy of x, and x itself is never normalised in a layer.
    """

    def forward(self, x, bias, memory=None, mask=None, memory_mask=None):
        if self.is_decoder:
            mask = self.causal(x.shape[1]) if mask is None else self.causal(x.shape[1]) & mask
        x = self.norm1(x + self.attention(self.self_attn, x, x, mask, bias))
        last = self.norm2
        if self.is_decoder:
            x = self.norm2(x + self.attention(self.cross_attn, x, memory, memory_mask, bias, cross=True))
            last = self.norm3
        return last(x + self.ffn["fc2"](torch.relu(self.ffn["fc1"](x))))
