"""Hidden grader of the page `bert`.

Where something is drawn at random, the order of the draws is the student's own: nothing is compared with draws of the
reference. Every count is bounded by Chernoff's inequality (`likely`), by default at 1e-9 for each.
"""

import math

import pytest
import torch

from autograder.grading import agree, close, quiet_rng, raises
from autograder.grading.chance import likely
from autograder.grading.compare import GRADIENT, Disagreement

# ---------------------------------------------------------------- bert_embeddings

bert_embeddings = pytest.mark.exercise("bert_embeddings")


def state_for(draw, ours, dtype=torch.float64, scale=1.0):
    """A random state dict: asymmetric, every number another, norms near 1; shared weights under all their names."""
    state, seen = {}, {}
    for name, p in ours.state_dict(keep_vars=True).items():
        if id(p) not in seen:
            size = 1.2 * p.shape[-1] ** -0.5 if p.ndim == 2 else 0.5
            value = draw.tensor(*p.shape, dtype=dtype, scale=size * scale)
            seen[id(p)] = 1 + value / (2 * scale) if "norm" in name and name.endswith("weight") else value
        state[name] = seen[id(p)]
    return state


def embeddings(student, reference, draw, vocab=13, d=6, max_len=7, dtype=torch.float64, scale=1.0, **options):
    """The student's embeddings and the reference's, with the same random tables."""
    ours = reference.BertEmbeddings(vocab, d, max_len, **options).to(dtype)
    state = state_for(draw, ours, dtype, scale)
    ours.load_state_dict(state)
    theirs = student.BertEmbeddings(vocab, d, max_len, **options)
    theirs.load_reference(state)
    return theirs, ours


@bert_embeddings
@pytest.mark.weight(3)
def test_sum_and_norm(student, reference, draw):
    """Token, position and segment rows are added, then normalised; all three count, in other sizes as well.

    The row of pad_id is one like the others. (In the tests below there is none.)
    """
    theirs, ours = embeddings(student, reference, draw)
    ids = draw.integers(0, 13, 3, 5)
    ids[0, 1] = 0
    agree(theirs, ours, ids, draw.integers(0, 2, 3, 5))
    theirs, ours = embeddings(student, reference, draw, vocab=5, d=11, max_len=3, n_segments=3, pad_id=2)
    ids = draw.integers(0, 5, 2, 3)
    ids[1, 1] = 2
    agree(theirs, ours, ids, draw.integers(0, 3, 2, 3))


@bert_embeddings
@pytest.mark.weight(2)
def test_segments_count(student, reference, draw):
    """Another segment gives another vector, at the tokens concerned and nowhere else."""
    theirs, ours = embeddings(student, reference, draw)
    ids, segments = draw.integers(1, 13, 2, 5), torch.zeros(2, 5, dtype=torch.int64)
    before = agree(theirs, ours, ids, segments)
    segments[:, 3:] = 1
    after = agree(theirs, ours, ids, segments)
    close(after[:, :3], before[:, :3], what="the vectors of segment 0")


@bert_embeddings
@pytest.mark.weight(2)
def test_no_segments(student, reference, draw):
    """Without segments all tokens belong to segment 0, and its row is added: the same as with zeros."""
    theirs, ours = embeddings(student, reference, draw)
    ids = draw.integers(1, 13, 3, 5)
    agree(theirs, ours, ids, torch.zeros_like(ids))
    agree(theirs, ours, ids)


@bert_embeddings
def test_positions_restart(student, reference, draw):
    """Equal rows of a batch give equal vectors: positions begin at 0 in each of them."""
    theirs, ours = embeddings(student, reference, draw)
    ids = draw.integers(1, 13, 1, 3).expand(2, 3).contiguous()
    out = agree(theirs, ours, ids, torch.zeros_like(ids))
    close(out[1], out[0], what="the vectors of row 1")


@bert_embeddings
@pytest.mark.weight(2)
def test_small_tables(student, reference, draw):
    """Where the tables are tiny eps decides: it is 1e-12 unless given."""
    for options in ({"scale": 1e-5}, {"scale": 1e-2, "eps": 1e-3}):
        theirs, ours = embeddings(student, reference, draw, **options)
        agree(theirs, ours, draw.integers(1, 13, 2, 5), draw.integers(0, 2, 2, 5))


@bert_embeddings
def test_longest_input(student, reference, draw):
    """max_len tokens are taken, one more is a ValueError; one token is enough."""
    theirs, ours = embeddings(student, reference, draw)
    for T in (7, 1):
        agree(theirs, ours, draw.integers(1, 13, 2, T), draw.integers(0, 2, 2, T))
    raises(ValueError, theirs, draw.integers(1, 13, 2, 8))


@bert_embeddings
def test_embeddings_dtype(student, reference, draw):
    """Tables in float32 give vectors in float32; so does a new module."""
    theirs, ours = embeddings(student, reference, draw, dtype=torch.float32)
    agree(theirs, ours, draw.integers(1, 13, 2, 5), draw.integers(0, 2, 2, 5), tolerance=(2e-3, 2e-3))
    new = student.BertEmbeddings(13, 6, 7)(draw.integers(1, 13, 2, 5))
    close(new, torch.zeros(2, 5, 6), rtol=0.0, atol=math.inf)


def parameter_gradients(student, theirs, ours, cotangent, *inputs):
    """The gradients of all parameters are right, and there are as many trainable numbers as there should be."""
    found = student.vjp(theirs, *inputs, cotangent=cotangent, parameters=True).parameters or {}
    for name, gradient in found.items():
        if gradient is None or not gradient.isfinite().all():
            raise Disagreement(f"no gradient, or one that is not finite, reaches the parameter {name}")
    named = dict(ours.named_parameters())
    outputs = ours(*inputs)
    outputs, cotangents = ([outputs], [cotangent]) if isinstance(outputs, torch.Tensor) else (outputs, cotangent)
    wanted = dict(zip(named, torch.autograd.grad(outputs, list(named.values()), cotangents), strict=True))
    count, expected = sum(g.numel() for g in found.values()), sum(g.numel() for g in wanted.values())
    if count != expected:
        raise Disagreement(f"there are {count} trainable numbers in {len(found)} parameters, expected {expected}")
    if set(found) == set(wanted):  # else the student's parameters have names of their own, see load_reference
        close(found, wanted, tolerance=GRADIENT[torch.float64], what="the gradient")
    return found, wanted


@bert_embeddings
@pytest.mark.weight(2)
def test_embeddings_gradients(student, reference, draw):
    """Gradients reach all tables and the norm, but not the row of pad_id (by default 0); nothing else is trainable."""
    for pad in (0, 4):
        theirs, ours = embeddings(student, reference, draw, vocab=5, **({"pad_id": pad} if pad else {}))
        ids, segments = draw.integers(0, 5, 3, 7), draw.integers(0, 2, 3, 7)
        ids[0, 2] = pad
        parameter_gradients(student, theirs, ours, draw.tensor(3, 7, 6), ids, segments)


# ---------------------------------------------------------------- mlm_mask

mlm_mask = pytest.mark.exercise("mlm_mask")


def form(answer, ids):
    """The answer, which holds two int64 tensors of the shape of ids."""
    close(answer, (ids, ids), tolerance=(0, math.inf), what="inputs and labels")
    return answer


def hidden(student, ids, special, mask_id, vocab, generator, p=0.15):
    """The student's inputs and labels, of the right form and consistent with ids and special; and what was chosen."""
    inputs, labels = form(student.mlm_mask(ids, special, mask_id, vocab, p=p, generator=generator), ids)
    chosen = labels != -100
    if (chosen & special).any():
        raise Disagreement(f"{int((chosen & special).sum())} special tokens have a label; they are never chosen")
    close(inputs[special], ids[special], what="the special tokens of the inputs")
    labels_of_the_text(inputs, labels, ids, chosen)
    close(inputs[~chosen], ids[~chosen], what="the inputs where nothing was chosen (label -100)")
    return inputs, labels, chosen


def labels_of_the_text(inputs, labels, ids, chosen):
    """The labels of the chosen tokens are the tokens of ids, not what the model sees there."""
    wrong = chosen & (labels != ids)
    if wrong.any() and torch.equal(labels[chosen], inputs[chosen]):
        raise Disagreement(
            f"the labels of {int(wrong.sum())} chosen tokens are what inputs holds there, not the tokens of ids;"
            " was inputs filled before the labels were taken from it?"
        )
    close(labels[chosen], ids[chosen], what="the labels of the chosen tokens")


def tokens(draw, *shape, special=True):
    """Ids of 10 ... 499, and a tenth of them special, or none."""
    rare = torch.from_numpy(draw.array(*shape)) < -1.28
    return draw.integers(10, 500, *shape), rare if special else torch.zeros_like(rare)


@mlm_mask
@pytest.mark.weight(2)
def test_all_and_nothing(student, draw):
    """With p = 0 nothing is chosen; with p = 1 every token is that is not special, and its label is the token itself.

    That is certain, so a right answer never fails.
    """
    ids, special = tokens(draw, 7, 11)
    untouched = (ids, torch.full_like(ids, -100))
    answer = form(student.mlm_mask(ids, special, 4, 500, p=0.0, generator=draw.generator()), ids)
    close(answer, untouched, what="inputs and labels with p = 0")
    inputs, labels = form(student.mlm_mask(ids, special, 4, 500, p=1.0, generator=draw.generator()), ids)
    labels_of_the_text(inputs, labels, ids, (labels != -100) & ~special)
    close(labels, torch.where(special, -100, ids), what="the labels with p = 1")
    hidden(student, ids, special, 4, 500, draw.generator(), p=1.0)


@mlm_mask
def test_ids_are_left_alone(student, draw):
    """ids and special are as they were after the call."""
    ids, special = tokens(draw, 7, 11)
    called = student.call(student.mlm_mask, ids, special, 4, 500, p=1.0, generator=draw.generator())
    form(called.value, ids)
    close(list(called.echo[0])[:2], [ids, special], tolerance=(0, 0), what="the caller's arguments")


@mlm_mask
@pytest.mark.weight(2)
def test_special_tokens(student, draw):
    """Special tokens are never chosen and stay as they are, and labels are -100 wherever nothing was chosen."""
    ids, special = tokens(draw, 40, 50)
    hidden(student, ids, special, 4, 500, draw.generator(), p=0.6)
    everything = torch.ones_like(special)
    inputs, _, _ = hidden(student, ids, everything, 4, 500, draw.generator())
    close(inputs, ids, what="the inputs where all tokens are special")


@mlm_mask
@pytest.mark.weight(2)
def test_generator(student, draw):
    """All randomness comes from the generator: the same seed repeats the result, another gives another, and the global
    generators stay where they were.

    Two generators choose the same of 2000 tokens with probability 0.745^2000.
    """
    ids, special = tokens(draw, 20, 100, special=False)
    seed = draw.seed()
    answers = []
    for n in (0, 0, 1):
        generator = torch.Generator().manual_seed(seed + n)
        answer = quiet_rng(student.mlm_mask, ids, special, 4, 500, seed=20 + len(answers), generator=generator)
        answers.append(form(answer, ids))
    close(answers[1], answers[0], what="inputs and labels for the same seed")
    if torch.equal(answers[2][1], answers[0][1]):
        raise Disagreement("two generators with different seeds chose the same tokens")


@mlm_mask
@pytest.mark.weight(3)
def test_share_of_chosen_tokens(student, draw):
    """Each token is chosen with probability p, 0.15 unless given, independently of the others in its row and column.

    200 000 tokens in rows of 5, of which a share of 0.85^5 has no chosen one. Rows of 200 may not all look alike. At
    most 1.1e-7 for all 105 counts.
    """
    ids, special = tokens(draw, 40_000, 5, special=False)
    chosen = form(student.mlm_mask(ids, special, 4, 500, generator=draw.generator()), ids)[1] != -100
    likely(int(chosen.sum()), ids.numel(), 0.15, "the number of chosen tokens")
    likely(int((~chosen.any(dim=1)).sum()), 40_000, 0.85**5, "the number of rows of 5 in which none is chosen")
    _, _, chosen = hidden(student, *tokens(draw, 300, 100, special=False), 4, 500, draw.generator(), p=0.4)
    likely(int(chosen.sum()), 30_000, 0.4, "with p = 0.4 the number of chosen tokens")
    for column in range(100):
        likely(int(chosen[:, column].sum()), 300, 0.4, f"the number of chosen tokens in column {column} of 300 rows")
    few = torch.ones(40_000, 5, dtype=torch.bool)
    few[:, 0] = False
    likely(int(hidden(student, ids, few, 4, 500, draw.generator())[2].sum()), 40_000, 0.15,
           "where 4 of 5 tokens are special, the number of chosen ones among the others")  # fmt: skip


def fates(inputs, ids, chosen, mask_id, vocab, what="of the chosen tokens"):
    """Of the chosen tokens 80 % are mask_id, 10 % random, which the old one may be by chance, and 10 % kept."""
    n = int(chosen.sum())
    masked, kept = chosen & (inputs == mask_id), chosen & (inputs == ids)
    likely(int(masked.sum()), n, 0.8 + 0.1 / vocab, f"{what}, the number that became mask_id")
    likely(int(kept.sum()), n, 0.1 + 0.1 / vocab, f"{what}, the number that stayed as they were")
    likely(int((chosen & ~masked & ~kept).sum()), n, 0.1 - 0.2 / vocab, f"{what}, the number of random ones")


@mlm_mask
@pytest.mark.weight(4)
def test_fates_of_chosen_tokens(student, draw):
    """80 % of the chosen tokens become mask_id, 10 % a random token, and 10 % stay; all of them have their label.

    Of about 30 000 chosen tokens, and of 30 000 with p = 1. At most 6e-9 for all six counts.
    """
    for shape, p in (((200, 1000), 0.15), ((100, 300), 1.0)):
        ids, special = tokens(draw, *shape, special=False)
        inputs, _, chosen = hidden(student, ids, special, 4, 500, draw.generator(), p=p)
        fates(inputs, ids, chosen, 4, 500)


@mlm_mask
@pytest.mark.weight(2)
def test_random_tokens(student, draw):
    """A random token is any of 0 ... V - 1, all equally likely: from the first to the last, and special ones too.

    60 000 chosen tokens, all with the number 3, of a vocabulary of 7. At most 6e-9 for the six counts.
    """
    ids = torch.full((200, 300), 3)
    inputs, _, _ = hidden(student, ids, torch.zeros_like(ids, dtype=torch.bool), 5, 7, draw.generator(), p=1.0)
    outside = inputs[(inputs < 0) | (inputs >= 7)]
    if len(outside):
        raise Disagreement(f"a random token has the number {int(outside[0])}, in a vocabulary of 7")
    for token in (0, 1, 2, 4, 6):
        likely(int((inputs == token).sum()), 60_000, 0.1 / 7, f"the number of random tokens that are {token}")
    likely(int((inputs == 3).sum()), 60_000, 0.1 + 0.1 / 7,
           "the number of tokens that stayed, or are random and by chance what they were")  # fmt: skip


@mlm_mask
def test_fates_are_independent(student, draw):
    """What becomes of a token does not hang on its place: in no column of 200 rows have all the same fate.

    With p = 1, a column is all mask_id with probability below 0.81^200, 5e-19; 50 columns.
    """
    ids, special = tokens(draw, 200, 50, special=False)
    inputs, _, _ = hidden(student, ids, special, 4, 500, draw.generator(), p=1.0)
    share = (inputs == 4).double().mean(dim=0)
    if share.max() == 1 or share.min() == 0:
        raise Disagreement("all rows are hidden at the same places; each token has a fate of its own")


@mlm_mask
def test_picture(student):
    """The picture: special tokens are never chosen, and inputs and labels belong to the text."""
    if not student.has("figure_data"):
        return
    data = torch.from_numpy(student.figure_data())
    close(data, torch.zeros(3, *data.shape[1:2], 18, dtype=torch.int64), rtol=0.0, atol=math.inf, what="the picture")
    ids, inputs, labels = data
    chosen = labels != -100
    close(labels[chosen], ids[chosen], what="the labels of the picture")
    close(inputs[~chosen], ids[~chosen], what="the inputs of the picture where nothing was chosen")
    if (chosen & (ids < 4)).any():
        raise Disagreement("a special token of the picture was chosen")


# ---------------------------------------------------------------- nsp_pairs

nsp_pairs = pytest.mark.exercise("nsp_pairs")

CLS, SEP = 1, 2


def corpus(draw, sentences=(4, 3, 1, 5), lengths=(1, 9)):
    """Documents with so many sentences; every sentence begins with a number of its own."""
    docs, number = [], 100
    for count in sentences:
        doc = []
        for _ in range(count):
            rest = int(draw.integers(*lengths)) - 1
            doc.append([number, *draw.integers(3, 90, rest).tolist()])
            number += 1
        docs.append(doc)
    return docs


def examples(student, reference, docs, max_len, generator):
    """The student's examples, of the right form: (document of A, document of B, sentence of B, is_next) for each."""
    answer = student.make_nsp_examples(docs, CLS, SEP, max_len, generator)
    firsts = {sentence[0]: (d, s) for d, doc in enumerate(docs) for s, sentence in enumerate(doc)}
    pairs = [(d, s) for d, doc in enumerate(docs) for s in range(len(doc) - 1)]
    if not isinstance(answer, list | tuple) or len(answer) != 3:
        raise Disagreement("expected a tuple of three: ids, segments, is_next")
    for part, name in zip(answer, ("ids", "segments", "is_next"), strict=True):
        if not isinstance(part, list | tuple) or len(part) != len(pairs):
            size = len(part) if isinstance(part, list | tuple | torch.Tensor) else "no"
            raise Disagreement(f"{name} holds {size} examples, expected a list of {len(pairs)}")
    found = []
    for n, (ids, segments, is_next, (d, s)) in enumerate(zip(*answer, pairs, strict=True)):
        if not isinstance(ids, list | tuple) or not all(type(i) is int for i in ids):
            raise Disagreement(f"ids[{n}] is no list of whole numbers")
        where = second_of(ids, firsts, n)
        a, b = docs[d][s], docs[where[0]][where[1]]
        expected = reference.joined(a, b, CLS, SEP, max_len)
        lengths, right = lengths_of(ids), lengths_of(expected[0])
        if lengths != right:
            raise Disagreement(
                f"ids[{n}] has {lengths[0]} of the {len(a)} tokens of A and {lengths[1]} of the {len(b)} of B,"
                f" expected {right[0]} and {right[1]} with max_len = {max_len}"
            )
        close(list(ids), expected[0], what=f"ids[{n}]")
        close(segments, expected[1], what=f"segments[{n}]")
        if type(is_next) is not bool:
            raise Disagreement(f"is_next[{n}] is no bool")
        found.append((d, s, *where, is_next))
    return found


def lengths_of(ids):
    """How many tokens there are of A and of B."""
    first = list(ids).index(SEP)
    return first - 1, len(ids) - first - 2


def second_of(ids, firsts, n):
    """Which sentence is B: (document, sentence)."""
    if ids[0] != CLS or list(ids).count(SEP) != 2 or ids[-1] != SEP:
        raise Disagreement(f"ids[{n}] is not cls, A, sep, B, sep")
    start = list(ids).index(SEP) + 1
    if ids[start] not in firsts:
        raise Disagreement(f"B of ids[{n}] does not begin with the first token of a sentence")
    return firsts[ids[start]]


@nsp_pairs
@pytest.mark.weight(2)
def test_one_document(student, reference, draw):
    """Where there is one document, B is always the next sentence: each pair packed as cls, A, sep, B, sep."""
    for sentences in ((5,), (2,)):
        docs = corpus(draw, sentences)
        for d, s, other, sentence, is_next in examples(student, reference, docs, 30, draw.generator()):
            if (other, sentence, is_next) != (d, s + 1, True):
                raise Disagreement("in a corpus of one document, B must be the next sentence")


@nsp_pairs
@pytest.mark.weight(2)
def test_form(student, reference, draw):
    """cls, A, sep, B, sep, for each two neighbours in a document; segment 0 up to the first sep, then 1."""
    for _ in range(3):
        examples(student, reference, corpus(draw), 30, draw.generator())


@nsp_pairs
@pytest.mark.weight(3)
def test_truncation(student, reference, draw):
    """Where A and B are too long, the longer of the two loses its last token, again and again; cls and sep stay."""
    for max_len in (16, 11, 8, 6, 5):
        examples(student, reference, corpus(draw, (25,), (1, 12)), max_len, draw.generator())
        examples(student, reference, corpus(draw, (4, 3, 1, 5), (1, 12)), max_len, draw.generator())


@nsp_pairs
def test_too_short(student, draw):
    """max_len = 4 has no room for two sentences: ValueError."""
    raises(ValueError, student.make_nsp_examples, corpus(draw), CLS, SEP, 4, draw.generator())


@nsp_pairs
@pytest.mark.weight(3)
def test_labels_and_documents(student, reference, draw):
    """is_next says whether B is the next sentence; where it is not, B comes from another document."""
    for _ in range(5):
        docs = corpus(draw, (7, 5, 1, 4), (1, 4))
        for d, s, other, sentence, is_next in examples(student, reference, docs, 30, draw.generator()):
            follows = (other, sentence) == (d, s + 1)
            if is_next != follows:
                raise Disagreement(f"is_next is {is_next} where B is {'' if follows else 'not '}the next sentence")
            if not follows and other == d:
                raise Disagreement("B was drawn from the document of A; it must come from another one")


@nsp_pairs
@pytest.mark.weight(3)
def test_half_are_next(student, reference, draw):
    """Half of the examples have the next sentence; the others draw a document, then a sentence, all equally likely.

    1200 examples: each draws anew. At most 1.2e-8 for the twelve counts that are not certain.
    """
    docs = corpus(draw, (1201, 2, 1, 5), (1, 2))
    found = [x for x in examples(student, reference, docs, 12, draw.generator()) if x[0] == 0]
    drawn = [x for x in found if not x[-1]]
    likely(len(found) - len(drawn), 1200, 0.5, "the number of examples with the next sentence")
    changes = sum(a[-1] != b[-1] for a, b in zip(found[::2], found[1::2], strict=True))
    likely(changes, 600, 0.5, "the number of neighbouring examples of which one has the next sentence")
    if any(x[2] == 0 for x in drawn):
        raise Disagreement("B was drawn from the document of A; it must come from another one")
    for doc in (1, 2, 3):
        inside = [x[3] for x in drawn if x[2] == doc]
        likely(len(inside), len(drawn), 1 / 3, f"with three other documents, the number of draws from document {doc}")
        for sentence in range(len(docs[doc])):
            count = inside.count(sentence)
            likely(count, len(inside), 1 / len(docs[doc]), f"the number of draws of its sentence {sentence}")


@nsp_pairs
@pytest.mark.weight(2)
def test_equal_documents(student, draw):
    """Of two documents with the same sentences each is another one for the other: half of the examples draw from it.

    1200 examples. At most 1e-9.
    """
    docs = corpus(draw, (601,), (1, 2))
    docs = [docs[0], [list(sentence) for sentence in docs[0]]]
    answer = student.make_nsp_examples(docs, CLS, SEP, 12, draw.generator())
    if not isinstance(answer, list | tuple) or len(answer) != 3 or not isinstance(answer[2], list | tuple):
        raise Disagreement("expected a tuple of three: ids, segments, is_next")
    close(len(answer[2]), 1200, what="the number of examples in is_next")
    likely(
        sum(map(bool, answer[2])), 1200, 0.5, "with two equal documents, the number of examples with the next sentence"
    )


@nsp_pairs
def test_draws_from_the_generator(student, draw):
    """The same seed repeats the examples, another gives others, the global generators stay; docs is not changed.

    Two generators agree in 200 coins with probability 2^-200.
    """
    docs, seed = corpus(draw, (101, 101), (3, 9)), draw.seed()
    answers = []
    for n in (0, 0, 1):
        generator = torch.Generator().manual_seed(seed + n)
        answers.append(quiet_rng(student.make_nsp_examples, docs, CLS, SEP, 9, generator, seed=20 + len(answers)))
    if answers[1] != answers[0]:
        raise Disagreement("the same seed gave other examples")
    if answers[2] == answers[0]:
        raise Disagreement("two generators with different seeds gave the same examples")
    called = student.call(student.make_nsp_examples, docs, CLS, SEP, 9, draw.generator())
    close(called.echo[0][0], docs, what="docs after the call")


# ---------------------------------------------------------------- bert_model

bert_model = pytest.mark.exercise("bert_model")

CFG = {"vocab": 17, "d": 6, "n_layers": 2, "n_heads": 3, "d_ff": 5, "max_len": 7, "n_segments": 2, "pad_id": 0}
PARTS = ("sequence", "pooled", "mlm_logits", "nsp_logits")


def berts(student, reference, draw, dtype=torch.float64, **options):
    """The student's model and the reference's, with the same random weights."""
    cfg = CFG | options
    ours = reference.Bert(cfg).to(dtype)
    state = state_for(draw, ours, dtype)
    ours.load_state_dict(state)
    theirs = student.Bert(cfg)
    theirs.load_reference(state)
    return theirs, ours


def inputs(draw, B=2, T=5, vocab=17, n_segments=2):
    """Ids, none of them the number of padding, and segments."""
    return draw.integers(1, vocab, B, T), draw.integers(0, n_segments, B, T)


def same(theirs, ours, ids, segments=None, mask=None, only=PARTS):
    """The student's four results are the reference's where there is no padding. Returns the student's, by name."""
    with torch.no_grad():
        expected = ours(ids, segments, mask)
    answer = theirs(ids, segments, mask)
    close(answer, expected, rtol=0.0, atol=math.inf, what="the tuple of four")
    for name, actual, wanted in zip(PARTS, answer, expected, strict=True):
        if name not in only:
            continue
        if mask is None or actual.ndim == 2:
            close(actual, wanted, what=name)
        else:
            close(actual[mask], wanted[mask], what=f"{name} (padding left out)")
    return dict(zip(PARTS, answer, strict=True))


def padding(*lengths, T=5):
    """(B, T), True at the real tokens."""
    return torch.arange(T) < torch.tensor(lengths)[:, None]


@bert_model
@pytest.mark.weight(2)
def test_form_of_the_results(student, draw):
    """Four tensors: sequence (B, T, D), pooled (B, D), mlm_logits (B, T, V), nsp_logits (B, 2), for a new model too."""
    bert = student.Bert(CFG)
    answer = bert(draw.integers(0, 17, 2, 5))
    shapes = ((2, 5, 6), (2, 6), (2, 5, 17), (2, 2))
    close(answer, tuple(torch.zeros(s) for s in shapes), rtol=0.0, atol=math.inf, what="the tuple of four")


@bert_model
@pytest.mark.weight(4)
def test_sequence(student, reference, draw):
    """Embeddings and post-LN layers with GELU and eps 1e-12; every token reads every other one, on both sides."""
    theirs, ours = berts(student, reference, draw)
    same(theirs, ours, *inputs(draw), only=("sequence",))
    theirs, ours = berts(student, reference, draw, d=10, n_heads=2, n_layers=1, d_ff=13, n_segments=3)
    same(theirs, ours, *inputs(draw, 3, 7, n_segments=3), only=("sequence",))


@bert_model
def test_without_layers(student, reference, draw):
    """With n_layers = 0 the sequence is the embeddings, and the heads work on them."""
    theirs, ours = berts(student, reference, draw, n_layers=0)
    same(theirs, ours, *inputs(draw))


@bert_model
@pytest.mark.weight(2)
def test_pooled_and_nsp(student, reference, draw):
    """pooled is tanh of a linear map of the vector at place 0, and nsp_logits a linear map of pooled."""
    theirs, ours = berts(student, reference, draw)
    for B, T in ((2, 5), (3, 1)):
        same(theirs, ours, *inputs(draw, B, T), only=("pooled", "nsp_logits"))


@bert_model
@pytest.mark.weight(3)
def test_mlm_head(student, reference, draw):
    """mlm_logits: linear, GELU with erf, norm, then the token embedding transposed, and a bias for each token."""
    theirs, ours = berts(student, reference, draw)
    same(theirs, ours, *inputs(draw), only=("mlm_logits",))
    theirs, ours = berts(student, reference, draw, vocab=7, n_layers=1)
    same(theirs, ours, *inputs(draw, vocab=7), only=("mlm_logits",))


@bert_model
def test_small_vectors(student, reference, draw):
    """Where vectors are tiny eps decides: it is 1e-12 in all norms, in the layers and in the head."""
    theirs, ours = berts(student, reference, draw, n_layers=1)
    small = ("embeddings.norm", "norm1", "norm2", "out_proj", "fc2", "transform.bias")
    state = {
        name: value * (1e-5 if any(part in name for part in small) else 1) for name, value in ours.state_dict().items()
    }
    theirs.load_reference(state)
    ours.load_state_dict(state)
    same(theirs, ours, *inputs(draw), only=("sequence", "mlm_logits"))


@bert_model
@pytest.mark.weight(3)
def test_both_directions(student, reference, draw):
    """Another last token changes the first vector, another first token the last: nothing is causal."""
    theirs, ours = berts(student, reference, draw, n_layers=1)
    ids, segments = inputs(draw)
    for place, reader in ((4, 0), (0, 4)):
        before = same(theirs, ours, ids, segments)["sequence"][:, reader]
        other = ids.clone()
        other[:, place] = other[:, place] % 16 + 1
        after = same(theirs, ours, other, segments)["sequence"][:, reader]
        if torch.allclose(before, after):
            raise Disagreement(f"the vector at place {reader} does not depend on the token at place {place}")


@bert_model
@pytest.mark.weight(3)
def test_padding_is_not_read(student, reference, draw):
    """No token reads padding, wherever it stands and whatever is in it, at no depth."""
    theirs, ours = berts(student, reference, draw)
    ids, segments = inputs(draw, 3)
    mask = padding(5, 3, 1)
    before = same(theirs, ours, ids, segments, mask)
    junk = torch.where(mask, ids, draw.integers(0, 17, 3, 5))
    after = same(theirs, ours, junk, segments, mask)
    close(after["pooled"], before["pooled"], what="pooled with other padding")
    scattered = draw.mask(3, 5)
    scattered[:, 0] = True
    same(theirs, ours, ids, segments, scattered)
    ids, segments = torch.cat([ids, ids[:, :2]], 1), torch.cat([segments, segments[:, :2]], 1)
    longer = same(theirs, ours, ids, segments, padding(5, 3, 1, T=7))
    close(longer["pooled"], before["pooled"], what="pooled with more padding")


@bert_model
def test_pad_id_alone_hides_nothing(student, reference, draw):
    """Without a mask all tokens are real, also those with the number pad_id."""
    theirs, ours = berts(student, reference, draw, pad_id=3)
    ids, segments = inputs(draw)
    ids[:, 3:] = 3
    same(theirs, ours, ids, segments)


@bert_model
def test_row_of_padding(student, reference, draw):
    """A row of nothing but padding gives finite numbers, and does not disturb the others."""
    theirs, ours = berts(student, reference, draw)
    ids, segments = inputs(draw, 3)
    segments[0, 0] = 1
    mask = padding(5, 0, 3)
    answer = theirs(ids, segments, mask)
    with torch.no_grad():
        expected = ours(ids, segments, mask)
    close(answer, expected, rtol=0.0, atol=math.inf, what="the tuple of four")
    for name, actual, wanted in zip(PARTS, answer, expected, strict=True):
        if not actual.isfinite().all():
            raise Disagreement(f"{name} is not finite for a row of padding")
        close(actual[0], wanted[0], what=f"{name} of the other rows")


@bert_model
def test_segments_reach_the_model(student, reference, draw):
    """Segments count; without them all tokens are of segment 0."""
    theirs, ours = berts(student, reference, draw)
    ids, segments = inputs(draw)
    segments[:, 0] = 1
    same(theirs, ours, ids, segments)
    same(theirs, ours, ids)


@bert_model
def test_limits_and_arguments(student, reference, draw):
    """max_len tokens are taken and one more is a ValueError; the arguments stay as they are."""
    theirs, ours = berts(student, reference, draw)
    ids, segments = inputs(draw, 2, 7)
    same(theirs, ours, ids, segments)
    raises(ValueError, theirs, draw.integers(0, 17, 2, 8))
    mask = padding(7, 4, T=7)
    called = student.call(theirs, ids, segments, mask)
    close(called.value, ours(ids, segments, mask), rtol=0.0, atol=math.inf, what="the tuple of four")
    close(list(called.echo[0]), [ids, segments, mask], tolerance=(0, 0), what="the caller's arguments")


@bert_model
def test_bert_in_float32(student, reference, draw):
    """Weights in float32 give results in float32."""
    theirs, ours = berts(student, reference, draw, dtype=torch.float32)
    ids, segments = inputs(draw)
    with torch.no_grad():
        expected = ours(ids, segments)
    answer = theirs(ids, segments)
    close(answer, expected, rtol=0.0, atol=math.inf, what="the tuple of four")
    theirs.load_reference({name: value.double() for name, value in ours.state_dict().items()})
    # beside their own in float64: beside ours, any bound would hang on the seed for some wrong formula
    for name, single, double in zip(PARTS, answer, theirs(ids, segments), strict=True):
        close(single.double(), double, rtol=2e-3, atol=2e-3, what=f"{name} in float32, beside float64")


def gradients_of_bert(student, theirs, ours, draw, pad=0):
    ids, segments = inputs(draw, 2, 7)
    ids[1, 4] = pad
    cotangent = [draw.tensor(2, 7, 6), draw.tensor(2, 6), draw.tensor(2, 7, 17), draw.tensor(2, 2)]
    return parameter_gradients(student, theirs, ours, cotangent, ids, segments)


@bert_model
@pytest.mark.weight(2)
def test_bert_gradients(student, reference, draw):
    """The gradients of all parameters are right, those of all layers and heads; the row of pad_id is no input's."""
    for pad in (0, 3):
        theirs, ours = berts(student, reference, draw, pad_id=pad)
        gradients_of_bert(student, theirs, ours, draw, pad)


@bert_model
@pytest.mark.weight(3)
def test_tied_decoder(student, reference, draw):
    """Output layer and token embedding are one parameter: after a step of training both have moved together."""
    theirs, ours = berts(student, reference, draw, n_layers=1)
    found, expected = gradients_of_bert(student, theirs, ours, draw)
    state = theirs.state_dict()
    if not isinstance(state, dict) or not set(found) <= set(state):
        raise Disagreement("the model's parameters did not come back")
    if set(found) == set(expected):
        step = 0.1 / max(float(gradient.abs().max()) for gradient in expected.values())
        moved = {name: value - step * found[name] if name in found else value for name, value in state.items()}
        if "decoder.weight" in moved:
            moved["decoder.weight"] = moved["embeddings.tokens.weight"]
        theirs.load_state_dict(moved)
        with torch.no_grad():
            for name, parameter in ours.named_parameters():
                parameter -= step * expected[name]
        same(theirs, ours, *inputs(draw))


# ---------------------------------------------------------------- roberta_dynamic_masking

roberta = pytest.mark.exercise("roberta_dynamic_masking")


def dataset(student, tokens, seq_len, mask_id=4, vocab=500, **options):
    return student.DynamicMaskingDataset(tokens, seq_len, mask_id, vocab, **options)


def item(dataset, ids, i, epoch):
    """Inputs and labels of one text, of the right form and consistent with its ids; and what was chosen."""
    answer = dataset["__getitem__"]((i, epoch))
    close(answer, (ids, ids), tolerance=(0, math.inf), what=f"dataset[{i}, {epoch}]")
    inputs, labels = answer
    chosen = labels != -100
    close(labels[chosen], ids[chosen], what=f"the labels of dataset[{i}, {epoch}], where a token was chosen")
    close(inputs[~chosen], ids[~chosen], what=f"the inputs of dataset[{i}, {epoch}], where none was chosen")
    return inputs, labels, chosen


@roberta
@pytest.mark.weight(2)
def test_texts(student, draw):
    """Text i holds its seq_len tokens; the last one may be shorter; no token is lost, and none comes twice."""
    for n, seq_len in ((17, 5), (15, 5), (3, 7), (1, 1), (7, 1)):
        ids = draw.integers(10, 500, n)
        made = dataset(student, ids, seq_len, p=1.0)
        count = -(-n // seq_len)
        close(len(made), count, what=f"the number of texts of {seq_len} in {n} tokens")
        for i in range(count):
            part = ids[i * seq_len : (i + 1) * seq_len]
            close(item(made, part, i, 2)[1], part, what=f"the labels of dataset[{i}, 2] with p = 1")


@roberta
def test_index_errors(student, draw):
    """A text that does not exist is an IndexError."""
    made = dataset(student, draw.integers(10, 500, 17), 5)
    for i in (4, 5, -1, -4):
        raises(IndexError, made["__getitem__"], (i, 0))


@roberta
@pytest.mark.weight(2)
def test_repeatable(student, draw):
    """A text and an epoch give the same masks whatever was asked before, also in another dataset of the same seed."""
    ids, seed = draw.integers(10, 500, 700), int(draw.integers(0, 10_000))
    one, other = (dataset(student, ids, 200, seed=seed) for _ in range(2))
    keys = [(i, epoch) for i in range(4) for epoch in (0, 3)]
    seen = {key: quiet_rng(one["__getitem__"], key, seed=30 + n) for n, key in enumerate(keys)}
    for n, key in enumerate(reversed(keys)):
        again = quiet_rng(other["__getitem__"], key, seed=60 + n)
        close(again, seen[key], tolerance=(0, 0), what=f"dataset[{key[0]}, {key[1]}], asked for in another order")


@roberta
@pytest.mark.weight(4)
def test_new_masks(student, draw):
    """Other epochs, other texts and other seeds have other masks: of the chosen tokens about a share of p is chosen in
    both of two.

    Texts of 600 tokens; all pairs of 4 texts in 3 epochs, and of these with one text of another seed. At most 1e-9
    for each of 78 pairs.
    """
    ids, seed = draw.integers(10, 500, 2400), int(draw.integers(0, 10_000))
    masks = {}
    for s in (seed, seed + 1):
        made = dataset(student, ids, 600, seed=s)
        for i in range(4 if s == seed else 1):
            for epoch in range(3 if s == seed else 1):
                masks[s, i, epoch] = item(made, ids[600 * i : 600 * (i + 1)], i, epoch)[2]
    if torch.equal(masks[seed, 0, 0], masks[seed + 1, 0, 0]):
        raise Disagreement(f"text 0 in epoch 0 has the same mask with the seeds {seed} and {seed + 1}")
    keys = list(masks)
    for n, a in enumerate(keys):
        for b in keys[:n]:
            both = int((masks[a] & masks[b]).sum())
            names = [f"text {i} in epoch {epoch}{' of another seed' * (s != seed)}" for s, i, epoch in (a, b)]
            likely(both, 600, 0.15**2, f"the number of places chosen both in {names[0]} and {names[1]}")


@roberta
def test_no_two_alike(student, draw):
    """Seed, text and epoch are not the digits of one number: a step of one is no ten or thousand steps of another.

    Texts of 40 tokens with p = 0.5. Two of 30 pairs are equal by chance with probability below 3e-11, and below 1e-8
    where generators are made of 32 bits.
    """
    ids, seed = draw.integers(10, 500, 40), int(draw.integers(0, 10_000))
    one, next_seed = (dataset(student, ids.repeat(10_001), 40, seed=s, p=0.5) for s in (seed, seed + 1))
    for step in (10, 100, 1000, 1024, 10_000):
        for made, i, epoch in ((one, 1, 0), (one, 0, 1), (next_seed, 0, 0)):
            for j, later in ((0, step), (step, 0)):
                if torch.equal(item(made, ids, i, epoch)[2], item(one, ids, j, later)[2]):
                    seeds = " of the next seed" * (made is next_seed)
                    raise Disagreement(
                        f"text {i} in epoch {epoch}{seeds} has the same mask as text {j} in epoch {later}"
                    )


@roberta
@pytest.mark.weight(2)
def test_statistics_of_masks(student, draw):
    """A share of p is chosen, 0.15 unless given; of those 80 % become mask_id, 10 % random, and 10 % stay.

    40 000 tokens twice. At most 8e-9 for all eight counts.
    """
    for p in (0.15, 0.5):
        ids = draw.integers(10, 500, 40_000)
        made = dataset(student, ids, 20_000, **({} if p == 0.15 else {"p": p}))
        parts = [item(made, ids[20_000 * i : 20_000 * (i + 1)], i, 1) for i in range(2)]
        seen, chosen = torch.cat([x[0] for x in parts]), torch.cat([x[2] for x in parts])
        likely(int(chosen.sum()), 40_000, p, f"with p = {p} the number of chosen tokens")
        fates(seen, ids, chosen, 4, 500)


@roberta
@pytest.mark.weight(2)
def test_tokens_stay(student, draw):
    """The tokens are never changed: after many epochs the labels of an epoch with p = 1 are still the tokens."""
    ids = draw.integers(10, 500, 17)
    called = student.call(student.DynamicMaskingDataset, ids, 5, 4, 500, p=1.0)
    close(called.echo[0][0], ids, tolerance=(0, 0), what="the caller's tokens")
    for epoch in range(4):
        for i in range(4):
            close(item(called.value, ids[5 * i : 5 * i + 5], i, epoch)[1], ids[5 * i : 5 * i + 5], what="the labels")


@roberta
@pytest.mark.weight(2)
def test_packing(student, reference, draw):
    """Whole sentences fill a block as long as they fit, with a separator between two documents in the same block."""
    packed(student, reference, [[[10, 11, 12, 13]], [[14]]], (5,))  # room for a separator alone
    for _ in range(6):
        docs = corpus(draw, draw.integers(1, 5, 4).tolist(), (1, 5))
        packed(student, reference, docs, (90, 5, 7, 11, 30))  # with 90, a separator for each border of two documents


@roberta
def test_long_sentences(student, reference, draw):
    """A sentence longer than a block is cut into pieces; with blocks of 1 every token is one."""
    for _ in range(3):
        docs = corpus(draw, (2, 1, 3), (1, 14))
        packed(student, reference, docs, (90, 1, 2, 4, 6))
    packed(student, reference, [[list(range(10, 18))], [[20]]], (4, 3, 8))
    packed(student, reference, [[list(range(10, 18)), [18]]], (3, 4))


@roberta
def test_packing_borders(student, reference):
    """Blocks that are exactly full, documents that end where a block does, one token, and nothing at all."""
    docs = [[[10, 11, 12]], [[13, 14]], [[15], [16, 17]], [[18, 19, 20, 21]]]
    packed(student, reference, docs, (15, 3, 4, 5, 6, 13, 14))
    packed(student, reference, [[[10]]], (1, 5))
    packed(student, reference, [], (5,))


def packed(student, reference, docs, lengths):
    """The blocks for each of the lengths; docs stays as it is."""
    for seq_len in lengths:
        called = student.call(student.pack_full_sentences, docs, seq_len, 9)
        close(called.value, reference.pack_full_sentences(docs, seq_len, 9), what=f"the blocks for seq_len = {seq_len}")
        close(called.echo[0][0], docs, what="docs after the call")
