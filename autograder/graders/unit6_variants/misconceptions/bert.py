"""Known wrong answers to the page `bert`."""

import math
from itertools import pairwise

import torch
from torch import nn

from autograder import given
from autograder.given import sinusoidal_encoding
from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- bert_embeddings


class _Embeddings(correct.BertEmbeddings):
    """The right embeddings, with places where they can be changed."""

    def token_rows(self, ids):
        return self.tokens(ids)

    def position_rows(self, ids):
        return self.positions.weight[: ids.shape[1]]

    def segment_rows(self, ids, segments):
        return self.segments(torch.zeros_like(ids) if segments is None else segments)

    def forward(self, ids, segments=None):
        super().forward(ids[:1])  # complains about too long a row
        return self.mix(self.token_rows(ids), self.position_rows(ids), self.segment_rows(ids, segments))

    def mix(self, tokens, positions, segments):
        return self.norm(tokens + positions + segments)


@misconception("bert_embeddings", symbol="BertEmbeddings")
class segment_ignored(_Embeddings):
    """The segments are not used: a token has the same vector in both sentences.

    Three rows are added for each token, and the third is that of its segment. Without segments that is row 0.
    """

    def segment_rows(self, ids, segments):
        return 0.0


@misconception("bert_embeddings", symbol="BertEmbeddings")
class no_segment_row_by_default(_Embeddings):
    """Without segments nothing was added for them.

    Segment 0 has a row like any other, and a text that is alone belongs to segment 0. A model that has always seen
    this row misses it.
    """

    def segment_rows(self, ids, segments):
        return 0.0 if segments is None else self.segments(segments)


@misconception("bert_embeddings", symbol="BertEmbeddings")
class ln_before_sum(_Embeddings):
    """The norm was applied to the token row alone, and position and segment were added behind it.

    The norm is for the sum: what leaves the embeddings has the mean of norm.bias and a spread that norm.weight decides.
    """

    def mix(self, tokens, positions, segments):
        return self.norm(tokens) + positions + segments


@misconception("bert_embeddings", symbol="BertEmbeddings")
class ln_before_segments(_Embeddings):
    """The segment row was added behind the norm. The norm is for the sum of all three."""

    def mix(self, tokens, positions, segments):
        return self.norm(tokens + positions) + segments


@misconception("bert_embeddings", symbol="BertEmbeddings")
class norm_missing(_Embeddings):
    """The sum of the three rows was returned as it is: the layer norm behind it is missing."""

    def mix(self, tokens, positions, segments):
        return tokens + positions + segments


@misconception("bert_embeddings", symbol="BertEmbeddings")
class sqrt_d_scaled(_Embeddings):
    """The token rows were multiplied by √D, as in the transformer of 2017.

    There it makes up for a table that starts small beside fixed sines. BERT learns all three tables from the same
    start and norms their sum: nothing is scaled.
    """

    def token_rows(self, ids):
        return math.sqrt(self.tokens.embedding_dim) * self.tokens(ids)


@misconception("bert_embeddings", symbol="BertEmbeddings")
class sinusoidal_used(_Embeddings):
    """The positions are sines and cosines. BERT looks them up in a table that is learned, positions.weight."""

    def position_rows(self, ids):
        d = self.tokens.embedding_dim
        return sinusoidal_encoding(ids.shape[1], d + d % 2)[:, :d].to(self.tokens.weight.dtype)


@misconception("bert_embeddings", symbol="BertEmbeddings")
class positions_run_on(_Embeddings):
    """The positions were counted through the whole batch, so that the second row does not begin at 0.

    A position is a place in its own row: every row of the batch gets the rows 0 ... T - 1 of the table.
    """

    def position_rows(self, ids):
        return self.positions(torch.arange(ids.numel()).reshape(ids.shape) % self.max_len)


@misconception("bert_embeddings", symbol="BertEmbeddings")
class eps_of_torch(correct.BertEmbeddings):
    """The norm has the usual eps of 1e-5, whatever the argument says.

    The tables start small, and beside a small variance 1e-5 counts. Hand eps, which is 1e-12 by default, to the norm.
    """

    def __init__(self, vocab, d, max_len, n_segments=2, pad_id=0, eps=1e-12):
        super().__init__(vocab, d, max_len, n_segments, pad_id, 1e-5)


@misconception("bert_embeddings", symbol="BertEmbeddings")
class unbiased_deviation(_Embeddings):
    """The standard deviation was computed with D - 1: `std` and `var` of torch do that unless told otherwise.

    A layer norm divides by the root of the mean square of what is left after the mean was taken off: divided by D.
    Look at the option `correction` (or `unbiased`).
    """

    def mix(self, tokens, positions, segments):
        x = tokens + positions + segments
        variance = x.var(dim=-1, keepdim=True)
        centred = x - x.mean(dim=-1, keepdim=True)
        return centred / torch.sqrt(variance + self.norm.eps) * self.norm.weight + self.norm.bias


@misconception("bert_embeddings", symbol="BertEmbeddings")
class pad_row_learns(correct.BertEmbeddings):
    """A gradient reaches the row of pad_id. It is a filler that means nothing and should learn nothing.

    The result is right; look at the options of nn.Embedding.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.tokens.padding_idx = None


@misconception("bert_embeddings", symbol="BertEmbeddings")
class pad_is_always_0(correct.BertEmbeddings):
    """The row that gets no gradient is row 0, whatever pad_id says. Hand the argument on to nn.Embedding."""

    def __init__(self, vocab, d, max_len, n_segments=2, pad_id=0, eps=1e-12):
        super().__init__(vocab, d, max_len, n_segments, 0, eps)


@misconception("bert_embeddings", symbol="BertEmbeddings")
class first_segment_is_padding(correct.BertEmbeddings):
    """The row of segment 0 gets no gradient: the table of segments has a padding_idx, too.

    Segment 0 is no filler; every text that is alone belongs to it. Only the table of tokens has a row for padding.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.segments.padding_idx = 0


@misconception("bert_embeddings", symbol="BertEmbeddings")
class pad_rows_are_zero(_Embeddings):
    """For the token pad_id nothing was added, as if its row were 0.

    The row is looked up like any other; padding_idx only keeps the gradient from it.
    """

    def token_rows(self, ids):
        return self.tokens(ids) * (ids != self.tokens.padding_idx)[..., None]


@misconception("bert_embeddings", symbol="BertEmbeddings")
class positions_skip_padding(_Embeddings):
    """The positions count only the tokens other than pad_id. A position is a place in the row, padding or not."""

    def position_rows(self, ids):
        return self.positions(((ids != self.tokens.padding_idx).cumsum(dim=1) - 1).clamp(min=0))


@misconception("bert_embeddings", symbol="BertEmbeddings")
class positions_from_1(_Embeddings):
    """The first token got row 1 of the position table; its position is 0."""

    def position_rows(self, ids):
        return self.positions(torch.arange(1, ids.shape[1] + 1).clamp(max=self.max_len - 1))


# ---------------------------------------------------------------- mlm_mask


def _drawn(ids, special, vocab, p, generator):
    """What the solution draws: chosen, fate and the random tokens."""
    chosen = (torch.rand(ids.shape, generator=generator) < p) & ~special
    return chosen, torch.rand(ids.shape, generator=generator), torch.randint(vocab, ids.shape, generator=generator)


def _hide(ids, chosen, fate, random, mask_id, masked=0.8, either=0.9):
    hidden = torch.where(fate < masked, mask_id, torch.where(fate < either, random, ids))
    return torch.where(chosen, hidden, ids)


@misconception("mlm_mask", symbol="mlm_mask")
def labels_everywhere(ids, special, mask_id, vocab, p=0.15, *, generator):
    """Every token has its label. Only the chosen ones are asked for; the label of all others is -100.

    With labels everywhere most of the loss comes from tokens that the model can simply read.
    """
    return correct.mlm_mask(ids, special, mask_id, vocab, p, generator=generator)[0], ids.clone()


@misconception("mlm_mask", symbol="mlm_mask")
def kept_not_labelled(ids, special, mask_id, vocab, p=0.15, *, generator):
    """The chosen tokens that stay as they are have no label.

    They were chosen, so they are asked for. If nothing that looks like the input were ever asked for, the model would
    need no good vectors for real tokens. Derive the labels from what was chosen, not from what has changed.
    """
    inputs, labels = correct.mlm_mask(ids, special, mask_id, vocab, p, generator=generator)
    return inputs, labels.masked_fill(inputs == ids, -100)


@misconception("mlm_mask", symbol="mlm_mask")
def ten_percent_of_all(ids, special, mask_id, vocab, p=0.15, *, generator):
    """A tenth of *all* tokens became random. It is a tenth of the chosen ones, which is 1.5 % of all.

    Whatever happens to a token happens because it was chosen; a token that was changed and has no label is only noise.
    """
    chosen, fate, random = _drawn(ids, special, vocab, p, generator)
    inputs = torch.where(chosen & (fate < 0.8), mask_id, ids)
    other = torch.rand(ids.shape, generator=generator) < 0.1
    return torch.where(other & (inputs != mask_id) & ~special, random, inputs), torch.where(chosen, ids, -100)


@misconception("mlm_mask", symbol="mlm_mask")
def sequential_probs(ids, special, mask_id, vocab, p=0.15, *, generator):
    """Of the chosen tokens only 2 % became random, and 18 % stayed: the 10 % were taken of the remaining 20 %.

    80, 10 and 10 % are shares of the same whole. Of what the first step leaves over, the second has to take one half.
    """
    chosen, fate, random = _drawn(ids, special, vocab, p, generator)
    return _hide(ids, chosen, fate, random, mask_id, either=0.82), torch.where(chosen, ids, -100)


@misconception("mlm_mask", symbol="mlm_mask")
def masks_specials(ids, special, mask_id, vocab, p=0.15, *, generator):
    """Special tokens were chosen like others. [CLS], [SEP] and padding are never hidden: nothing can be learned there.

    `special` is True where a token must be left out of the choice.
    """
    return correct.mlm_mask(ids, torch.zeros_like(special), mask_id, vocab, p, generator=generator)


@misconception("mlm_mask", symbol="mlm_mask")
def global_rng(ids, special, mask_id, vocab, p=0.15, *, generator):
    """The random numbers come from torch's global generator, not from `generator`.

    The masks then depend on whatever has been drawn elsewhere, and no seed repeats them. The functions that draw take
    an option generator=.
    """
    return correct.mlm_mask(ids, special, mask_id, vocab, p, generator=torch.default_generator)


@misconception("mlm_mask", symbol="mlm_mask")
def labels_from_inputs(ids, special, mask_id, vocab, p=0.15, *, generator):
    """The labels hold what the model sees: at a hidden place the label is [MASK].

    Asked for is the token that stood there. Take the labels from ids before anything is hidden, or from a copy.
    """
    inputs, labels = correct.mlm_mask(ids, special, mask_id, vocab, p, generator=generator)
    return inputs, torch.where(labels == -100, -100, inputs)


@misconception("mlm_mask", symbol="mlm_mask")
def always_mask(ids, special, mask_id, vocab, p=0.15, *, generator):
    """Every chosen token became [MASK]. Of the chosen ones a tenth becomes random, and a tenth stays as it is.

    A model that is only ever asked about [MASK] may give any vector to a real token.
    """
    inputs, labels = correct.mlm_mask(ids, special, mask_id, vocab, p, generator=generator)
    return inputs.masked_fill(labels != -100, mask_id), labels


@misconception("mlm_mask", symbol="mlm_mask")
def random_is_another(ids, special, mask_id, vocab, p=0.15, *, generator):
    """A random token is never the one that it replaces. It is any of 0 ... V - 1, all of them equally likely."""
    chosen, fate, steps = _drawn(ids, special, vocab - 1, p, generator)
    return _hide(ids, chosen, fate, (ids + 1 + steps) % vocab, mask_id), torch.where(chosen, ids, -100)


@misconception("mlm_mask", symbol="mlm_mask")
def ids_changed(ids, special, mask_id, vocab, p=0.15, *, generator):
    """ids was changed in place: the caller's text now has holes, and in the next epoch even more.

    Work on a clone, or with torch.where, which makes a new tensor.
    """
    inputs, labels = correct.mlm_mask(ids, special, mask_id, vocab, p, generator=generator)
    return ids.copy_(inputs), labels


@misconception("mlm_mask", symbol="mlm_mask")
def rows_share_mask(ids, special, mask_id, vocab, p=0.15, *, generator):
    """All rows of the batch have their holes at the same places: numbers were drawn for one row only.

    Draw one for each token, in the shape of ids.
    """
    chosen, fate, random = _drawn(ids[:1], special[:1] & False, vocab, p, generator)
    chosen = chosen.expand_as(ids) & ~special
    return _hide(ids, chosen, fate.expand_as(ids), random.expand_as(ids), mask_id), torch.where(chosen, ids, -100)


@misconception("mlm_mask", symbol="mlm_mask")
def fixed_count(ids, special, mask_id, vocab, p=0.15, *, generator):
    """Exactly a share of p was chosen in every row. Each token is to be chosen by itself, with probability p.

    So the number of holes differs from row to row, and a row may have none.
    """
    order = torch.rand(ids.shape, generator=generator).masked_fill(special, 2.0).argsort(dim=1).argsort(dim=1)
    chosen = (order < round(p * ids.shape[1])) & ~special
    fate, random = torch.rand(ids.shape, generator=generator), torch.randint(vocab, ids.shape, generator=generator)
    return _hide(ids, chosen, fate, random, mask_id), torch.where(chosen, ids, -100)


# ---------------------------------------------------------------- nsp_pairs


def _pairs(docs, cls, sep, max_len, generator, second=None, segments_of=None, fit=None, by_value=False):
    """The solution with places where it can be changed; the draws are the solution's."""
    if max_len < 5:
        raise ValueError(f"max_len {max_len}")

    def draw(n):
        return int(torch.randint(n, (1,), generator=generator))

    def shorten(a, b):
        while len(a) + len(b) > max_len - 3:
            (a if len(a) > len(b) else b).pop()

    ids, segments, is_next = [], [], []
    for number, doc in enumerate(docs):
        others = [*docs[:number], *docs[number + 1 :]]
        others = [other for other in others if other != doc] if by_value else others
        for first, following in pairwise(doc):
            follows = not others or draw(2) == 0
            drawn = None if follows else second(doc, others, draw) if second else _choose(others, draw)
            a, b = list(first), list(following if follows else drawn)
            (fit or shorten)(a, b)
            ids.append([cls, *a, sep, *b, sep])
            segments.append(segments_of(a, b) if segments_of else [0] * (len(a) + 2) + [1] * (len(b) + 1))
            is_next.append(follows)
    return ids, segments, is_next


def _choose(docs, draw):
    doc = docs[draw(len(docs))]
    return doc[draw(len(doc))]


@misconception("nsp_pairs", symbol="make_nsp_examples")
def negative_same_doc(docs, cls, sep, max_len, generator):
    """B was drawn from all documents, that of A included, or only from that of A.

    A sentence of the same document is about the same thing, and may even be the next one: as an example of "does not
    follow" it is wrong or unfair. Draw from the other documents.
    """
    return _pairs(docs, cls, sep, max_len, generator, second=lambda doc, others, draw: _choose([doc, *others], draw))


@misconception("nsp_pairs", symbol="make_nsp_examples")
def negative_from_own_doc(docs, cls, sep, max_len, generator):
    """B was drawn from the document of A. What does not follow is to come from another document.

    A sentence of the same document is about the same thing, and may even be the next one.
    """
    return _pairs(docs, cls, sep, max_len, generator, second=lambda doc, others, draw: _choose([doc], draw))


@misconception("nsp_pairs", symbol="make_nsp_examples")
def segment_of_sep_wrong(docs, cls, sep, max_len, generator):
    """The first [SEP] is in segment 1. It ends sentence A, and belongs to it: segment 0."""
    return _pairs(docs, cls, sep, max_len, generator, segments_of=lambda a, b: [0] * (len(a) + 1) + [1] * (len(b) + 2))


@misconception("nsp_pairs", symbol="make_nsp_examples")
def truncate_drops_sep(docs, cls, sep, max_len, generator):
    """The finished example was cut at max_len, and with it went the last [SEP], or both, and all of B.

    Make room first, by shortening A and B; then put the special tokens around them.
    """
    ids, segments, is_next = correct.make_nsp_examples(docs, cls, sep, 10**6, generator)
    return [row[:max_len] for row in ids], [row[:max_len] for row in segments], is_next


@misconception("nsp_pairs", symbol="make_nsp_examples")
def labels_inverted(docs, cls, sep, max_len, generator):
    """is_next is True where B was drawn. It says whether B is the *next* sentence.

    (In Hugging Face's models the label 0 means "is the next": there it is the other way round.)
    """
    ids, segments, is_next = correct.make_nsp_examples(docs, cls, sep, max_len, generator)
    return ids, segments, [not follows for follows in is_next]


@misconception("nsp_pairs", symbol="make_nsp_examples")
def only_b_truncated(docs, cls, sep, max_len, generator):
    """Only B was shortened, however long A is. The longer one of the two loses a token, again and again.

    Otherwise a long A leaves nothing of B, and there is no pair to judge.
    """

    def fit(a, b):
        del b[max(1, max_len - 3 - len(a)) :]
        del a[max_len - 3 - len(b) :]

    return _pairs(docs, cls, sep, max_len, generator, fit=fit)


@misconception("nsp_pairs", symbol="make_nsp_examples")
def only_a_truncated(docs, cls, sep, max_len, generator):
    """Only A was shortened as long as anything was left of it. The longer one of the two loses a token, each time anew.

    Ask for the lengths before each token that goes, not once.
    """

    def fit(a, b):
        while len(a) + len(b) > max_len - 3:
            (a if len(a) > 1 else b).pop()

    return _pairs(docs, cls, sep, max_len, generator, fit=fit)


@misconception("nsp_pairs", symbol="make_nsp_examples")
def shortened_at_the_front(docs, cls, sep, max_len, generator):
    """The sentences lost their first tokens. It is the last token that goes: the beginning stays."""

    def fit(a, b):
        while len(a) + len(b) > max_len - 3:
            (a if len(a) > len(b) else b).pop(0)

    return _pairs(docs, cls, sep, max_len, generator, fit=fit)


@misconception("nsp_pairs", symbol="make_nsp_examples")
def a_loses_ties(docs, cls, sep, max_len, generator):
    """Where A and B have the same length, A lost a token. Then it is B that loses one."""

    def fit(a, b):
        while len(a) + len(b) > max_len - 3:
            (a if len(a) >= len(b) else b).pop()

    return _pairs(docs, cls, sep, max_len, generator, fit=fit)


@misconception("nsp_pairs", symbol="make_nsp_examples")
def room_for_two_specials(docs, cls, sep, max_len, generator):
    """Some examples have max_len + 1 tokens: room was left for two special tokens. There are three.

    A and B together may have max_len - 3.
    """

    def fit(a, b):
        while len(a) + len(b) > max_len - 2:
            (a if len(a) > len(b) else b).pop()

    return _pairs(docs, cls, sep, max_len, generator, fit=fit)


@misconception("nsp_pairs", symbol="make_nsp_examples")
def half_each(docs, cls, sep, max_len, generator):
    """Each of A and B was cut to half of the room, though the other may be short and leave more.

    Tokens are only given up where there is no room: as long as both do not fit, the longer one loses its last token.
    """

    def fit(a, b):
        room = max_len - 3
        if len(a) + len(b) > room:
            del a[(room + 1) // 2 :]
            del b[room // 2 :]

    return _pairs(docs, cls, sep, max_len, generator, fit=fit)


@misconception("nsp_pairs", symbol="make_nsp_examples")
def sentences_weigh_the_same(docs, cls, sep, max_len, generator):
    """B was drawn from all sentences of the other documents at once, so that long documents come up more often.

    First a document is drawn, each equally likely, then one of its sentences.
    """

    def second(doc, others, draw):
        return _choose([[sentence for other in others for sentence in other]], draw)

    return _pairs(docs, cls, sep, max_len, generator, second=second)


@misconception("nsp_pairs", symbol="make_nsp_examples")
def others_by_value(docs, cls, sep, max_len, generator):
    """A document that holds the same sentences as that of A was taken for that of A, and nothing was drawn from it.

    Which document is another one is a question of its place in docs, not of what it holds: compare numbers
    (enumerate), not lists.
    """
    return _pairs(docs, cls, sep, max_len, generator, by_value=True)


@misconception("nsp_pairs", symbol="make_nsp_examples")
def across_documents(docs, cls, sep, max_len, generator):
    """The last sentence of a document was paired with the first one of the next document.

    It has no next sentence: documents have nothing to do with each other.
    """
    joined = [[sentence for doc in docs for sentence in doc]]
    return _pairs(joined, cls, sep, max_len, generator) if docs else ([], [], [])


# ---------------------------------------------------------------- bert_model


class _Bert(correct.Bert):
    """The right model, with places where it can be changed."""

    def mask_of(self, ids, mask):
        return None if mask is None else mask[:, None, None]

    def pool(self, sequence):
        return torch.tanh(self.pooler(sequence[:, 0]))

    def guess(self, sequence):
        return self.decoder(self.transform_norm(nn.functional.gelu(self.transform(sequence))))

    def forward(self, ids, segments=None, mask=None):
        sequence = self.embeddings(ids, segments)
        for layer in self.layers:
            sequence = layer(sequence, mask=self.mask_of(ids, mask))
        pooled = self.pool(sequence)
        return sequence, pooled, self.guess(sequence), self.nsp(pooled)


@misconception("bert_model", symbol="Bert")
class causal_left_in(_Bert):
    """The attention is causal: no token reads what stands to its right.

    BERT is not asked for the next token but for hidden ones, which the input does not show. It may read everything but
    padding, and then it reads in both directions.
    """

    def mask_of(self, ids, mask):
        earlier = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
        return earlier if mask is None else earlier & mask[:, None, None]


@misconception("bert_model", symbol="Bert")
class pre_ln(_Bert):
    """The layers are pre-LN. BERT is post-LN, like the transformer of 2017: each layer ends with a norm."""

    def __init__(self, cfg):
        super().__init__(cfg)
        for layer in self.layers:
            layer.norm_first = True


@misconception("bert_model", symbol="Bert")
class pooler_mean(_Bert):
    """The pooler got the mean of all vectors. It takes the vector at place 0, that of [CLS].

    The mean counts padding, too.
    """

    def pool(self, sequence):
        return torch.tanh(self.pooler(sequence.mean(dim=1)))


@misconception("bert_model", symbol="Bert")
class pooler_without_tanh(_Bert):
    """The pooler is a linear map without the tanh."""

    def pool(self, sequence):
        return self.pooler(sequence[:, 0])


@misconception("bert_model", symbol="Bert")
class mlm_bias_missing(_Bert):
    """mlm_logits lacks the bias: decoder.bias is not added.

    The weight of the output layer is that of the token embedding, but the bias is its own: one number for each token,
    which says how frequent it is.
    """

    def guess(self, sequence):
        return super().guess(sequence) - self.decoder.bias


@misconception("bert_model", symbol="Bert")
class decoder_untied(_Bert):
    """The output layer has a weight of its own. It is to *be* the token embedding: one parameter under two names.

    After loading both have the same values, but they part at the first step of training, and a model of 30 000 tokens
    has 23 million numbers more.
    """

    def __init__(self, cfg):
        super().__init__(cfg)
        self.decoder.weight = nn.Parameter(self.decoder.weight.detach().clone())


@misconception("bert_model", symbol="Bert")
class gelu_tanh(_Bert):
    """The GELU is the approximation with tanh. BERT's is exact, with erf; GPT-2 is the one that has tanh.

    The two differ by 5e-4 at most, which nobody sees in training, and everybody who loads somebody's weights.
    """

    def __init__(self, cfg):
        super().__init__(cfg)
        for layer in self.layers:
            layer.ffn.activation = "gelu_tanh"

    def guess(self, sequence):
        hidden = nn.functional.gelu(self.transform(sequence), approximate="tanh")
        return self.decoder(self.transform_norm(hidden))


@misconception("bert_model", symbol="Bert")
class gelu_tanh_in_layers(_Bert):
    """The GELU of the layers is the approximation with tanh. BERT's is exact, with erf, as it is in your head."""

    def __init__(self, cfg):
        super().__init__(cfg)
        for layer in self.layers:
            layer.ffn.activation = "gelu_tanh"


@misconception("bert_model", symbol="Bert")
class gelu_tanh_in_head(_Bert):
    """The GELU of the head for hidden tokens is the approximation with tanh. BERT's is exact, with erf."""

    def guess(self, sequence):
        hidden = nn.functional.gelu(self.transform(sequence), approximate="tanh")
        return self.decoder(self.transform_norm(hidden))


@misconception("bert_model", symbol="Bert")
class queries_of_padding_masked(_Bert):
    """The mask was laid along the queries, (B, 1, T, 1): padding asks nothing, but real tokens still read it.

    Keys stand in the last axis of the scores: hand it on as (B, 1, 1, T).
    """

    def mask_of(self, ids, mask):
        return None if mask is None else mask[:, None, :, None]


@misconception("bert_model", symbol="Bert")
class mask_inverted(_Bert):
    """Real tokens were masked, and padding was read. The kit's mask is True where a token may be attended to."""

    def mask_of(self, ids, mask):
        return None if mask is None else ~mask[:, None, None]


@misconception("bert_model", symbol="Bert")
class relu_left(_Bert):
    """The feed-forward networks still have the ReLU of 2017, the default of the kit's EncoderLayer. BERT has GELU."""

    def __init__(self, cfg):
        super().__init__(cfg)
        for layer in self.layers:
            layer.ffn.activation = "relu"


@misconception("bert_model", symbol="Bert")
class eps_left(_Bert):
    """The norms of the layers have the eps of the kit's EncoderLayer, 1e-5. All of BERT's norms have 1e-12."""

    def __init__(self, cfg):
        super().__init__(cfg)
        for layer in self.layers:
            layer.norm1.eps = layer.norm2.eps = 1e-5


@misconception("bert_model", symbol="Bert")
class head_eps_left(_Bert):
    """The norm in the head for hidden tokens has an eps of 1e-5. All of BERT's norms have 1e-12."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.transform_norm.eps = 1e-5


@misconception("bert_model", symbol="Bert")
class mask_ignored(_Bert):
    """The mask does not reach the layers: real tokens read padding. Hand it to every layer, as (B, 1, 1, T)."""

    def mask_of(self, ids, mask):
        return None


@misconception("bert_model", symbol="Bert")
class mask_from_pad_id(_Bert):
    """Without a mask the tokens with the number pad_id were taken for padding.

    The mask alone says what padding is. Where there is none, all tokens are real.
    """

    def mask_of(self, ids, mask):
        return (ids != self.embeddings.tokens.padding_idx)[:, None, None] if mask is None else mask[:, None, None]


@misconception("bert_model", symbol="Bert")
class transform_missing(_Bert):
    """mlm_logits compares the sequence with the token embedding directly: linear map, GELU and norm are left out."""

    def guess(self, sequence):
        return self.decoder(sequence)


@misconception("bert_model", symbol="Bert")
class transform_without_gelu(_Bert):
    """The head for hidden tokens has no GELU: the norm follows directly on the linear map.

    Compare with the formula of mlm_logits: between `transform` and `transform_norm` stands a function that bends.
    """

    def guess(self, sequence):
        return self.decoder(self.transform_norm(self.transform(sequence)))


@misconception("bert_model", symbol="Bert")
class transform_order(_Bert):
    """In the head for hidden tokens the norm comes before the GELU. The order is: linear map, GELU, norm."""

    def guess(self, sequence):
        return self.decoder(nn.functional.gelu(self.transform_norm(self.transform(sequence))))


@misconception("bert_model", symbol="Bert")
class nsp_without_pooler(_Bert):
    """nsp_logits were computed from the vector of [CLS] itself. They are a linear map of pooled."""

    def forward(self, ids, segments=None, mask=None):
        sequence, pooled, guesses, _ = super().forward(ids, segments, mask)
        return sequence, pooled, guesses, self.nsp(sequence[:, 0])


@misconception("bert_model", symbol="Bert")
class segments_lost(_Bert):
    """The segments do not reach the embeddings: both sentences look like the first."""

    def forward(self, ids, segments=None, mask=None):
        return super().forward(ids, None, mask)


# ---------------------------------------------------------------- roberta_dynamic_masking


class _Dataset(correct.DynamicMaskingDataset):
    """The right dataset; `generator_of` decides what a mask depends on."""

    def generator_of(self, i, epoch):
        raise NotImplementedError

    def text(self, i):
        return self.tokens[i * self.seq_len : (i + 1) * self.seq_len][None]

    def __getitem__(self, key):
        i, epoch = key
        if not 0 <= i < len(self):
            raise IndexError(i)
        ids = self.text(i)
        nothing = torch.zeros_like(ids, dtype=torch.bool)
        generator = self.generator_of(i, epoch)
        inputs, labels = given.mlm_mask(ids, nothing, self.mask_id, self.vocab, self.p, generator=generator)
        return inputs[0], labels[0]


@misconception("roberta_dynamic_masking", symbol="DynamicMaskingDataset")
class static_mask(correct.DynamicMaskingDataset):
    """The masks are the same in every epoch: they were drawn once, or the epoch does not enter.

    That is what BERT did, and what RoBERTa changed. A mask depends on the seed, the text *and* the epoch.
    """

    def __getitem__(self, key):
        return super().__getitem__((key[0], 0))


@misconception("roberta_dynamic_masking", symbol="DynamicMaskingDataset")
class mutates_source(correct.DynamicMaskingDataset):
    """The masks were written into the tokens themselves: with every epoch there is less of the text left.

    Take a copy of the part that you return; the labels come from the tokens as they were in the beginning.
    """

    def __getitem__(self, key):
        inputs, labels = super().__getitem__(key)
        self.tokens[key[0] * self.seq_len : (key[0] + 1) * self.seq_len] = inputs
        return inputs, labels


@misconception("roberta_dynamic_masking", symbol="DynamicMaskingDataset")
class seed_per_epoch_only(correct.DynamicMaskingDataset):
    """All texts of an epoch have their holes at the same places: the number of the text does not enter.

    A generator that starts from seed and epoch alone gives the same numbers for each text.
    """

    def __getitem__(self, key):
        i, epoch = key
        if not 0 <= i < len(self):
            raise IndexError(i)
        ids = self.tokens[i * self.seq_len : (i + 1) * self.seq_len][None]
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
        nothing = torch.zeros_like(ids, dtype=torch.bool)
        inputs, labels = given.mlm_mask(ids, nothing, self.mask_id, self.vocab, self.p, generator=generator)
        return inputs[0], labels[0]


@misconception("roberta_dynamic_masking", symbol="DynamicMaskingDataset")
class drops_tail(correct.DynamicMaskingDataset):
    """The tokens behind the last full text are lost. A shorter text at the end counts as well: round up, not down."""

    def __len__(self):
        return len(self.tokens) // self.seq_len


@misconception("roberta_dynamic_masking", symbol="DynamicMaskingDataset")
class seed_sum(_Dataset):
    """Seed, text and epoch were added up: text 1 in epoch 2 has the holes of text 2 in epoch 1, and so on.

    Many triples have the same sum. Mix the three numbers so that no two triples give the same generator.
    """

    def generator_of(self, i, epoch):
        return torch.Generator().manual_seed(self.seed + i + epoch)


@misconception("roberta_dynamic_masking", symbol="DynamicMaskingDataset")
class digits_of_one_number(_Dataset):
    """Seed, text and epoch were laid side by side as the digits of one number: text 1 in epoch 0 has the mask of text 0
    in epoch 1000.

    No two of the triples may share a generator, however large the numbers. A hash of all three, or a SeedSequence,
    keeps them apart.
    """

    def generator_of(self, i, epoch):
        return torch.Generator().manual_seed(self.seed * 1_000_000 + i * 1000 + epoch)


@misconception("roberta_dynamic_masking", symbol="DynamicMaskingDataset")
class one_generator(_Dataset):
    """One generator lives on in the dataset, so that a mask depends on everything that was asked for before.

    Asked in another order, or by several processes, the same text has other masks in the same epoch. Make a generator
    for each call, from the seed, the text and the epoch.
    """

    def generator_of(self, i, epoch):
        if not hasattr(self, "generator"):
            self.generator = torch.Generator().manual_seed(self.seed)
        return self.generator


@misconception("roberta_dynamic_masking", symbol="DynamicMaskingDataset")
class seed_ignored(_Dataset):
    """The seed does not enter: every dataset has the same masks."""

    def generator_of(self, i, epoch):
        return torch.Generator().manual_seed(1_000_003 * epoch + i)


@misconception("roberta_dynamic_masking", symbol="DynamicMaskingDataset")
class seed_beyond_32_bits(_Dataset):
    """The seed was shifted out of sight: torch's generator on the CPU looks at the last 32 bits of manual_seed only.

    What stands further left in the number is lost without a word, so that every seed has the same masks. Mix the three
    numbers into fewer bits instead of writing them side by side.
    """

    def generator_of(self, i, epoch):
        return torch.Generator().manual_seed((self.seed << 40) | (i << 20) | epoch)


@misconception("roberta_dynamic_masking", symbol="pack_full_sentences")
def last_block_missing(docs, seq_len, sep):
    """The last block is missing. What has been gathered when the sentences end is a block as well, full or not."""
    return correct.pack_full_sentences(docs, seq_len, sep)[:-1]


@misconception("roberta_dynamic_masking", symbol="pack_full_sentences")
def cuts_sentences(docs, seq_len, sep):
    """The stream was cut every seq_len tokens, in the midst of sentences.

    A sentence that does not fit any more begins the next block; only one that is longer than a block is cut.
    """
    stream = []
    for doc in docs:
        stream += [sep] * bool(stream) + [token for sentence in doc for token in sentence]
    return [stream[start : start + seq_len] for start in range(0, len(stream), seq_len)]


@misconception("roberta_dynamic_masking", symbol="pack_full_sentences")
def sep_between_sentences(docs, seq_len, sep):
    """A separator stands between any two sentences. It marks the border between two documents only."""
    return correct.pack_full_sentences([[sentence] for doc in docs for sentence in doc], seq_len, sep)


@misconception("roberta_dynamic_masking", symbol="pack_full_sentences")
def no_separator(docs, seq_len, sep):
    """There are no separators: in a block where a document ends and another begins, sep stands between them."""
    return correct.pack_full_sentences([[sentence for doc in docs for sentence in doc]], seq_len, sep)


@misconception("roberta_dynamic_masking", symbol="pack_full_sentences")
def separator_given_up(docs, seq_len, sep):
    """Where there was no room for a separator and a token, the separator was left out, and the sentence put there.

    Two documents in one block are always parted. If sep and the sentence do not fit together, the block ends.
    """
    blocks = []
    for doc in docs:
        fresh = True
        for sentence in doc:
            for start in range(0, len(sentence), seq_len):
                piece = sentence[start : start + seq_len]
                between = [sep] if fresh and blocks and len(blocks[-1]) + 1 < seq_len else []
                if not blocks or len(blocks[-1]) + len(between) + len(piece) > seq_len:
                    blocks.append([])
                    between = []
                blocks[-1] += [*between, *piece]
                fresh = False
    return blocks


@misconception("roberta_dynamic_masking", symbol="pack_full_sentences")
def sep_does_not_count(docs, seq_len, sep):
    """The separator was not counted, and a block is longer than seq_len by one or more."""
    blocks = [[]]
    size = 0
    for doc in docs:
        between = [sep] if blocks[-1] else []
        for sentence in doc:
            for start in range(0, len(sentence), seq_len):
                piece = sentence[start : start + seq_len]
                if blocks[-1] and size + len(piece) > seq_len:
                    blocks.append([])
                    between, size = [], 0
                blocks[-1] += [*between, *piece]
                between, size = [], size + len(piece)
    return blocks if blocks[-1] else []


@misconception("roberta_dynamic_masking", symbol="pack_full_sentences")
def sep_ends_block(docs, seq_len, sep):
    """A separator ends a block, or begins one. It stands between two documents that meet inside a block, else nowhere.

    Write it together with the first sentence of the next document, and only if both fit.
    """
    blocks = [[]]
    for n, doc in enumerate(docs):
        for sentence in doc:
            for start in range(0, len(sentence), seq_len):
                piece = sentence[start : start + seq_len]
                if blocks[-1] and len(blocks[-1]) + len(piece) > seq_len:
                    blocks.append([])
                blocks[-1] += piece
        if n < len(docs) - 1:
            if len(blocks[-1]) + 1 > seq_len:
                blocks.append([])
            blocks[-1].append(sep)
    return blocks if blocks[-1] else []


@misconception("roberta_dynamic_masking", symbol="pack_full_sentences")
def long_sentences_cut_off(docs, seq_len, sep):
    """Of a sentence that is longer than a block only the beginning is left. No token may be lost: the rest follows."""
    return correct.pack_full_sentences([[s[:seq_len] for s in doc] for doc in docs], seq_len, sep)
