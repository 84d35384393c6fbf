"""Public checks of the page `intuition`."""

import numpy as np
import pytest
import torch


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return 0.5 * np.random.default_rng(seed).standard_normal(shape)


def encoder(T: int = 5) -> list[np.ndarray]:
    """x (3, T, 2), and weights for states of width 7."""
    return [draw(3, T, 2, seed=1), draw(7, 2, seed=2), draw(7, 7, seed=3), draw(7, seed=4)]


@pytest.mark.exercise("rnn_encoder_last_state")
def test_worked_example(student):
    """The example of the page: states 0.7616, 0.3634 and 0; the last state is 0.3634."""
    one, half, zero = np.array([[1.0]]), np.array([[0.5]]), np.zeros(1)
    states, last = student.rnn_encode(np.array([[[1.0], [0.0], [9.0]]]), np.array([2]), one, half, zero)
    np.testing.assert_allclose(states[0, :, 0], [0.7616, 0.3634, 0.0], atol=1e-4)
    np.testing.assert_allclose(last, [[0.3634]], atol=1e-4)


@pytest.mark.exercise("rnn_encoder_last_state")
def test_agrees_with_torch(student):
    """Without padding the states are those of nn.RNN with the same weights."""
    x, W_ih, W_hh, b = encoder()
    rnn = torch.nn.RNN(2, 7, batch_first=True, dtype=torch.float64)
    names = {"weight_ih_l0": W_ih, "weight_hh_l0": W_hh, "bias_ih_l0": b, "bias_hh_l0": np.zeros(7)}
    rnn.load_state_dict({name: torch.from_numpy(value) for name, value in names.items()})
    states, last = student.rnn_encode(x, np.array([5, 5, 5]), W_ih, W_hh, b)
    assert states.shape == (3, 5, 7), f"states have shape {states.shape}, expected (3, 5, 7) = (B, T, Hd)"
    assert last.shape == (3, 7), f"last has shape {last.shape}, expected (3, 7) = (B, Hd)"
    expected = rnn(torch.from_numpy(x))[0].detach().numpy()
    np.testing.assert_allclose(states, expected, atol=1e-10)
    np.testing.assert_allclose(last, expected[:, -1], atol=1e-10)


@pytest.mark.exercise("rnn_encoder_last_state")
def test_padding_does_not_matter(student):
    """What stands in the padding changes nothing, and no padding at all gives the same."""
    x, W_ih, W_hh, b = encoder()
    lengths = np.array([2, 5, 3])
    junk = x.copy()
    junk[0, 2:] = 1e6
    junk[2, 3:] = -1e6
    states, last = student.rnn_encode(x, lengths, W_ih, W_hh, b)
    for a, e in zip(student.rnn_encode(junk, lengths, W_ih, W_hh, b), (states, last), strict=True):
        np.testing.assert_allclose(a, e, atol=1e-12)
    assert (states[0, 2:] == 0).all() and (states[2, 3:] == 0).all(), "a state after the end is not 0"
    short, _ = student.rnn_encode(x[:1, :2], lengths[:1], W_ih, W_hh, b)
    np.testing.assert_allclose(last[0], short[0, 1], atol=1e-12)


Q = np.array([[[1.0, 2.0]]])
K = np.array([[[3.0, 0.0], [0.0, 1.0]]])


@pytest.mark.exercise("luong_scores")
def test_luong_worked_example(student):
    """The example of the page, in all three modes."""
    np.testing.assert_allclose(student.luong_scores(Q, K), [[[3.0, 2.0]]])
    W = np.array([[0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(student.luong_scores(Q, K, W=W, mode="general"), [[[0.0, 1.0]]])
    W, v = np.array([[1.0, 0.0, 0.0, 1.0]]), np.array([2.0])
    scores = student.luong_scores(Q, K, W=W, v=v, mode="concat")
    np.testing.assert_allclose(scores, [[[1.5232, 1.9281]]], atol=1e-4)


@pytest.mark.exercise("luong_scores")
def test_luong_shapes(student):
    """The scores are (B, Tq, Tk), also where queries and keys differ in number and in width."""
    q, k = draw(2, 3, 4, seed=1), draw(2, 5, 7, seed=2)
    assert student.luong_scores(q, k, W=draw(4, 7), mode="general").shape == (2, 3, 5)
    assert student.luong_scores(q, k, W=draw(6, 11), v=draw(6), mode="concat").shape == (2, 3, 5)
    assert student.luong_scores(q, k[:, :, :4]).shape == (2, 3, 5)


@pytest.mark.exercise("luong_scores")
def test_luong_errors(student):
    """An unknown mode, and dot scores of queries and keys of different width, raise ValueError."""
    with pytest.raises(Exception, match="ValueError"):
        student.luong_scores(Q, K, mode="cosine")
    with pytest.raises(Exception, match="ValueError"):
        student.luong_scores(Q, draw(1, 3, 5))


@pytest.mark.exercise("additive_attention")
def test_additive_worked_example(student):
    """The example of the page, with a bias of 0 and of −1."""
    Wq, Wk, v = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([2.0])
    for bias, expected in ((0.0, [1.5232, 1.9281]), (-1.0, [0.0, 1.5232])):
        scores = student.additive_scores(Q, K, Wq, Wk, np.array([bias]), v)
        np.testing.assert_allclose(scores, [[expected]], atol=1e-4)


@pytest.mark.exercise("additive_attention")
def test_every_pair(student):
    """There is a score for every pair: (B, Tq, Tk), each the same as for that query and key alone."""
    q, k, Wq, Wk, b, v = draw(2, 3, 4), draw(2, 5, 7), draw(6, 4), draw(6, 7), draw(6), draw(6, seed=9)
    scores = student.additive_scores(q, k, Wq, Wk, b, v)
    assert scores.shape == (2, 3, 5), f"shape {scores.shape}, expected (2, 3, 5) = (B, Tq, Tk)"
    alone = student.additive_scores(q[1:, 2:], k[1:, 4:], Wq, Wk, b, v)
    np.testing.assert_allclose(alone, scores[1:, 2:, 4:], atol=1e-12)
