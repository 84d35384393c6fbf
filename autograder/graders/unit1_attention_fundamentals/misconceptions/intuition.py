"""Known wrong answers to the page `intuition`."""

import numpy as np

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- rnn_encoder_last_state


@misconception("rnn_encoder_last_state", symbol="rnn_encode")
def last_is_padding(x, lengths, W_ih, W_hh, b):
    """The lengths are not used: every sentence is read to step T-1, and the state there is called the last one.

    A short sentence has then read padding for a while, and its last state depends on what the padding holds. After
    which step has sentence i read its last real word?
    """
    everywhere = np.full(len(lengths), x.shape[1])
    return correct.rnn_encode(x, everywhere, W_ih, W_hh, b)


@misconception("rnn_encoder_last_state", symbol="rnn_encode")
def state_runs_on_pad(x, lengths, W_ih, W_hh, b):
    """`last` is right, but in `states` the network goes on reading after the end of the sentence.

    The states of padding steps are not states of the sentence. Whoever attends to them later would attend to padding;
    the docstring asks for exact zeros there.
    """
    everywhere = np.full(len(lengths), x.shape[1])
    return correct.rnn_encode(x, everywhere, W_ih, W_hh, b)[0], correct.rnn_encode(x, lengths, W_ih, W_hh, b)[1]


@misconception("rnn_encoder_last_state", symbol="rnn_encode")
def no_tanh(x, lengths, W_ih, W_hh, b):
    """The tanh is missing, so the network is linear.

    A linear recurrence can only add up its inputs, each multiplied by a power of W_hh, and its states grow without
    bound when W_hh does. Compare with the example of the page: the first state is tanh(1), not 1.
    """
    states = np.zeros((*x.shape[:2], len(b)), dtype=x.dtype)
    last = np.zeros((len(x), len(b)), dtype=x.dtype)
    for t in range(x.shape[1]):
        real = (t < lengths)[:, None]
        last = np.where(real, x[:, t] @ W_ih.T + last @ W_hh.T + b, last)
        states[:, t] = np.where(real, last, 0)
    return states, last


@misconception("rnn_encoder_last_state", symbol="rnn_encode")
def time_batch_swapped(x, lengths, W_ih, W_hh, b):
    """The loop runs over the first axis, which is the batch, not time.

    The state is then carried from one sentence to the next, and within a sentence nothing is remembered. x is
    (B, T, D): step t of all sentences is x[:, t].
    """
    B, T, _ = x.shape
    states = np.zeros((B, T, len(b)), dtype=x.dtype)
    h = np.zeros((T, len(b)), dtype=x.dtype)
    for n in range(B):
        h = np.tanh(x[n] @ W_ih.T + h @ W_hh.T + b)
        states[n] = np.where((np.arange(T) < lengths[n])[:, None], h, 0)
    return states, states[np.arange(B), lengths - 1]


@misconception("rnn_encoder_last_state", symbol="rnn_encode")
def bias_left_out(x, lengths, W_ih, W_hh, b):
    """The bias b is missing from the sum in the tanh. (In the page's example it is 0, and nobody sees it.)"""
    return correct.rnn_encode(x, lengths, W_ih, W_hh, 0 * b)


@misconception("rnn_encoder_last_state", symbol="rnn_encode")
def w_hh_not_transposed(x, lengths, W_ih, W_hh, b):
    """W_hh was not transposed. It is stored (out, in) like W_ih, so with states in rows the product is h @ W_hh.T.

    It is square, and therefore the wrong product runs.
    """
    return correct.rnn_encode(x, lengths, W_ih, W_hh.T, b)


@misconception("rnn_encoder_last_state", symbol="rnn_encode")
def last_column_of_states(x, lengths, W_ih, W_hh, b):
    """`states` is right, but `last` is its last column, which is 0 for every sentence that is shorter than T.

    The last real word of sentence i stands at step lengths[i] - 1.
    """
    states, _ = correct.rnn_encode(x, lengths, W_ih, W_hh, b)
    return states, states[:, -1]


# ---------------------------------------------------------------- luong_scores


@misconception("luong_scores", symbol="luong_scores")
def general_w_transposed(q, k, W=None, v=None, mode="dot"):
    """In "general" the axes of W are swapped: this computes kᵀWq, where qᵀWk is asked for.

    The first axis of W, of length Dq, belongs to the query. With a square W the mistake raises no error, so try it with
    queries and keys of different widths, or with a W that is not symmetric, as in the page's example.
    """
    return correct.luong_scores(q, k, W=W.T if mode == "general" else W, v=v, mode=mode)


@misconception("luong_scores", symbol="luong_scores")
def scaled(q, k, W=None, v=None, mode="dot"):
    """The scores are divided by the square root of the width.

    That is scaled dot-product attention, two pages ahead. Luong's scores carry no scale, and the docstring says so.
    """
    return correct.luong_scores(q, k, W=W, v=v, mode=mode) / np.sqrt(q.dtype.type(q.shape[-1]))


@misconception("luong_scores", symbol="luong_scores")
def tq_tk_swapped(q, k, W=None, v=None, mode="dot"):
    """The result is (B, Tk, Tq): keys along the rows, queries along the columns.

    The convention of the whole course is (B, Tq, Tk), so that a softmax over the last axis lets each query share its
    attention among the keys.
    """
    return np.swapaxes(correct.luong_scores(q, k, W=W, v=v, mode=mode), 1, 2)


@misconception("luong_scores", symbol="luong_scores")
def concat_order(q, k, W=None, v=None, mode="dot"):
    """In "concat" the key was put before the query.

    W multiplies [q; k]: its first Dq columns belong to the query. With queries and keys of one width the wrong order
    raises no error.
    """
    if mode == "concat":
        W = np.concatenate([W[:, k.shape[-1] :], W[:, : k.shape[-1]]], axis=1)
    return correct.luong_scores(q, k, W=W, v=v, mode=mode)


@misconception("luong_scores", symbol="luong_scores")
def concat_without_tanh(q, k, W=None, v=None, mode="dot"):
    """In "concat" the tanh is missing, so that the small network is linear and the query the same for every key."""
    if mode != "concat":
        return correct.luong_scores(q, k, W=W, v=v, mode=mode)
    width = q.shape[-1]
    return ((q @ W[:, :width].T)[:, :, None] + (k @ W[:, width:].T)[:, None]) @ v


@misconception("luong_scores", symbol="luong_scores")
def concat_tanh_last(q, k, W=None, v=None, mode="dot"):
    """In "concat" the tanh was taken of the finished score. Each of the A hidden numbers has its own, inside."""
    if mode != "concat":
        return correct.luong_scores(q, k, W=W, v=v, mode=mode)
    return np.tanh(concat_without_tanh(q, k, W=W, v=v, mode=mode))


# ---------------------------------------------------------------- additive_attention


@misconception("additive_attention", symbol="additive_scores")
def tanh_missing(q, k, Wq, Wk, b, v):
    """The tanh is missing, so the scores are linear in the query.

    The part that comes from the query is then the same for every key, and a softmax over the keys cancels it: the
    query would have no influence on where the attention goes.
    """
    return ((q @ Wq.T)[:, :, None] + (k @ Wk.T)[:, None] + b) @ v


@misconception("additive_attention", symbol="additive_scores")
def tanh_after_v(q, k, Wq, Wk, b, v):
    """The tanh was taken of the finished score: tanh(vᵀ(...)), where vᵀ tanh(...) is asked for.

    Each of the A hidden units has its own tanh; v sums them up afterwards. Outside, a single tanh squeezes every score
    between -1 and 1, while the scores should reach up to Σ|v|.
    """
    return np.tanh(((q @ Wq.T)[:, :, None] + (k @ Wk.T)[:, None] + b) @ v)


@misconception("additive_attention", symbol="additive_scores")
def shared_projection(q, k, Wq, Wk, b, v):
    """The keys were projected with Wq, the matrix of the queries.

    Wk is then not used at all. With keys of another width than the queries this raises an error; with equal widths it
    runs.
    """
    return correct.additive_scores(q, k, Wq, Wq, b, v)


@misconception("additive_attention", symbol="additive_scores")
def no_broadcast_pair(q, k, Wq, Wk, b, v):
    """Query t was added to key t: one score per position, where one per pair is asked for.

    The result has no separate axis for the keys, or every query gets the same row. Which shapes do the two projections
    need, so that their sum holds all Tq · Tk pairs?
    """
    if q.shape[1] != k.shape[1]:
        raise ValueError("operands could not be broadcast together")
    return np.tanh(q @ Wq.T + k @ Wk.T + b) @ v


@misconception("additive_attention", symbol="additive_scores")
def softmax_inside(q, k, Wq, Wk, b, v):
    """The result is a softmax of the scores: attention weights that sum to 1.

    The function is to return the scores themselves. They become weights on the next page, where masks come in between.
    """
    scores = correct.additive_scores(q, k, Wq, Wk, b, v)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@misconception("additive_attention", symbol="additive_scores")
def bias_left_out_of_the_sum(q, k, Wq, Wk, b, v):
    """The bias b is missing. (With b = 0, as in the first example of the page, nobody sees it.)"""
    return correct.additive_scores(q, k, Wq, Wk, 0 * b, v)


@misconception("additive_attention", symbol="additive_scores")
def bias_twice(q, k, Wq, Wk, b, v):
    """The bias was added with the query and once more with the key. It is in the sum once."""
    return correct.additive_scores(q, k, Wq, Wk, 2 * b, v)
