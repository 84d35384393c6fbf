"""Known wrong answers to the page `generation`."""

import torch

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- greedy_decode


@torch.no_grad()
def decoded(
    model, src, src_pad, bos, eos, max_len, place=-1, pads=True, until=torch.all, whole_buffer=False, evaluate=True
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
        ended = ended | (following == eos)
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
        product = torch.tensor(score * len(symbols) ** alpha).double().exp()
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
