"""Hidden grader of the page `intuition`."""

import numpy as np
import pytest

from autograder.grading import close, raises
from autograder.grading.compare import Disagreement

# Values are compared without looking at the arguments: changing one costs the test that is about it, not all of them.


def unchanged(student, function, expected, *args, **kwargs):
    """The call left its arguments as they were, and its result is `expected`: an empty function leaves them, too."""
    answered = student.call(function, *args, **kwargs)
    close(answered.value, expected, what="the result")
    seen_args, seen_kwargs = answered.echo
    exact = {"tolerance": (0, 0), "what": "the caller's arguments"}
    close(list(seen_args), list(args), **exact)
    close(seen_kwargs, kwargs, **exact)


def like(answer, expected):
    """`answer` has the structure, shapes and dtypes of `expected`; its values are looked at afterwards."""
    close(answer, expected, rtol=0.0, atol=np.inf)
    return answer


# ---------------------------------------------------------------- rnn_encoder_last_state

rnn_encoder_last_state = pytest.mark.exercise("rnn_encoder_last_state")


def encoder(draw, batch=3, steps=7, width=5, hidden=11, dtype=np.float64):
    """x, W_ih, W_hh, b with states that are neither tiny nor saturated."""
    return (
        draw.array(batch, steps, width, dtype=dtype),
        draw.array(hidden, width, dtype=dtype, scale=0.4),
        draw.array(hidden, hidden, dtype=dtype, scale=0.25),
        draw.array(hidden, dtype=dtype, scale=0.5),
    )


def ragged(draw, *lengths):
    return np.array(lengths)[draw.permutation(len(lengths)).numpy()]


@rnn_encoder_last_state
@pytest.mark.weight(3)
def test_recurrence(student, reference, draw):
    """Without padding the states follow h_t = tanh(W_ih x_t + W_hh h_{t-1} + b); the last one is that of step T-1."""
    x, *weights = encoder(draw)
    lengths = np.full(3, 7)
    close(student.rnn_encode(x, lengths, *weights), reference.rnn_encode(x, lengths, *weights))


@rnn_encoder_last_state
@pytest.mark.weight(3)
def test_last_real_word(student, reference, draw):
    """`last` is the state after each sentence's last real word, not after step T-1."""
    x, *weights = encoder(draw, batch=5)
    lengths = ragged(draw, 2, 7, 4, 1, 6)
    expected = reference.rnn_encode(x, lengths, *weights)
    _, last = like(student.rnn_encode(x, lengths, *weights), expected)
    close(last, expected[1], what="last")


@rnn_encoder_last_state
@pytest.mark.weight(2)
def test_states_end_with_the_sentence(student, reference, draw):
    """`states` is exactly 0 from step lengths[i] on, and the states before are those of the words."""
    x, *weights = encoder(draw)
    lengths = ragged(draw, 3, 7, 1)
    expected = reference.rnn_encode(x, lengths, *weights)
    states, _ = like(student.rnn_encode(x, lengths, *weights), expected)
    close(states, expected[0], what="states")
    over = np.arange(7) >= lengths[:, None]
    close(states[over], np.zeros((over.sum(), 11)), tolerance=(0, 0), what="the states after the end")


@rnn_encoder_last_state
@pytest.mark.weight(2)
def test_padding_leaves_no_trace(student, reference, draw):
    """What the padding holds, be it 1e30, changes neither the states nor the last one."""
    x, *weights = encoder(draw)
    lengths = ragged(draw, 2, 5, 6)
    expected = reference.rnn_encode(x, lengths, *weights)
    x[np.arange(7) >= lengths[:, None]] = draw.choice([1e30, -1e30])
    close(student.rnn_encode(x, lengths, *weights), expected)


@rnn_encoder_last_state
def test_one_word_and_one_sentence(student, reference, draw):
    """Sentences of one word, batches of one sentence, and T = 1 are ordinary cases."""
    x, *weights = encoder(draw)
    for words, lengths in ((x, [1, 1, 1]), (x[:1], [4]), (x[:, :1], [1, 1, 1])):
        answer = student.rnn_encode(words, np.array(lengths), *weights)
        close(answer, reference.rnn_encode(words, np.array(lengths), *weights))


@rnn_encoder_last_state
def test_encoder_float32_and_views(student, reference, draw):
    """float32 comes back as float32, and arrays that are not contiguous work."""
    x, *weights = encoder(draw, dtype=np.float32)
    lengths = ragged(draw, 2, 7, 4)
    close(student.rnn_encode(x, lengths, *weights), reference.rnn_encode(x, lengths, *weights))
    x, W_ih, W_hh, b = encoder(draw)
    view = np.swapaxes(np.ascontiguousarray(np.swapaxes(x, 0, 1)), 0, 1)
    close(student.rnn_encode(view, lengths, W_ih, W_hh.T, b), reference.rnn_encode(view, lengths, W_ih, W_hh.T, b))


@rnn_encoder_last_state
def test_figure(student):
    """The picture's numbers: one per position, and the last word moves the last state more than the first one does."""
    if not student.has("figure_data"):
        return
    moved = student.figure_data()
    like(moved, np.zeros(20))
    if not (moved >= 0).all() or moved[-1] < 10 * moved[0] or moved[-1] < moved[-4]:
        raise Disagreement("the influence of a word does not fade with the words after it")


@rnn_encoder_last_state
def test_encoder_leaves_its_arguments_alone(student, reference, draw):
    """x, lengths and the weights are as they were after the call, padding included."""
    x, *weights = encoder(draw)
    lengths = ragged(draw, 2, 7, 4)
    unchanged(student, student.rnn_encode, reference.rnn_encode(x, lengths, *weights), x, lengths, *weights)


# ---------------------------------------------------------------- luong_scores

luong_scores = pytest.mark.exercise("luong_scores")


def luong_cases(draw, dtype=np.float64, batch=3, q_len=5, kv_len=7):
    """(q, k, options) for the three modes; general and concat with keys of another width than the queries."""
    q = draw.array(batch, q_len, 11, dtype=dtype)
    wide, narrow = draw.array(batch, kv_len, 11, dtype=dtype), draw.array(batch, kv_len, 2, dtype=dtype)
    W, both = draw.array(11, 2, dtype=dtype), draw.array(13, 11 + 2, dtype=dtype, scale=0.3)
    return [
        (q, wide, {}),
        (q, narrow, {"W": W, "mode": "general"}),
        (q, narrow, {"W": both, "v": draw.array(13, dtype=dtype), "mode": "concat"}),
    ]


@luong_scores
@pytest.mark.weight(2)
def test_dot(student, reference, draw):
    """Dot scores are qᵀk for every pair, (B, Tq, Tk), without a scale; "dot" is the default."""
    q, k, _ = luong_cases(draw)[0]
    close(student.luong_scores(q, k), reference.luong_scores(q, k))
    close(student.luong_scores(q, k, mode="dot"), reference.luong_scores(q, k))


@luong_scores
@pytest.mark.weight(2)
def test_general_of_equal_widths(student, reference, draw):
    """General scores are qᵀWk, the first axis of W the query's, also where a square W hides a swap."""
    q, k, W = draw.array(3, 5, 7), draw.array(3, 2, 7), draw.array(7, 7)
    close(student.luong_scores(q, k, W=W, mode="general"), reference.luong_scores(q, k, W=W, mode="general"))


@luong_scores
@pytest.mark.weight(2)
def test_general(student, reference, draw):
    """General scores work for queries and keys of different widths."""
    q, k, options = luong_cases(draw)[1]
    close(student.luong_scores(q, k, **options), reference.luong_scores(q, k, **options))


@luong_scores
@pytest.mark.weight(2)
def test_concat(student, reference, draw):
    """Concat scores are vᵀ tanh(W[q; k]), the query first, for widths that are equal and for others."""
    q, k, W, v = draw.array(3, 5, 7), draw.array(3, 2, 7), draw.array(11, 14, scale=0.3), draw.array(11)
    expected = reference.luong_scores(q, k, W=W, v=v, mode="concat")
    close(student.luong_scores(q, k, W=W, v=v, mode="concat"), expected)
    q, k, options = luong_cases(draw)[2]
    close(student.luong_scores(q, k, **options), reference.luong_scores(q, k, **options))


@luong_scores
def test_bilinear(student, reference, draw):
    """Dot and general scores are linear in the queries and in the keys."""
    form = np.zeros((3, 5, 7))
    for q, k, options in luong_cases(draw)[:2]:
        more_q, more_k = draw.array(*q.shape), draw.array(*k.shape)
        score = student.luong_scores(q, k, **options)
        close(score, reference.luong_scores(q, k, **options), what="the scores")
        for a, b, both in ((more_q, k, (2 * q + more_q, k)), (q, more_k, (q, 2 * k + more_k))):
            expected = 2 * score + like(student.luong_scores(a, b, **options), form)
            close(student.luong_scores(*both, **options), expected)


@luong_scores
def test_scores_float32_and_single(student, reference, draw):
    """float32 comes back as float32; one example, one query or one key are ordinary cases."""
    for dtype, sizes in ((np.float32, (3, 5, 7)), (np.float64, (1, 1, 7)), (np.float64, (1, 5, 1))):
        for q, k, options in luong_cases(draw, dtype, *sizes):
            close(student.luong_scores(q, k, **options), reference.luong_scores(q, k, **options))


@luong_scores
def test_luong_errors(student, draw):
    """Dot scores of queries and keys of different width, and an unknown mode, raise ValueError."""
    q, k = draw.array(3, 5, 7), draw.array(3, 5, 11)
    raises(ValueError, student.luong_scores, q, k)
    raises(ValueError, student.luong_scores, q, k[..., :1])  # this one would broadcast
    raises(ValueError, student.luong_scores, q, q, mode="cosine")


@luong_scores
def test_scores_leave_their_arguments_alone(student, reference, draw):
    """q, k, W and v are as they were after the call."""
    q, k, v = draw.array(3, 5, 7), draw.array(3, 5, 7), draw.array(11)
    for options in (
        {},
        {"W": draw.array(7, 7), "mode": "general"},
        {"W": draw.array(11, 14), "v": v, "mode": "concat"},
    ):
        unchanged(student, student.luong_scores, reference.luong_scores(q, k, **options), q, k, **options)


# ---------------------------------------------------------------- additive_attention

additive_attention = pytest.mark.exercise("additive_attention")


def bahdanau(draw, batch=3, q_len=5, kv_len=7, width_q=11, width_k=2, hidden=13, dtype=np.float64):
    return (
        draw.array(batch, q_len, width_q, dtype=dtype),
        draw.array(batch, kv_len, width_k, dtype=dtype),
        draw.array(hidden, width_q, dtype=dtype, scale=0.3),
        draw.array(hidden, width_k, dtype=dtype, scale=0.6),
        draw.array(hidden, dtype=dtype, scale=0.5),
        draw.array(hidden, dtype=dtype),
    )


@additive_attention
@pytest.mark.weight(2)
def test_additive_square(student, reference, draw):
    """vᵀ tanh(Wq q + Wk k + b) for every pair, where queries and keys agree in number and in width."""
    args = bahdanau(draw, q_len=5, kv_len=5, width_q=7, width_k=7)
    close(student.additive_scores(*args), reference.additive_scores(*args))


@additive_attention
@pytest.mark.weight(3)
def test_additive(student, reference, draw):
    """vᵀ tanh(Wq q + Wk k + b) for queries and keys of different number and width."""
    args = bahdanau(draw)
    close(student.additive_scores(*args), reference.additive_scores(*args))


@additive_attention
@pytest.mark.weight(2)
def test_bounded(student, reference, draw):
    """No score exceeds Σ|v|, however large queries and keys are; very large ones reach it."""
    q, k, Wq, Wk, b, v = bahdanau(draw, width_k=11)
    q, k = 1e8 * q, 1e8 * k  # the bias does not count beside them
    scores = student.additive_scores(q, k, Wq, Wk, b, v)
    close(scores, reference.additive_scores(q, k, Wq, Wk, b, v))
    if np.abs(scores).max() > np.abs(v).sum() * (1 + 1e-12):
        raise Disagreement("a score is larger than Σ|v|")


@additive_attention
def test_keys_without_a_voice(student, reference, draw):
    """With Wk = 0 a query gives all keys one score, with Wq = 0 all queries score a key alike; b counts in both."""
    q, k, Wq, Wk, b, v = bahdanau(draw, width_k=11)
    for args in ((q, k, Wq, 0 * Wk, b, v), (q, k, 0 * Wq, Wk, b, v)):
        close(student.additive_scores(*args), reference.additive_scores(*args))


@additive_attention
def test_additive_float32_and_single(student, reference, draw):
    """float32 comes back as float32; one example, one query, one key, one hidden unit are ordinary cases."""
    small = [{"batch": 1}, {"q_len": 1}, {"kv_len": 1}, {"hidden": 1}]
    for options in ({"dtype": np.float32}, *small):
        args = bahdanau(draw, **options)
        close(student.additive_scores(*args), reference.additive_scores(*args))


@additive_attention
def test_additive_leaves_its_arguments_alone(student, reference, draw):
    """q, k and the weights are as they were after the call."""
    args = bahdanau(draw, q_len=5, kv_len=5, width_q=7, width_k=7)
    unchanged(student, student.additive_scores, reference.additive_scores(*args), *args)
