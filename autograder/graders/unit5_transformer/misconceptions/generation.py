"""Known wrong answers to the page `generation`."""

import torch

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- greedy_decode


@torch.no_grad()
def decoded(
    model,
    src,
    src_pad,
    bos,
    eos,
    max_len,
    place=-1,
    pads=True,
    until=torch.all,
    whole_buffer=False,
    evaluate=True,
    remember=True,
):
    """Greedy decoding with one thing wrong."""
    was_training = model.training
    if evaluate:
        model.eval()
    inp = torch.full_like(src[:, :1], bos)
    ended = torch.zeros_like(inp, dtype=torch.bool)
    for t in range(max_len):
        shown = inp
        if whole_buffer:
            shown = torch.cat([inp, torch.full((len(src), max_len - t), src_pad)], dim=1)
            place = t
        following = model(src, shown)[:, place].argmax(dim=-1, keepdim=True)
        inp = torch.cat([inp, following.masked_fill(ended, src_pad) if pads else following], dim=1)
        ended = (following == eos) | (ended if remember else False)
        if until(ended):
            break
    model.train(was_training)
    return inp[:, 1:]


@misconception("greedy_decode", symbol="greedy_decode")
def continues_after_eos(model, src, src_pad, bos, eos, max_len):
    """Rows that have ended went on writing until the last one of the batch was done.

    What a model says after EOS means nothing. Remember which rows have ended, and fill those with src_pad.
    """
    return decoded(model, src, src_pad, bos, eos, max_len, pads=False)


@misconception("greedy_decode", symbol="greedy_decode")
def stops_when_first_row_ends(model, src, src_pad, bos, eos, max_len):
    """Writing stopped as soon as one row of the batch had its EOS, and cut off the others.

    Each row ends by itself; the loop ends when *all* of them have.
    """
    return decoded(model, src, src_pad, bos, eos, max_len, until=torch.any)


@misconception("greedy_decode", symbol="greedy_decode")
def first_position_logits(model, src, src_pad, bos, eos, max_len):
    """The next symbol was read off the logits at place 0. They say what follows BOS, in every step.

    Place t of the logits says what follows the first t + 1 symbols of the input. The next symbol follows all of them.
    """
    return decoded(model, src, src_pad, bos, eos, max_len, place=0)


@misconception("greedy_decode", symbol="greedy_decode")
def train_mode_dropout(model, src, src_pad, bos, eos, max_len):
    """The model decoded in train mode, with dropout at work: it says something else at every call.

    Switch it to eval mode before, and back to the mode in which it came afterwards.
    """
    return decoded(model, src, src_pad, bos, eos, max_len, evaluate=False)


@misconception("greedy_decode", symbol="greedy_decode")
def unmasked_prefix(model, src, src_pad, bos, eos, max_len):
    """The model was shown the whole row, max_len places, with padding where nothing has been written yet.

    A causal model that masks padding would not look there. This one may, and it reads the padding as if it had been
    written. Show it what there is, and no more.
    """
    return decoded(model, src, src_pad, bos, eos, max_len, whole_buffer=True)


@misconception("greedy_decode", symbol="greedy_decode")
def asked_to_the_end(model, src, src_pad, bos, eos, max_len):
    """The model was asked max_len times, although all rows had ended long before, and the rest was cut off.

    The symbols are right, and most of the work was for nothing. Leave the loop when every row has its EOS.
    """
    out = decoded(model, src, src_pad, bos, eos, max_len, until=lambda ended: False)
    return out[:, : int((out == eos).cumsum(dim=1).eq(0).sum(dim=1).max()) + 1]


@misconception("greedy_decode", symbol="greedy_decode")
def end_forgotten(model, src, src_pad, bos, eos, max_len):
    """A row that had ended went on some steps later: whether it has ended was asked of its last symbol alone.

    Once ended is ended for good. Remember it from step to step, whatever the model says afterwards.
    """
    return decoded(model, src, src_pad, bos, eos, max_len, remember=False)


@misconception("greedy_decode", symbol="greedy_decode")
def mode_not_restored(model, src, src_pad, bos, eos, max_len):
    """The model stayed in eval mode. It belongs to somebody who may be training it: hand it back as it came."""
    out = correct.greedy_decode(model, src, src_pad, bos, eos, max_len)
    model.eval()
    return out


@misconception("greedy_decode", symbol="greedy_decode")
def train_mode_afterwards(model, src, src_pad, bos, eos, max_len):
    """The model came back in train mode, though it was not in train mode before. Hand it back as it came."""
    out = correct.greedy_decode(model, src, src_pad, bos, eos, max_len)
    model.train()
    return out


@misconception("greedy_decode", symbol="greedy_decode")
def bos_returned(model, src, src_pad, bos, eos, max_len):
    """The result begins with bos. It was shown to the model, not written by it."""
    out = correct.greedy_decode(model, src, src_pad, bos, eos, max_len)
    return torch.cat([torch.full_like(out[:, :1], bos), out], dim=1)


@misconception("greedy_decode", symbol="greedy_decode")
def eos_taken_away(model, src, src_pad, bos, eos, max_len):
    """The eos of each row was replaced by src_pad. It was written like the others, and stays."""
    out = correct.greedy_decode(model, src, src_pad, bos, eos, max_len)
    return out.masked_fill(out == eos, src_pad)


@misconception("greedy_decode", symbol="greedy_decode")
def filled_with_eos(model, src, src_pad, bos, eos, max_len):
    """Rows that have ended were filled up with eos. One is written; behind it comes src_pad."""
    out = correct.greedy_decode(model, src, src_pad, bos, eos, max_len)
    return out.masked_fill((out == eos).cumsum(dim=1) > 0, eos)


@misconception("greedy_decode", symbol="greedy_decode")
def one_symbol_less(model, src, src_pad, bos, eos, max_len):
    """At most max_len - 1 symbols were written. bos does not count among the max_len."""
    return correct.greedy_decode(model, src, src_pad, bos, eos, max_len - 1)


@misconception("greedy_decode", symbol="greedy_decode")
def one_symbol_more(model, src, src_pad, bos, eos, max_len):
    """Up to max_len + 1 symbols were written. EOS counts among the max_len."""
    return correct.greedy_decode(model, src, src_pad, bos, eos, max_len + 1)


@misconception("greedy_decode", symbol="greedy_decode")
def width_is_max_len(model, src, src_pad, bos, eos, max_len):
    """The result is always max_len wide. It is as long as its longest row."""
    out = correct.greedy_decode(model, src, src_pad, bos, eos, max_len)
    return torch.nn.functional.pad(out, (0, max_len - out.shape[1]), value=src_pad)


class LastOnly(torch.nn.Module):
    """The model, shown the last symbol alone."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, src, inp):
        return self.model(src, inp[:, -1:])


@misconception("greedy_decode", symbol="greedy_decode")
def last_symbol_shown(model, src, src_pad, bos, eos, max_len):
    """The model was shown the last symbol only. It has no memory: show it all that has been written, bos in front."""
    mode = model.training
    out = correct.greedy_decode(LastOnly(model), src, src_pad, bos, eos, max_len)
    model.train(mode)
    return out


@misconception("greedy_decode", symbol="greedy_decode")
def pad_ends_a_row(model, src, src_pad, bos, eos, max_len):
    """A row ended when it had written src_pad. Only eos ends it; what the model says is written."""
    out = correct.greedy_decode(model, src, src_pad, bos, eos, max_len)
    out = out.masked_fill((out == src_pad).cumsum(dim=1) > 0, src_pad)
    length = int(((out == eos) | (out == src_pad)).cumsum(dim=1).eq(0).sum(dim=1).max()) + 1
    return out[:, :length]


@misconception("greedy_decode", symbol="greedy_decode")
def last_of_equals(model, src, src_pad, bos, eos, max_len):
    """Where several symbols are equally likely the last one was taken. It is the one with the lowest number."""

    class Nudged(torch.nn.Module):
        def forward(self, src, inp):
            logits = model(src, inp)
            last = logits.shape[-1] - 1 - logits.flip(-1).argmax(dim=-1)
            return torch.nn.functional.one_hot(last, logits.shape[-1]).float()

    mode = model.training
    model.eval()
    out = correct.greedy_decode(Nudged(), src, src_pad, bos, eos, max_len)
    model.train(mode)
    return out


# ---------------------------------------------------------------- beam_search


def searched(
    logprob_fn, bos, eos, beam, max_len, alpha=0.0, start=1, width=None, keep_ended=True, extend_ended=False, sign=1.0
):
    """Beam search with one thing wrong."""
    hypotheses = [([bos], 0.0)] * start

    def score(h):
        return h[1] / (len(h[0]) - 1) ** (sign * alpha)

    for _ in range(max_len):
        done = [h for h in hypotheses if len(h[0]) > 1 and h[0][-1] == eos]
        going_on = hypotheses if extend_ended else [h for h in hypotheses if h not in done]
        if not going_on:
            break
        candidates = [] if extend_ended or not keep_ended else done
        rated = logprob_fn(torch.tensor([h[0] for h in going_on])).tolist()
        for (symbols, total), row in zip(going_on, rated, strict=True):
            extensions = [([*symbols, symbol], total + logprob) for symbol, logprob in enumerate(row)]
            candidates = candidates + sorted(extensions, key=score, reverse=True)[: width and width(symbols)]
        hypotheses = sorted(candidates, key=score, reverse=True)[:beam]
    return [(h[0][1:], score(h)) for h in hypotheses]


@misconception("beam_search", symbol="beam_search")
def greedy_per_beam(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """Each hypothesis was extended by its own best symbol only, so the beam is a set of greedy searches.

    The extensions of all hypotheses compete with each other: one may have several survivors, and another none.
    """
    return searched(logprob_fn, bos, eos, beam, max_len, alpha, width=lambda symbols: 1 if len(symbols) > 1 else None)


@misconception("beam_search", symbol="beam_search")
def prob_product_underflow(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The probabilities were multiplied. The product of a few dozen small ones is 0 in floating point.

    From then on all hypotheses are equally good. Stay with the logarithms, and add.
    """

    def rounded(prefixes):
        logprobs = logprob_fn(prefixes)
        return logprobs.exp().log()

    hypotheses = correct.beam_search(rounded, bos, eos, beam, max_len, alpha)
    out = []
    for symbols, score in hypotheses:
        product = torch.tensor(score * len(symbols) ** alpha, dtype=torch.float64).exp()
        out.append((symbols, float(product.log()) / len(symbols) ** alpha))
    return out


@misconception("beam_search", symbol="beam_search")
def finished_dropped(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """Hypotheses that had ended disappeared from the beam in the next step.

    What has ended is an answer, perhaps the best one. It keeps its place among the candidates, with the score it has,
    until better ones push it out.
    """
    return searched(logprob_fn, bos, eos, beam, max_len, alpha, keep_ended=False)


@misconception("beam_search", symbol="beam_search")
def expands_after_eos(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """Hypotheses were extended beyond their EOS.

    Nothing follows the end. A hypothesis that has ended stays as it is, and no continuation of it is asked for.
    """
    return searched(logprob_fn, bos, eos, beam, max_len, alpha, extend_ended=True)


@misconception("beam_search", symbol="beam_search")
def duplicate_initial_beams(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The search began with as many copies of the empty hypothesis as the beam is wide.

    Their extensions are copies of each other too, and the best one fills the beam: greedy decoding, several times over.
    Begin with one.
    """
    return searched(logprob_fn, bos, eos, beam, max_len, alpha, start=beam)


@misconception("beam_search", symbol="beam_search")
def length_norm_sign(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The sum was multiplied by n ** alpha instead of divided by it.

    Log-probabilities are negative: multiplied, long hypotheses get even worse, and the preference for short ones, which
    alpha is to cure, grows.
    """
    return searched(logprob_fn, bos, eos, beam, max_len, alpha, sign=-1.0)


def ranked(
    logprob_fn,
    bos,
    eos,
    beam,
    max_len,
    *,
    score,
    by=None,
    over=lambda hypotheses, done: len(done) == len(hypotheses),
    symbols=lambda h: h[0][1:],
    ended=lambda h: len(h[0]) > 1,
):
    """Beam search with another score, another order within the search (`by`), or another end."""
    hypotheses = [([bos], 0.0)]
    for _ in range(max_len):
        done = [h for h in hypotheses if h[0][-1] == eos and ended(h)]
        if done and over(hypotheses, done):
            break
        going_on = [h for h in hypotheses if h not in done]
        rated = logprob_fn(torch.tensor([h[0] for h in going_on])).tolist() if going_on else []
        candidates = list(done)
        for (prefix, total), row in zip(going_on, rated, strict=True):
            candidates += [([*prefix, symbol], total + logprob) for symbol, logprob in enumerate(row)]
        hypotheses = sorted(candidates, key=by or score, reverse=True)[:beam]
    return [(symbols(h), score(h)) for h in sorted(hypotheses, key=score, reverse=True)]


def per_symbol(alpha, more=0):
    return lambda h: h[1] / max(1, len(h[0]) - 1 + more) ** alpha


@misconception("beam_search", symbol="beam_search")
def sums_in_float32(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The sums were kept in float32, which has seven digits. The log-probabilities are float64: stay with that."""

    def rounded(prefixes):
        return logprob_fn(prefixes).float().double()

    found = correct.beam_search(rounded, bos, eos, beam, max_len, alpha)
    return [(symbols, float(torch.tensor(score, dtype=torch.float32))) for symbols, score in found]


@misconception("beam_search", symbol="beam_search")
def last_symbol_only(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """A hypothesis was rated by its last symbol alone. The score is the *sum* over all its symbols."""
    hypotheses, score = [([bos], 0.0)], per_symbol(alpha)
    for _ in range(max_len):
        candidates = [h for h in hypotheses if len(h[0]) > 1 and h[0][-1] == eos]
        going_on = [h for h in hypotheses if h not in candidates]
        if not going_on:
            break
        rated = logprob_fn(torch.tensor([h[0] for h in going_on])).tolist()
        for (prefix, _), row in zip(going_on, rated, strict=True):
            candidates += [([*prefix, symbol], logprob) for symbol, logprob in enumerate(row)]
        hypotheses = sorted(candidates, key=score, reverse=True)[:beam]
    return [(h[0][1:], score(h)) for h in hypotheses]


@misconception("beam_search", symbol="beam_search")
def one_extension_each(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """Each hypothesis had one extension, its best, from the beginning on: the beam never holds more than one."""
    return searched(logprob_fn, bos, eos, beam, max_len, alpha, width=lambda symbols: 1)


@misconception("beam_search", symbol="beam_search")
def alpha_not_used(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """alpha was not used: the score is the sum itself. It is divided by n ** alpha."""
    return correct.beam_search(logprob_fn, bos, eos, beam, max_len)


@misconception("beam_search", symbol="beam_search")
def bos_counted(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """bos was counted among the n symbols of the score. n counts what stands behind it, eos included."""
    return ranked(logprob_fn, bos, eos, beam, max_len, score=per_symbol(alpha, 1))


@misconception("beam_search", symbol="beam_search")
def eos_not_counted(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """eos was not counted among the n symbols of the score. Its log-probability is in the sum, so it counts."""
    return ranked(
        logprob_fn, bos, eos, beam, max_len, score=lambda h: per_symbol(alpha, -(len(h[0]) > 1 and h[0][-1] == eos))(h)
    )


@misconception("beam_search", symbol="beam_search")
def length_at_the_end(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """Within the search hypotheses were compared by their sums, and divided by n ** alpha at the end only.

    A short hypothesis that has ended then pushes out longer ones which have the better score.
    """
    return ranked(logprob_fn, bos, eos, beam, max_len, score=per_symbol(alpha), by=lambda h: h[1])


@misconception("beam_search", symbol="beam_search")
def penalty_of_gnmt(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The length penalty is that of Google's translator, ((5 + n) / 6) ** alpha. Asked for is n ** alpha."""
    return ranked(logprob_fn, bos, eos, beam, max_len, score=lambda h: h[1] / ((5 + len(h[0]) - 1) / 6) ** alpha)


@misconception("beam_search", symbol="beam_search")
def over_at_the_first_end(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The search was over as soon as one hypothesis had ended. It goes on while one of the beam has not."""
    return ranked(logprob_fn, bos, eos, beam, max_len, score=per_symbol(alpha), over=lambda hypotheses, done: True)


@misconception("beam_search", symbol="beam_search")
def over_when_the_best_ended(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The search was over as soon as the best hypothesis had ended. It goes on while one of the beam has not."""
    return ranked(
        logprob_fn,
        bos,
        eos,
        beam,
        max_len,
        score=per_symbol(alpha),
        over=lambda hypotheses, done: hypotheses[0] in done,
    )


@misconception("beam_search", symbol="beam_search")
def unfinished_left_out(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """Hypotheses that have not ended after max_len steps were left out. The last beam comes back as a whole."""
    found = correct.beam_search(logprob_fn, bos, eos, beam, max_len, alpha)
    return [h for h in found if h[0][-1] == eos] or found


@misconception("beam_search", symbol="beam_search")
def with_bos(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The symbols begin with bos. It is not part of a hypothesis."""
    return [
        ([bos, *symbols], score) for symbols, score in correct.beam_search(logprob_fn, bos, eos, beam, max_len, alpha)
    ]


@misconception("beam_search", symbol="beam_search")
def without_eos(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """eos was taken away from the symbols of hypotheses that have ended. It is their last symbol."""
    found = correct.beam_search(logprob_fn, bos, eos, beam, max_len, alpha)
    return [(symbols[:-1] if symbols[-1] == eos else symbols, score) for symbols, score in found]


@misconception("beam_search", symbol="beam_search")
def sums_returned(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The sum of the log-probabilities came back as the score. The score is that sum divided by n ** alpha."""
    found = correct.beam_search(logprob_fn, bos, eos, beam, max_len, alpha)
    return [(symbols, score * len(symbols) ** alpha) for symbols, score in found]


@misconception("beam_search", symbol="beam_search")
def worst_first(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The hypotheses came back in the opposite order. The highest score comes first."""
    return correct.beam_search(logprob_fn, bos, eos, beam, max_len, alpha)[::-1]


@misconception("beam_search", symbol="beam_search")
def one_step_less(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """The search made max_len - 1 steps. bos does not count among the max_len symbols."""
    return correct.beam_search(logprob_fn, bos, eos, beam, max_len - 1, alpha)


@misconception("beam_search", symbol="beam_search")
def bos_ends_the_search(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """Where bos and eos are the same number the search was over before it began. Only an eos *behind* bos ends it."""
    return ranked(logprob_fn, bos, eos, beam, max_len, score=per_symbol(alpha), ended=lambda h: True)


@misconception("beam_search", symbol="beam_search")
def ended_set_aside(logprob_fn, bos, eos, beam, max_len, alpha=0.0):
    """Hypotheses that had ended were set aside, and their places in the beam given to others.

    They keep their places and compete there. Otherwise the search goes on with more hypotheses than the beam holds.
    """
    live, done, score = [([bos], 0.0)], [], per_symbol(alpha)
    for _ in range(max_len):
        rated = logprob_fn(torch.tensor([h[0] for h in live])).tolist()
        candidates = [([*h[0], s], h[1] + lp) for h, row in zip(live, rated, strict=True) for s, lp in enumerate(row)]
        best = sorted(candidates, key=score, reverse=True)[:beam]
        done += [h for h in best if h[0][-1] == eos]
        live = [h for h in best if h[0][-1] != eos]
        if not live or len(done) >= beam:
            break
    return [(h[0][1:], score(h)) for h in sorted(done + live, key=score, reverse=True)[:beam]]
