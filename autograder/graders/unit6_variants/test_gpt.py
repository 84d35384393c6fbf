"""Hidden grader of the page `gpt`."""

import math

import pytest
import torch

from autograder.grading import agree, close, quiet_rng, raises
from autograder.grading.compare import GRADIENT, Disagreement


def weights(draw, ours, dtype=torch.float64):
    """A random state dict: matrices that keep the size of what they multiply, vectors of order 1, all of them apart."""
    return {
        name: draw.tensor(*p.shape, dtype=dtype, scale=1.2 * p.shape[-1] ** -0.5 if p.ndim == 2 else 1.0)
        for name, p in ours.named_parameters()
    }


# ---------------------------------------------------------------- gpt_model

gpt_model = pytest.mark.exercise("gpt_model")


def models(student, reference, draw, V=13, block=11, d=6, n_layer=2, n_head=3, dtype=torch.float64):
    """The student's model and the reference's, with the same random weights."""
    ours = reference.GPT(V, block, d, n_layer, n_head).to(dtype)
    state = weights(draw, ours, dtype)
    ours.load_state_dict(state)
    theirs = student.GPT(V, block, d, n_layer, n_head)
    theirs.load_reference(state)
    return theirs, ours


def same(theirs, ours, ids, **kwargs):
    """Both give the same logits, and the loss where there are targets."""
    with torch.no_grad():
        logits, loss = ours(ids, **kwargs)
    answer = pair(theirs(ids, **kwargs))
    close(answer[0], logits, what="the logits")
    if kwargs.get("past") is None:
        close(answer[1], loss, what="the second of the pair")
    return answer


def pair(answer):
    """The answer, which must be a pair."""
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Disagreement(f"forward gives a {type(answer).__name__}, expected a pair: the logits, and loss or past")
    return answer


@gpt_model
@pytest.mark.weight(2)
def test_without_layers(student, reference, draw):
    """Without layers: embedding plus position, the final norm, and the embedding again as the head."""
    for d, T in ((6, 7), (5, 1), (10, 11)):
        theirs, ours = models(student, reference, draw, d=d, n_layer=0, n_head=1)
        same(theirs, ours, draw.integers(0, 13, 2, T))


@gpt_model
@pytest.mark.weight(2)
def test_one_layer(student, reference, draw):
    """One layer: a pre-LN branch of causal attention, and one of the feed-forward network, with GELU by tanh."""
    for d, n_head in ((6, 3), (10, 2), (5, 1)):
        theirs, ours = models(student, reference, draw, d=d, n_layer=1, n_head=n_head)
        same(theirs, ours, draw.integers(0, 13, 2, 11))


@gpt_model
@pytest.mark.weight(2)
def test_shorter_than_the_block(student, reference, draw):
    """Any length up to block will do, and a longer text than block is a ValueError; the attribute block says so."""
    theirs, ours = models(student, reference, draw, n_layer=1)
    close(theirs.block.value(), 11, what="the attribute block")
    for T in (1, 2, 7, 11):
        same(theirs, ours, draw.integers(0, 13, 3, T))
    raises(ValueError, theirs, draw.integers(0, 13, 2, 12))


@gpt_model
@pytest.mark.weight(2)
def test_several_layers(student, reference, draw):
    """Each layer has weights of its own, and reads what the one before has written."""
    for n_layer in (2, 3):
        theirs, ours = models(student, reference, draw, n_layer=n_layer)
        same(theirs, ours, draw.integers(0, 13, 2, 7))


@gpt_model
@pytest.mark.weight(2)
def test_nobody_sees_the_future(student, reference, draw):
    """What comes later changes nothing about the logits before it, in any layer."""
    theirs, ours = models(student, reference, draw, n_layer=3)
    ids = draw.integers(0, 13, 2, 11)
    with torch.no_grad():
        expected = ours(ids)[0]
    for cut in (1, 4, 10):
        other = torch.cat([ids[:, :cut], (ids[:, cut:] + draw.integers(1, 13, 2, 11 - cut)) % 13], dim=1)
        logits = pair(theirs(other))[0]
        close(logits[:, :cut] if logits.ndim == 3 else logits, expected[:, :cut], what="the logits before the change")


@gpt_model
@pytest.mark.weight(2)
def test_loss(student, reference, draw):
    """With targets the second is the mean cross-entropy at all places; the targets are the caller's, unshifted."""
    theirs, ours = models(student, reference, draw)
    for B, T in ((2, 7), (1, 1), (3, 11)):
        same(theirs, ours, draw.integers(0, 13, B, T), targets=draw.integers(0, 13, B, T))


@gpt_model
@pytest.mark.weight(2)
def test_positions(student, reference, draw):
    """positions are rows of the table, for all texts alike or for each, in any order; by default 0 ... T − 1."""
    theirs, ours = models(student, reference, draw)
    ids = draw.integers(0, 13, 3, 5)
    same(theirs, ours, ids, positions=draw.permutation(11)[:5])
    same(theirs, ours, ids, positions=draw.integers(0, 11, 3, 5))
    same(theirs, ours, ids[:, :1], positions=torch.tensor([9]))
    same(theirs, ours, ids, positions=draw.integers(0, 11, 3, 5), targets=draw.integers(0, 13, 3, 5))


@gpt_model
@pytest.mark.weight(2)
def test_past(student, reference, draw):
    """With past, layer after layer asks it with its number and its q, k and v, and takes its answer for attention's."""
    theirs, ours = models(student, reference, draw, d=10, n_layer=3, n_head=2)
    ids = draw.integers(0, 13, 3, 7)
    extra = draw.tensor(3, 2, 3, 2, 4, 5)  # layer, key or value, B, H, four tokens of a past, Dh

    def past(layer, q, k, v):
        old_k, old_v = extra[layer].unbind(0)
        return reference.attend_last(q, torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)).detach()

    asked = []

    def written_down(layer, q, k, v):
        asked.append(layer)
        return past(layer % 3, q, k, v)

    with torch.no_grad():
        expected = ours(ids, past=past, positions=torch.arange(4, 11))[0]
    logits = pair(theirs(ids, past=written_down, positions=torch.arange(4, 11)))[0]
    close(asked, [0, 1, 2], what="the list of the layers that have asked past")
    close(logits, expected, what="the logits")


@gpt_model
def test_past_comes_back(student, reference, draw):
    """With past, the second of the pair is past itself."""
    theirs, _ = models(student, reference, draw, n_layer=0, n_head=1)
    past = student.given.FeedForward(3, 2)  # lives behind the wall, so it can come back; without layers nobody asks it
    second = pair(theirs(draw.integers(0, 13, 2, 7), past=past))[1]
    if not callable(second):
        raise Disagreement(f"with past, the second of the pair is a {type(second).__name__}, expected past itself")
    x = draw.tensor(2, 3, dtype=torch.float32)
    close(second(x), past(x), what="what the second of the pair gives where past is expected")


@gpt_model
def test_rows_and_arguments(student, reference, draw):
    """Each text gets what it gets alone; ids, targets and positions stay; nothing is drawn, in either mode."""
    theirs, ours = models(student, reference, draw)
    ids, targets, positions = draw.integers(0, 13, 3, 5), draw.integers(0, 13, 3, 5), draw.permutation(11)[:5]
    together = same(theirs, ours, ids)[0]
    for row in range(3):
        close(pair(theirs(ids[row : row + 1]))[0], together[row : row + 1], what=f"the logits of row {row} alone")
    called = student.call(theirs, ids, targets=targets, positions=positions)
    close(called.echo, ((ids,), {"targets": targets, "positions": positions}), tolerance=(0, 0), what="the arguments")
    for training in (True, False):
        theirs.train(training)
        close(pair(quiet_rng(theirs, ids))[0], ours(ids)[0].detach(), what="the logits")


@gpt_model
def test_in_float32(student, reference, draw):
    """float32 weights give float32 logits and losses; ids may be a view."""
    theirs, ours = models(student, reference, draw, dtype=torch.float32)
    ids = draw.integers(0, 13, 7, 2).mT
    same(theirs, ours, ids, targets=draw.integers(0, 13, 2, 7))


@gpt_model
@pytest.mark.weight(3)
def test_gradients(student, reference, draw):
    """The loss has the right gradient for every parameter, the embedding's from both its uses, and there are no others:
    VD + block·D + n(12D² + 13D) + 2D numbers.
    """
    for n_layer in (0, 2):
        theirs, ours = models(student, reference, draw, n_layer=n_layer)
        ids, targets = draw.integers(0, 13, 2, 7), draw.integers(0, 13, 2, 7)
        cotangent = [torch.zeros(2, 7, 13, dtype=torch.float64), torch.ones((), dtype=torch.float64)]
        seen = student.vjp(theirs, ids, cotangent=cotangent, parameters=True, targets=targets)
        found, named = seen.parameters or {}, dict(ours.named_parameters())
        count, expected = sum(p.numel() for p in named.values()), 13 * 6 + 11 * 6 + n_layer * (12 * 36 + 13 * 6) + 12
        assert count == expected
        for name, gradient in found.items():
            if gradient is None or not gradient.isfinite().all():
                raise Disagreement(f"no gradient, or one that is not finite, reaches the parameter {name}")
        if sum(g.numel() for g in found.values()) != expected:
            raise Disagreement(
                f"there are {sum(g.numel() for g in found.values())} trainable numbers, expected {expected}"
            )
        if set(found) == set(named):  # else the student's parameters have names of their own, see load_reference
            wanted = torch.autograd.grad(ours(ids, targets=targets)[1], list(named.values()))
            for name, gradient in zip(named, wanted, strict=True):
                close(found[name], gradient, tolerance=GRADIENT[torch.float64], what=f"the gradient of {name}")


# ---------------------------------------------------------------- kv_cache

kv_cache = pytest.mark.exercise("kv_cache")
EXACT = (1e-10, 1e-10)


def chunks(T, size):
    """The cuts of T tokens into chunks of a size; the last one may be smaller."""
    return [slice(start, min(start + size, T)) for start in range(0, T, size)]


def qkv(draw, B=2, H=3, T=11, Dh=5, dtype=torch.float64):
    """Queries, keys and values of T tokens, together (3, B, H, T, Dh)."""
    return draw.tensor(3, B, H, T, Dh, dtype=dtype)


def in_chunks(cache, layer, three, cuts):
    """What the cache gives for the chunks, one after the other, side by side."""
    parts = [cache(layer, *three[:, :, :, cut].unbind(0)) for cut in cuts]
    for part, cut in zip(parts, cuts, strict=True):
        expected = three[0][:, :, cut]
        close(part, torch.zeros_like(expected), rtol=0.0, atol=math.inf, what="what a call of the cache gives")
    return torch.cat(parts, dim=2)


@kv_cache
@pytest.mark.weight(2)
def test_token_by_token(student, reference, draw):
    """One new token at a time: it sees all before it and itself; that is what full causal attention gives."""
    three = qkv(draw)
    close(in_chunks(student.KVCache(), 0, three, chunks(11, 1)), reference.attend_last(*three), tolerance=EXACT)


@kv_cache
@pytest.mark.weight(3)
def test_in_chunks(student, reference, draw):
    """Chunks of 2, of 5, of mixed sizes, or all at once: in a chunk nobody sees the future, and all see the past."""
    three = qkv(draw)
    expected = reference.attend_last(*three)
    for cuts in (chunks(11, 11), chunks(11, 5), chunks(11, 2), [slice(0, 7), slice(7, 8), slice(8, 11)]):
        close(in_chunks(student.KVCache(), 0, three, cuts), expected, tolerance=EXACT)


@kv_cache
@pytest.mark.weight(2)
def test_layers_and_length(student, reference, draw):
    """Each layer has keys of its own; length is how many tokens layer 0 has been given."""
    cache, layers = student.KVCache(), [qkv(draw), qkv(draw), qkv(draw)]
    close(cache.length.value(), 0, what="the length of an empty cache")
    expected = [reference.attend_last(*three) for three in layers]
    for cut in (slice(0, 4), slice(4, 5), slice(5, 11)):
        for layer, three in enumerate(layers):
            close(cache(layer, *three[:, :, :, cut].unbind(0)), expected[layer][:, :, cut], tolerance=EXACT)
        close(cache.length.value(), cut.stop, what="the length")
    cache(0, *qkv(draw, T=2).unbind(0))
    close(cache.length.value(), 13, what="the length where layer 0 has been given two more tokens than the others")


@kv_cache
@pytest.mark.weight(2)
def test_two_texts(student, reference, draw):
    """Two caches that are used in turn know nothing of each other; a fresh one is empty."""
    first, second = student.KVCache(), student.KVCache()
    one, two = qkv(draw, T=7), qkv(draw, B=1, T=7)
    expected = [reference.attend_last(*three) for three in (one, two)]
    for cut in chunks(7, 3):
        for cache, three, target in ((first, one, expected[0]), (second, two, expected[1])):
            close(cache(0, *three[:, :, :, cut].unbind(0)), target[:, :, cut], tolerance=EXACT)
    close(student.KVCache().length.value(), 0, what="the length of a fresh cache")


@kv_cache
@pytest.mark.weight(2)
def test_reorder(student, reference, draw):
    """After reorder row b goes on where row rows[b] was, in every layer; rows may be repeated and left out."""
    for rows in (torch.tensor([2, 0, 1]), torch.tensor([1, 1, 2, 1]), torch.tensor([2])):
        cache, layers = student.KVCache(), [qkv(draw, B=3, T=4), qkv(draw, B=3, T=4)]
        for layer, three in enumerate(layers):
            cache(layer, *three.unbind(0))
        cache.reorder(rows)
        close(cache.length.value(), 4, what="the length after reorder")
        for layer, three in enumerate(layers):
            later = qkv(draw, B=len(rows), T=3)
            whole = torch.cat([three[:, rows], later], dim=3)
            expected = reference.attend_last(*whole)[:, :, 4:]
            for cut in (slice(0, 1), slice(1, 3)):
                answer = cache(layer, *later[:, :, :, cut].unbind(0))
                close(answer, expected[:, :, cut], tolerance=EXACT)
    cache = student.KVCache()
    cache.reorder(torch.tensor([0, 0]))
    close(cache.length.value(), 0, what="the length of an empty cache after reorder")


@kv_cache
def test_what_is_passed_stays(student, reference, draw):
    """q, k and v are not changed; float32 gives float32; a view is as good as a copy."""
    three = qkv(draw, T=5)
    cache = student.KVCache()
    cache(0, *three[:, :, :, :2].unbind(0))
    late = three[:, :, :, 2:].unbind(0)
    called = student.call(cache, 0, *late)
    close(called.value, reference.attend_last(*three)[:, :, 2:], tolerance=EXACT)
    close(called.echo[0][1:], late, tolerance=(0, 0), what="q, k and v after the call")
    three = qkv(draw, dtype=torch.float32).transpose(2, 3).contiguous().transpose(2, 3)
    close(in_chunks(student.KVCache(), 0, three, chunks(11, 4)), reference.attend_last(*three))


def writers(student, reference, draw, V=13, block=11, d=6, n_layer=2, n_head=3):
    """The model of autograder.given behind the wall, and the reference's, with the same weights.

    Without layers positions count for nothing either: what follows depends on the last token, and not on the cache.
    """
    ours = reference.GPT(V, block, d, n_layer, n_head).double()
    state = weights(draw, ours)
    if n_layer == 0:
        state["position.weight"] = torch.zeros_like(state["position.weight"])
    ours.load_state_dict(state)
    theirs = student.given.GPT(V, block, d, n_layer, n_head)
    theirs.load_reference(state)
    return theirs, ours


@kv_cache
@pytest.mark.weight(2)
def test_with_a_model(student, reference, draw):
    """A model that is passed the cache and the positions gives, chunk by chunk, the logits of the whole text."""
    theirs, ours = writers(student, reference, draw)
    ids = draw.integers(0, 13, 2, 11)
    with torch.no_grad():
        expected = ours(ids)[0]
    for size in (1, 2, 5, 11):
        cache = student.KVCache()
        for cut in chunks(11, size):
            answer = theirs(ids[:, cut], past=cache, positions=torch.arange(11)[cut])
            close(answer[0], expected[:, cut], tolerance=EXACT, what="the logits")


def likeliest(logits):
    return logits.argmax(dim=-1)


def middling(logits):
    """The token in the middle: a small change of the logits changes it, where the likeliest may stay what it is."""
    return logits.argsort(dim=-1)[:, logits.shape[-1] // 2]


def written(student, theirs, ids, n, **options):
    """What generate gives, and the logits that `choose` is shown in each step."""
    seen = []

    def choose(logits):
        seen.append(logits)
        return middling(logits)

    answer = student.generate(theirs, ids, n, choose=choose, **options)
    student.heard(seen)  # tokens alone tell few causes
    return answer, seen


def expected_steps(ours, ids, n, choose=middling):
    """The same from the reference."""
    seen = []
    for _ in range(n):
        with torch.no_grad():
            seen.append(ours(ids[:, -ours.block :])[0][:, -1])
        ids = torch.cat([ids, choose(seen[-1])[:, None]], dim=1)
    return ids, seen


@kv_cache
@pytest.mark.weight(3)
@pytest.mark.parametrize("use_cache", [False, True], ids=["without", "with"])
def test_generate(student, reference, draw, use_cache):
    """Each step chooses by the logits after the last token, of the text so far; the result is ids and n tokens."""
    theirs, ours = writers(student, reference, draw)
    for B, T, n in ((2, 3, 7), (1, 1, 5), (3, 10, 1)):
        ids = draw.integers(0, 13, B, T)
        tokens, steps = expected_steps(ours, ids, n)
        answer, seen = written(student, theirs, ids, n, use_cache=use_cache)
        close(seen, steps, tolerance=(1e-9, 1e-9), what="the logits that choose is given, step by step")
        close(answer, tokens)


@kv_cache
@pytest.mark.weight(2)
@pytest.mark.parametrize("use_cache", [False, True], ids=["without", "with"])
def test_longer_than_the_block(student, reference, draw, use_cache):
    """A text longer than block loses its beginning: the model sees the last block tokens, at positions from 0."""
    theirs, ours = writers(student, reference, draw, block=7)
    for T, n in ((5, 6), (7, 3), (9, 4)):
        ids = draw.integers(0, 13, 2, T)
        tokens, steps = expected_steps(ours, ids, n)
        answer, seen = written(student, theirs, ids, n, use_cache=use_cache)
        close(seen, steps, tolerance=(1e-9, 1e-9), what="the logits that choose is given, step by step")
        close(answer, tokens)


@kv_cache
@pytest.mark.weight(2)
def test_each_token_passes_once(student, reference, draw):
    """With the cache every token passes through the layers once; without, the whole text in each step."""
    # SECURITY: the model counts beside the student's code, which could change the count. It shows an honest mistake.
    for T, n in ((3, 7), (1, 9), (4, 8)):  # the last fills the block
        theirs, _ = writers(student, reference, draw)
        ids = draw.integers(0, 13, 2, T)
        before = theirs.tokens_seen.value()
        student.generate(theirs, ids, n)
        passed = theirs.tokens_seen.value() - before
        if passed != T + n - 1:  # the last token that is written never goes in
            raise Disagreement(
                f"{passed} tokens of each row passed through the model to write {n} behind {T}, expected {T + n - 1}"
            )
        student.generate(theirs, ids, n, use_cache=False)
        passed = theirs.tokens_seen.value() - before - passed
        if passed != sum(range(T, T + n)):
            raise Disagreement(f"{passed} tokens of each row passed through the model without a cache")


@kv_cache
def test_figure(student):
    """The picture's array: the multiplications of the first 20 steps of GPT-2 small, without and with the cache."""
    if not student.has("figure_data"):
        return
    t = torch.arange(1, 21, dtype=torch.float64)
    head, layers, D = 768 * 50257, 12, 768
    rows = [layers * (12 * D * D * new + 2 * D * new * t) + head for new in (t, torch.ones(20))]
    close(student.figure_data(20), torch.stack(rows).numpy())


@kv_cache
def test_generate_by_default(student, reference, draw):
    """Without `choose` the largest logit is taken, the first of several; n = 0 gives ids, which stays as it was."""
    theirs, ours = writers(student, reference, draw, n_layer=0)
    ids = draw.integers(0, 13, 3, 4)
    close(student.generate(theirs, ids, 5), expected_steps(ours, ids, 5, likeliest)[0])
    close(student.generate(theirs, ids, 0), ids)
    close(quiet_rng(student.generate, theirs, ids, 2), expected_steps(ours, ids, 2, likeliest)[0])
    called = student.call(student.generate, theirs, ids, 3)
    close(called.echo[0][1], ids, what="ids after the call")
    flat = student.given.GPT(5, 7, 2, 0, 1)
    flat.load_reference({name: torch.zeros(p.shape) for name, p in reference.GPT(5, 7, 2, 0, 1).named_parameters()})
    close(student.generate(flat, torch.tensor([[3, 4]]), 2), torch.tensor([[3, 4, 0, 0]]), what="where all are equal")


# ---------------------------------------------------------------- sampling_filters

sampling_filters = pytest.mark.exercise("sampling_filters")


def filtered(student, reference, logits, *args, **kwargs):
    """The same as the reference, and logits as they were."""
    return agree(student.filter_logits, reference.filter_logits, logits, *args, **kwargs)


def borders(logits):
    """What the probabilities of the 1, 2, ... likeliest tokens add up to, of all rows."""
    return torch.softmax(logits, dim=-1).sort(descending=True).values.cumsum(dim=-1)[:, :-1].flatten()


def nucleus(draw, logits):
    """A top_p that at least two tokens of some row need, not near any border of any row."""
    edges = torch.cat([borders(logits).unique(), torch.ones(1, dtype=logits.dtype)])
    gaps, middles = edges.diff(), (edges[1:] + edges[:-1]) / 2
    wide = middles[gaps > min(2e-3, gaps.max().item() / 2)]
    return float(wide[int(draw.integers(0, len(wide), 1))])


@sampling_filters
def test_temperature(student, reference, draw):
    """The logits are divided by the temperature; by default nothing is changed."""
    logits = draw.tensor(3, 11, scale=2.0)
    for temperature in (0.5, 1.7, 1e-3):
        filtered(student, reference, logits, temperature)
    filtered(student, reference, logits)


@sampling_filters
@pytest.mark.weight(2)
def test_top_k(student, reference, draw):
    """The k largest stay, the others become -inf; None, 0 and k >= V keep all."""
    logits = draw.tensor(3, 11, scale=2.0)
    for top_k in (1, 3, 10):
        filtered(student, reference, logits, top_k=top_k)
    for top_k in (None, 0, 11, 50):
        filtered(student, reference, logits, top_k=top_k)


@sampling_filters
@pytest.mark.weight(3)
def test_top_p(student, reference, draw):
    """The likeliest tokens stay until they add up to top_p, the one that crosses it included."""
    for V in (11, 5, 3):
        logits = draw.tensor(1, V, scale=1.5)
        edges = borders(logits)
        for low, high in zip((0.0, *edges.tolist()), (*edges.tolist(), 1.0), strict=True):
            if high - low > 4e-3:  # every number of tokens in turn, with top_p well between two borders
                filtered(student, reference, logits, top_p=(low + high) / 2)


@sampling_filters
def test_one_token_stays(student, reference, draw):
    """The likeliest token stays however small top_p is; None and 1 keep all."""
    for logits in draw.tensor(3, 1, 7, scale=1.5):
        for top_p in (0.0, 1e-6, None, 1.0, 1.5):
            filtered(student, reference, logits, top_p=top_p)
        filtered(student, reference, 100 * logits, top_p=1.0)  # where one token has, but for rounding, all of it


@sampling_filters
@pytest.mark.weight(2)
def test_rows_by_themselves(student, reference, draw):
    """Each row has its own k largest and its own nucleus, however large the numbers of another are."""
    logits = draw.tensor(3, 11) * torch.tensor([[0.5], [2.0], [6.0]]) + torch.tensor([[0.0], [30.0], [-20.0]])
    filtered(student, reference, logits, top_k=4)
    filtered(student, reference, logits, top_p=nucleus(draw, logits))


@sampling_filters
@pytest.mark.weight(3)
def test_in_this_order(student, reference, draw):
    """First temperature, then top-k, then top-p of what is left, whose probabilities add up to 1 again."""
    # one on which the usual mistakes keep 1, 2 or 4 tokens, where 3 are right: what fails here is told apart
    logits = torch.tensor([[3.2, 0.0, -1.0, 0.5, -2.0, 0.6, -0.2]], dtype=torch.float64)[:, draw.permutation(7)]
    filtered(student, reference, logits, 2.0, 4, 0.78)
    for temperature, top_k in ((0.7, 5), (1.6, 3), (1.0, 4), (2.5, None)):
        for _ in range(3):
            logits = draw.tensor(2, 11, scale=1.5)
            left = reference.filter_logits(logits, temperature, top_k)
            filtered(student, reference, logits, temperature, top_k, nucleus(draw, left))


@sampling_filters
def test_temperature_zero(student, reference, draw):
    """At temperature 0 only the largest logit stays, as it is, whatever top_k and top_p are; below is a ValueError."""
    logits = draw.tensor(3, 7, scale=2.0)
    for options in ({}, {"top_k": 3}, {"top_p": 0.5}, {"top_k": 2, "top_p": 0.1}):
        filtered(student, reference, logits, 0.0, **options)
    filtered(student, reference, logits, 0)
    raises(ValueError, student.filter_logits, logits, -0.5)


@sampling_filters
def test_tokens_that_were_ruled_out(student, reference, draw):
    """-inf stays -inf, and has no part in the probabilities."""
    for ruled_out in ([2], [2, 4, 5, 6]):  # a row at a time: what rows do to each other is another test's
        logits = draw.tensor(1, 7, scale=1.5)
        logits[:, ruled_out] = -math.inf
        filtered(student, reference, logits, top_p=nucleus(draw, logits))
        for top_k in (2, 6):  # 2 leave something out whatever was drawn
            filtered(student, reference, logits, 0.8, top_k)
        filtered(student, reference, logits, 0.0)


@sampling_filters
def test_equal_logits(student, reference):
    """Logits as large as the k-th largest stay too."""
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.0, 0.0], [5.0, 4.0, 3.0, 2.0, 1.0]], dtype=torch.float64)
    filtered(student, reference, logits, top_k=2)


@sampling_filters
def test_dtype_and_size(student, reference, draw):
    """float32 stays float32; logits of 1e4 and views are ordinary; so are one row and one token."""
    logits = draw.tensor(11, 3, dtype=torch.float32, scale=1.5).mT[1:2]
    filtered(student, reference, logits, 0.7, 4)
    filtered(student, reference, logits, top_p=nucleus(draw, logits))
    filtered(student, reference, 1e4 * draw.tensor(1, 7), 1.0, 3, 0.5)
    filtered(student, reference, draw.tensor(1, 1), 0.7, 3, 0.5)


@sampling_filters
@pytest.mark.weight(3)
def test_draws(student, draw):
    """50 000 rows of two kinds, in turn: each token is drawn as often as its probability says, rows independently.

    Checks at 6σ: of 4 + 3 frequencies and of 12 pairs of neighbours. The smallest expected count is 500, where a
    normal bound of 6σ is passed by chance with a probability below 6e-9, so in all below 1.2e-7.
    """
    first = torch.tensor([0.1, 0.4, 0.2, 0.3])[draw.permutation(4)].double()
    second = torch.tensor([0.2, 0.5, 0.3, 0.0])[draw.permutation(4)].double()
    logits = (torch.stack([first, second]).log() + draw.tensor(2, 1)).repeat(25_000, 1)
    drawn_parts = []
    for part in logits.split(10_000):  # one random number for a call may draw the likeliest of every row; five do not
        drawn_parts.append(student.sample(part, draw.generator()))
        close(drawn_parts[-1], torch.zeros(10_000, dtype=torch.int64), rtol=0.0, atol=3.0)
    answer = torch.cat(drawn_parts)
    one, two = answer[::2], answer[1::2]
    for drawn, p in ((one, first), (two, second)):
        likely(torch.bincount(drawn, minlength=4), p, "of a token")
    likely(torch.bincount(4 * one + two, minlength=16), torch.outer(first, second).flatten(), "of a pair of rows")


def likely(counts, p, what):
    """Every count is within 6σ of what its probability promises, and 0 where that is 0."""
    n = int(counts.sum())
    off = (counts - n * p).abs() > 6 * (n * p * (1 - p)).sqrt()
    if off.any():
        i = int(off.nonzero()[0])
        raise Disagreement(f"the frequency {what} is {counts[i] / n:.4f}, expected about {p[i]:.4f}")


@sampling_filters
def test_one_row(student, draw):
    """One row gives one token, of shape (1,); so does a vocabulary of one token."""
    for logits in (torch.tensor([[-math.inf, -math.inf, 3.0, -math.inf]]), draw.tensor(1, 1), draw.tensor(3, 1)):
        expected = logits.argmax(dim=-1)
        close(
            student.sample(logits, draw.generator()), expected, what=f"what is drawn for {tuple(logits.shape)} logits"
        )


@sampling_filters
def test_generator(student, draw):
    """Chance comes from the generator alone: the same seed draws the same, another one something else.

    That two seeds agree in 200 draws of probability at most 0.5 each has a probability below 1e-60. (Of one draw for
    all rows two seeds often agree; twenty do not.)
    """
    logits = torch.tensor([0.2, 0.5, 0.3]).log().repeat(200, 1)
    generator = draw.generator()
    once = quiet_rng(student.sample, logits, generator)
    close(student.sample(logits, generator), once, what="the second draw from the same seed")
    if all(torch.equal(student.sample(logits, draw.generator()), once) for _ in range(20)):
        raise Disagreement("generators of all seeds draw the same 200 tokens")
    called = student.call(student.sample, logits, generator)
    close(called.echo[0][0], logits, tolerance=(0, 0), what="logits after the call")
    alone = torch.tensor([[-math.inf, -5.0, -math.inf]] * 20)
    close(student.sample(alone, generator), torch.ones(20, dtype=torch.int64), what="the only token that there is")
