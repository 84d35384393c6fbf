"""Known wrong answers to the page `gpt`."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.given import FeedForward, scaled_dot_product_attention
from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- gpt_model


def causal(q, k):
    return torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()


class Written(correct.GPT):
    """The model in pieces, of which the wrong ones below replace one each."""

    def tokens_of(self, ids):
        return self.embed(ids)

    def positions_of(self, ids, positions):
        return torch.arange(ids.shape[1]) if positions is None else positions

    def position_rows(self, ids, positions):
        return self.position(self.positions_of(ids, positions))

    def attended(self, i, q, k, v, past):
        return scaled_dot_product_attention(q, k, v, causal(q, k)) if past is None else past(i, q, k, v)

    def attention(self, i, layer, x, past):
        attn = layer["self_attn"]
        q, k, v = (f(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2)
                   for f in (attn.q_proj, attn.k_proj, attn.v_proj))  # fmt: skip
        return attn.out_proj(self.attended(i, q, k, v, past).transpose(1, 2).flatten(2))

    def layer(self, i, layer, x, past):
        x = x + self.attention(i, layer, layer["norm1"](x), past)
        return x + layer["ffn"](layer["norm2"](x))

    def logits_of(self, x):
        return F.linear(self.norm(x), self.embed.weight)

    def loss(self, logits, targets):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def forward(self, ids, targets=None, past=None, positions=None):
        if ids.shape[1] > self.block:
            raise ValueError("more tokens than block")
        x = self.tokens_of(ids) + self.position_rows(ids, positions)
        for i, layer in enumerate(self.layers):
            x = self.layer(i, layer, x, past)
        logits = self.logits_of(x)
        return logits, past if targets is None else self.loss(logits, targets)


@misconception("gpt_model", symbol="GPT")
class internal_double_shift(Written):
    """The loss compares the logits at place t with targets[:, t + 1]: the targets were shifted once more.

    targets[:, t] already is the token after ids[:, t]; the caller has shifted. Shifted twice, the model learns the
    token after next.
    """

    def loss(self, logits, targets):
        if targets.shape[1] == 1:
            return logits.sum() * 0.0
        return super().loss(logits[:, :-1], targets[:, 1:])


@misconception("gpt_model", symbol="GPT")
class post_ln(Written):
    """The layers are post-LN: the sum is normalised, not what a branch reads.

    That is the transformer of 2017, and BERT. GPT-2 has the norm before each branch, x + f(norm(x)), and leaves the sum
    alone.
    """

    def layer(self, i, layer, x, past):
        x = layer["norm1"](x + self.attention(i, layer, x, past))
        return layer["norm2"](x + layer["ffn"](x))


@misconception("gpt_model", symbol="GPT")
class no_final_ln(Written):
    """The stream goes into the head as it is.

    In a pre-LN model nothing has normalised the stream; a last norm does it before the logits.
    """

    def logits_of(self, x):
        return F.linear(x, self.embed.weight) + 0.0 * self.norm(x).sum()


@misconception("gpt_model", symbol="GPT")
class gelu_erf(Written):
    """The feed-forward network has the GELU with erf. Everything is off by a few ten-thousandths.

    GPT-2 has the approximation with tanh. The two differ by up to 4.7e-4 for each number, and by more behind layers.
    """

    def layer(self, i, layer, x, past):
        x = x + self.attention(i, layer, layer["norm1"](x), past)
        exact = FeedForward(1, 1, "gelu")
        exact.fc1, exact.fc2 = layer["ffn"].fc1, layer["ffn"].fc2
        return x + exact(layer["norm2"](x))


@misconception("gpt_model", symbol="GPT")
class position_per_batch(Written):
    """The positions count the texts of the batch, not the tokens of a text: all tokens of a row have the same one.

    ids is (B, T). Positions run along axis 1, 0 to T − 1 in every row.
    """

    def positions_of(self, ids, positions):
        return torch.arange(ids.shape[0])[:, None] if positions is None else positions


@misconception("gpt_model", symbol="GPT")
class mask_by_block_not_T(Written):
    """The causal mask is (block, block) whatever the length of the text, so only texts of block tokens go through.

    The mask has as many rows and columns as this call has tokens: make it for T, or cut [:T, :T] out of a larger one.
    """

    def attended(self, i, q, k, v, past):
        if past is not None:
            return past(i, q, k, v)
        return scaled_dot_product_attention(q, k, v, torch.ones(self.block, self.block, dtype=torch.bool).tril())


@misconception("gpt_model", symbol="GPT")
class sees_the_future(Written):
    """There is no causal mask: every token sees the whole text, and so the very token that it is to predict.

    The loss of such a model falls to nothing in training, and it cannot write. Query t attends to the keys 0 to t.
    """

    def attended(self, i, q, k, v, past):
        return scaled_dot_product_attention(q, k, v) if past is None else past(i, q, k, v)


@misconception("gpt_model", symbol="GPT")
class sees_the_next_token(Written):
    """The causal mask is off by one: every token sees the one behind it, which it is to predict.

    Query t attends to the keys 0 to t: the diagonal is the last that stays.
    """

    def attended(self, i, q, k, v, past):
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(1)
        return scaled_dot_product_attention(q, k, v, mask) if past is None else past(i, q, k, v)


@misconception("gpt_model", symbol="GPT")
class does_not_see_itself_in_the_layer(Written):
    """The causal mask is off by one: a token sees those before it, but not itself. Query t attends to keys 0 to t."""

    def attended(self, i, q, k, v, past):
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(-1)
        return scaled_dot_product_attention(q, k, v, mask) if past is None else past(i, q, k, v)


@misconception("gpt_model", symbol="GPT")
class positions_missing(Written):
    """No positions were added: to such a model the tokens before the last one are a bag of words."""

    def position_rows(self, ids, positions):
        return 0.0


@misconception("gpt_model", symbol="GPT")
class past_ignored(Written):
    """`past` is not asked: the layers attend among the tokens of this call, as if it were not there.

    Where past is given, its answer takes the place of attention in every layer.
    """

    def attended(self, i, q, k, v, past):
        return super().attended(i, q, k, v, None)


@misconception("gpt_model", symbol="GPT")
class positions_ignored(Written):
    """The argument `positions` has no effect: the tokens always stand at 0 to T − 1.

    With a cache, the one token of a call is the hundredth of its text. Where positions are given, they are the rows of
    the position table to add.
    """

    def positions_of(self, ids, positions):
        return torch.arange(ids.shape[1])


@misconception("gpt_model", symbol="GPT")
class head_of_its_own(Written):
    """The head is a matrix of its own, which happened to begin as a copy of the embedding.

    Tied means one parameter: a step of the optimiser changes both uses, and its gradient is the sum of the two.
    """

    def __init__(self, vocab, block, d, n_layer, n_head):
        super().__init__(vocab, block, d, n_layer, n_head)
        self.head = nn.Linear(d, vocab, bias=False)

    def load_reference(self, state_dict):
        self.load_state_dict(state_dict | {"head.weight": state_dict["embed.weight"]})

    def logits_of(self, x):
        return self.head(self.norm(x))


@misconception("gpt_model", symbol="GPT")
class past_not_returned(Written):
    """With past, the second of the pair is None; it is past itself.

    The logits are right.
    """

    def forward(self, ids, targets=None, past=None, positions=None):
        logits, second = super().forward(ids, targets, past, positions)
        return logits, None if past is not None else second


@misconception("gpt_model", symbol="GPT")
class scaled_before_past(Written):
    """The queries that past is asked with are divided by √Dh already, so the scores are divided twice.

    Nothing is scaled yet where past is called: it attends in your place, the scale included.
    """

    def attended(self, i, q, k, v, past):
        return super().attended(i, q if past is None else q / math.sqrt(q.shape[-1]), k, v, past)


@misconception("gpt_model", symbol="GPT")
class attention_without_residual(Written):
    """What attention has found replaces the stream: its residual connection is missing.

    Each branch adds to the stream, x + f(norm(x)).
    """

    def layer(self, i, layer, x, past):
        x = self.attention(i, layer, layer["norm1"](x), past)
        return x + layer["ffn"](layer["norm2"](x))


@misconception("gpt_model", symbol="GPT")
class network_without_residual(Written):
    """What the feed-forward network gives replaces the stream: its residual connection is missing.

    Each branch adds to the stream, x + f(norm(x)).
    """

    def layer(self, i, layer, x, past):
        x = x + self.attention(i, layer, layer["norm1"](x), past)
        return layer["ffn"](layer["norm2"](x))


@misconception("gpt_model", symbol="GPT")
class residual_of_the_normed(Written):
    """Attention's result was added to the normalised stream, not to the stream itself.

    That happens where x = norm(x) comes first. In a pre-LN layer the norm stands inside the branch: x + f(norm(x)).
    """

    def layer(self, i, layer, x, past):
        normed = layer["norm1"](x)
        x = normed + self.attention(i, layer, normed, past)
        return x + layer["ffn"](layer["norm2"](x))


@misconception("gpt_model", symbol="GPT")
class relu_left(Written):
    """The feed-forward network has a ReLU, the default of the kit's FeedForward. GPT-2 has the GELU with tanh."""

    def layer(self, i, layer, x, past):
        x = x + self.attention(i, layer, layer["norm1"](x), past)
        return x + layer["ffn"].fc2(torch.relu(layer["ffn"].fc1(layer["norm2"](x))))


@misconception("gpt_model", symbol="GPT")
class mask_of_the_forbidden(Written):
    """The mask is True where a token may *not* look: every token sees only what comes after it.

    `triu(1)` marks the future. The kit's attention takes a mask that is True where a query may attend.
    """

    def attended(self, i, q, k, v, past):
        return scaled_dot_product_attention(q, k, v, ~causal(q, k)) if past is None else past(i, q, k, v)


@misconception("gpt_model", symbol="GPT")
class scaled_by_the_stream(Written):
    """The scores are divided by √D, the width of the stream. A head is Dh = D / H wide: divide by √Dh."""

    def attended(self, i, q, k, v, past):
        return super().attended(i, q / math.sqrt(self.n_head) if past is None else q, k, v, past)


@misconception("gpt_model", symbol="GPT")
class heads_cut_across_tokens(Written):
    """The heads were cut by a reshape to (B, H, T, Dh) alone, which mixes numbers of different tokens.

    Split the last axis, (B, T, H, Dh), and then exchange two axes.
    """

    def attention(self, i, layer, x, past):
        attn, shape = layer["self_attn"], (len(x), self.n_head, x.shape[1], -1)
        q, k, v = (f(x).reshape(shape) for f in (attn.q_proj, attn.k_proj, attn.v_proj))
        return attn.out_proj(self.attended(i, q, k, v, past).transpose(1, 2).flatten(2))


@misconception("gpt_model", symbol="GPT")
class heads_merged_across_tokens(Written):
    """What the heads have found was brought back to (B, T, D) by a reshape alone, which mixes different tokens.

    (B, H, T, Dh) becomes (B, T, H, Dh) first, by exchanging two axes, and only then the last two are one.
    """

    def attention(self, i, layer, x, past):
        attn = layer["self_attn"]
        q, k, v = (f(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2)
                   for f in (attn.q_proj, attn.k_proj, attn.v_proj))  # fmt: skip
        return attn.out_proj(self.attended(i, q, k, v, past).reshape(x.shape))


@misconception("gpt_model", symbol="GPT")
class embedding_scaled(Written):
    """The token rows were multiplied by √D, as in the transformer of 2017.

    There the positions are fixed sines. In GPT-2 both tables are learned, and nothing is scaled.
    """

    def tokens_of(self, ids):
        return math.sqrt(self.embed.embedding_dim) * self.embed(ids)


@misconception("gpt_model", symbol="GPT")
class loss_summed(Written):
    """The losses of all places were added up. The loss is their mean, so that it does not hang on the batch's size."""

    def loss(self, logits, targets):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")


@misconception("gpt_model", symbol="GPT")
class loss_of_probabilities(Written):
    """The cross-entropy was given probabilities. It takes logits and does the softmax itself.

    A softmax of a softmax is nearly uniform: the loss hardly falls.
    """

    def loss(self, logits, targets):
        return super().loss(torch.softmax(logits, dim=-1), targets)


# ---------------------------------------------------------------- kv_cache


@misconception("kv_cache", symbol="generate")
def position_restarts(model, ids, n, use_cache=True, choose=None):
    """Each call of the model numbers its tokens from 0: with a cache, every new token stands at position 0.

    The model cannot know what is in the cache. The first new token's position is the number of tokens that are there.
    """

    def forgetful(ids, past=None, positions=None):
        return model(ids, past=past)

    forgetful.block = model.block
    return correct.generate(forgetful, ids, n, use_cache, choose)


class Kept(correct.KVCache):
    """The cache with its mask left open."""

    def mask(self, Tq, Tk):
        return torch.ones(Tq, Tk, dtype=torch.bool).tril(Tk - Tq)

    def joined(self, layer, k, v):
        if layer in self.kept:
            k, v = (torch.cat([old, new], dim=2) for old, new in zip(self.kept[layer], (k, v), strict=True))
        return k, v

    def __call__(self, layer, q, k, v):
        k, v = self.kept[layer] = self.joined(layer, k, v)
        return scaled_dot_product_attention(q, k, v, self.mask(q.shape[2], k.shape[2]))


@misconception("kv_cache", symbol="KVCache")
class is_causal_true_on_decode(Kept):
    """The mask is aligned at the top left, as `is_causal=True` of torch does it: a lone new token sees key 0 and no
    other.

    The new tokens are the last of the text, not the first. Query i of Tq sees the keys 0 to i + (Tk − Tq): the mask
    belongs at the bottom right.
    """

    def mask(self, Tq, Tk):
        return torch.ones(Tq, Tk, dtype=torch.bool).tril()


@misconception("kv_cache", symbol="KVCache")
class cache_on_module(Kept):
    """All caches are one: what one text has left is there when the next begins.

    A list or dict in the body of the class, or on the model, is shared by everybody. A cache belongs to one batch of
    texts: make its storage in __init__.
    """

    shared = {}  # noqa: RUF012 - that is the mistake

    def __init__(self):
        super().__init__()
        self.kept = self.shared

    def reorder(self, rows):
        for layer, (k, v) in list(self.kept.items()):
            self.kept[layer] = k[rows], v[rows]


@misconception("kv_cache", symbol="KVCache")
class chunk_not_causal(Kept):
    """Without a mask the tokens of a chunk see each other's future.

    For a single new token that is right, it is the last. But a prompt comes in chunks, and within a chunk token i sees
    the chunk's tokens 0 to i, and no later ones.
    """

    def mask(self, Tq, Tk):
        return torch.ones(Tq, Tk, dtype=torch.bool)


@misconception("kv_cache", symbol="KVCache")
class first_chunk_only_causal(Kept):
    """A chunk is masked only if the cache is empty: a later chunk's tokens see each other's future.

    The mask is the same for all: query i of Tq sees the keys 0 to i + (Tk − Tq).
    """

    def mask(self, Tq, Tk):
        return super().mask(Tq, Tk) if Tq == Tk else torch.ones(Tq, Tk, dtype=torch.bool)


@misconception("kv_cache", symbol="KVCache")
class does_not_see_itself(Kept):
    """A new token sees those before it, but not itself. The i-th new token attends to the new ones 0 to i, and so to
    its own key as well.
    """

    def mask(self, Tq, Tk):
        return torch.ones(Tq, Tk, dtype=torch.bool).tril(Tk - Tq - 1)


@misconception("kv_cache", symbol="KVCache")
class length_of_all_layers(Kept):
    """length adds up the tokens of all layers. All are given the same tokens: it is the number that layer 0 has."""

    @property
    def length(self):
        return sum(k.shape[2] for k, _ in self.kept.values())


@misconception("kv_cache", symbol="KVCache")
class length_counts_calls(Kept):
    """length counts the calls, not the tokens. A call may bring a chunk of several tokens."""

    calls = 0

    @property
    def length(self):
        return self.calls

    def joined(self, layer, k, v):
        self.calls += layer == 0
        return super().joined(layer, k, v)


@misconception("kv_cache", symbol="KVCache")
class length_of_the_last_layer(Kept):
    """length is that of the last layer. It is how many tokens layer 0 has been given, the first in each pass."""

    @property
    def length(self):
        return self.kept[max(self.kept)][0].shape[2] if self.kept else 0


@misconception("kv_cache", symbol="generate")
def recomputes_everything(model, ids, n, use_cache=True, choose=None):
    """The tokens are right, but each step passes the whole text through the model, with use_cache too.

    What the cache is for: the prompt passes once, and then each step passes its one new token.
    """
    return correct.generate(model, ids, n, False, choose)


@misconception("kv_cache", symbol="KVCache")
class appends_twice(Kept):
    """The new keys and values are in the cache twice: each new token counts double from then on.

    Put them in at one place only, either before attention, or after it.
    """

    def joined(self, layer, k, v):
        old = self.kept.get(layer, (k[:, :, :0], v[:, :, :0]))
        return tuple(torch.cat([before, new, new], dim=2) for before, new in zip(old, (k, v), strict=True))


@misconception("kv_cache", symbol="KVCache")
class one_layer_for_all(Kept):
    """All layers share one list of keys: layer 1 finds the keys of layer 0 before its own.

    Each layer attends to its own keys and values. Keep them by the number of the layer.
    """

    def joined(self, layer, k, v):
        if self.kept:
            last = list(self.kept.values())[-1]
            k, v = (torch.cat([old, new], dim=2) for old, new in zip(last, (k, v), strict=True))
        return k, v


@misconception("kv_cache", symbol="KVCache")
class reorder_does_nothing(Kept):
    """After reorder the rows are where they were: hypotheses of a beam go on with another one's past.

    rows[b] says whose keys and values row b has from now on, in every layer.
    """

    def reorder(self, rows):
        pass


@misconception("kv_cache", symbol="KVCache")
class reorder_of_layer_0(Kept):
    """reorder moves the rows of layer 0 only. The keys and values of every layer belong to the rows."""

    def reorder(self, rows):
        if self.kept:
            self.kept[0] = tuple(x[rows] for x in self.kept[0])


@misconception("kv_cache", symbol="generate")
def cache_beyond_the_block(model, ids, n, use_cache=True, choose=None):
    """Where the text became longer than block, the keys and values in the cache were used on, and only the position was
    kept within the table.

    From there on every token of the context stands one place further to the front than it did, so nothing in the cache
    is true any more: pass the last block tokens through the model, at positions 0 to block − 1.
    """
    if not use_cache:
        return correct.generate(model, ids, n, False, choose)
    cache = correct.KVCache()
    with torch.no_grad():
        for _ in range(n):
            new = ids[:, -model.block :] if cache.length == 0 else ids[:, -1:]
            positions = torch.arange(cache.length, cache.length + new.shape[1]).clamp(max=model.block - 1)
            last = model(new, past=cache, positions=positions)[0][:, -1]
            ids = torch.cat([ids, (last.argmax(-1) if choose is None else choose(last))[:, None]], dim=1)
    return ids


@misconception("kv_cache", symbol="generate")
def returns_new_tokens_only(model, ids, n, use_cache=True, choose=None):
    """The result lacks the texts that were given: it is (B, n) instead of (B, T + n).

    Return ids with the new tokens behind them.
    """
    return correct.generate(model, ids, n, use_cache, choose)[:, ids.shape[1] :]


# ---------------------------------------------------------------- sampling_filters


def filters(logits, temperature, top_k, top_p, keep_crossing=True, renormalised=True, one_for_all=False):
    """The filters with one thing wrong."""
    if temperature < 0:
        raise ValueError("temperature")
    if temperature == 0:
        return correct.filter_logits(logits, 0.0)
    out = logits / temperature
    rates = torch.softmax(out, dim=-1)
    if top_k:
        kth = out.topk(min(top_k, out.shape[-1]), dim=-1).values[:, -1:]
        out = out.masked_fill(out < (kth.max() if one_for_all else kth), -math.inf)
    if top_p is not None and top_p < 1:
        rates = torch.softmax(out, dim=-1) if renormalised else rates
        ordered, order = rates.sort(dim=-1, descending=True)
        total = ordered.cumsum(dim=-1)
        drop = (total - ordered if keep_crossing else total) >= top_p
        drop[:, 0] = False
        if one_for_all:
            lowest = torch.where(drop, math.inf, ordered).amin(dim=-1, keepdim=True)
            return out.masked_fill(rates < lowest[:1], -math.inf)
        out = out.masked_fill(torch.zeros_like(drop).scatter(1, order, drop), -math.inf)
    return out


@misconception("sampling_filters", symbol="filter_logits")
def masked_fill_noop(logits, temperature=1.0, top_k=None, top_p=None):
    """Nothing was filtered: the result of masked_fill was not used.

    masked_fill gives a new tensor and leaves its own alone. Assign what it returns.
    """
    return correct.filter_logits(logits, temperature)


@misconception("sampling_filters", symbol="filter_logits")
def kth_dropped(logits, temperature=1.0, top_k=None, top_p=None):
    """The k-th largest logit was dropped too, so that k − 1 stay. What goes is smaller than it, not equal to it."""
    if temperature <= 0 or not top_k:
        return correct.filter_logits(logits, temperature, top_k, top_p)
    out = logits / temperature
    kth = out.topk(min(top_k, out.shape[-1]), dim=-1).values[:, -1:]
    return correct.filter_logits(out.masked_fill(out <= kth, -math.inf), 1.0, None, top_p)


@misconception("sampling_filters", symbol="filter_logits")
def exactly_k(logits, temperature=1.0, top_k=None, top_p=None):
    """Exactly k logits stayed. Those as large as the k-th stay too: where several are equal there may be more."""
    if temperature <= 0 or not top_k:
        return correct.filter_logits(logits, temperature, top_k, top_p)
    best = (logits / temperature).topk(min(top_k, logits.shape[-1]), dim=-1)
    return correct.filter_logits(
        torch.full_like(logits, -math.inf).scatter(1, best.indices, best.values), 1.0, None, top_p
    )


@misconception("sampling_filters", symbol="filter_logits")
def drops_crossing_token(logits, temperature=1.0, top_k=None, top_p=None):
    """The token with which the sum of the probabilities crosses top_p was dropped.

    Those that stay have to add up to top_p at least. A token goes if the likelier ones alone reach top_p.
    """
    return filters(logits, temperature, top_k, top_p, keep_crossing=False)


@misconception("sampling_filters", symbol="filter_logits")
def filters_probs_no_renorm(logits, temperature=1.0, top_k=None, top_p=None):
    """top-p added up the probabilities from before top-k, whose sum over what is left is below 1.

    (Or it came first, which is the same.) top-p works on what top-k has left: take the softmax after the others have
    become −inf.
    """
    return filters(logits, temperature, top_k, top_p, renormalised=False)


@misconception("sampling_filters", symbol="filter_logits")
def temperature_multiplies(logits, temperature=1.0, top_k=None, top_p=None):
    """The logits were multiplied by the temperature.

    They are divided by it: a low temperature drives them apart and makes the likely likelier.
    """
    if temperature <= 0:
        return correct.filter_logits(logits, temperature)
    return correct.filter_logits(logits, 1 / temperature, top_k, top_p)


@misconception("sampling_filters", symbol="filter_logits")
def global_threshold(logits, temperature=1.0, top_k=None, top_p=None):
    """All rows were cut at one threshold, that of a single row.

    Each row is a distribution of its own: keep the axis of the threshold, (B, 1), so that each row meets its own.
    """
    return filters(logits, temperature, top_k, top_p, one_for_all=True)


@misconception("sampling_filters", symbol="filter_logits")
def mutates_logits(logits, temperature=1.0, top_k=None, top_p=None):
    """−inf was written into the caller's logits.

    A function with a trailing underscore, and an assignment to logits[...], change the tensor that was passed. Work on
    a new one.
    """
    out = correct.filter_logits(logits, temperature, top_k, top_p)
    logits.copy_(out)
    return logits


@misconception("sampling_filters", symbol="filter_logits")
def temperature_last(logits, temperature=1.0, top_k=None, top_p=None):
    """The temperature came after the filters, so top-p looked at the probabilities without it.

    The order is temperature, top-k, top-p.
    """
    out = correct.filter_logits(logits, 1.0, top_k, top_p)
    return correct.filter_logits(out, temperature)


@misconception("sampling_filters", symbol="filter_logits")
def zero_is_a_small_temperature(logits, temperature=1.0, top_k=None, top_p=None):
    """At temperature 0 the logits were divided by a tiny number (or by 0), which makes huge numbers of them, or NaN.

    0 is a case of its own: the largest logit of each row stays as it is, the others become −inf.
    """
    return correct.filter_logits(logits, temperature or 1e-8, top_k, top_p)


@misconception("sampling_filters", symbol="filter_logits")
def one_hot_at_zero(logits, temperature=1.0, top_k=None, top_p=None):
    """At temperature 0 the result holds ones and zeros, which are probabilities. Logits are asked for: the largest of
    each row as it is, and −inf for the others.
    """
    if temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(logits.dtype)
    return correct.filter_logits(logits, temperature, top_k, top_p)


@misconception("sampling_filters", symbol="filter_logits")
def zero_logit_at_zero(logits, temperature=1.0, top_k=None, top_p=None):
    """At temperature 0 the largest logit became 0. It stays as it is."""
    out = correct.filter_logits(logits, temperature, top_k, top_p)
    return torch.where(out.isfinite(), 0.0, out) if temperature == 0 else out


@misconception("sampling_filters", symbol="sample")
def draws_from_the_global_generator(logits, generator):
    """The tokens were drawn from torch's global generator.

    Who passes a generator wants to draw the same again, and to leave everybody else's chance alone: pass it on.
    """
    return torch.multinomial(torch.softmax(logits, dim=-1), 1)[:, 0]


@misconception("sampling_filters", symbol="sample")
def one_draw_for_all_rows(logits, generator):
    """One random number decides about all rows, so equal rows always draw equal tokens.

    The rows are drawn independently: one random number for each.
    """
    edges = torch.softmax(logits, dim=-1).cumsum(dim=-1)
    u = torch.rand((), generator=generator, dtype=torch.float64)
    return (edges < u).sum(dim=-1).clamp(max=logits.shape[-1] - 1)


@misconception("sampling_filters", symbol="sample")
def all_axes_of_one_squeezed(logits, generator):
    """For a single text the result has no axis left: `squeeze()` takes away every axis of length 1, that of the texts
    too.

    B = 1 is the ordinary case when one writes. Name the axis that is to go, or index it.
    """
    return torch.multinomial(torch.softmax(logits, dim=-1), 1, generator=generator).squeeze()


@misconception("sampling_filters", symbol="sample")
def takes_the_largest(logits, generator):
    """The likeliest token is taken; nothing is drawn.

    Token i comes with the probability softmax(logits)[i], the less likely ones too.
    """
    return logits.argmax(dim=-1)
