"""Hidden grader of the page `attention_patterns`."""

import math

import numpy as np
import pytest

from autograder.grading import close
from autograder.grading.compare import Disagreement, describe


def same(student, reference, *args, **kwargs):
    """Both give the same. Returns it. (A changed argument costs the one test that is about it, not all of them.)"""
    answer = student(*args, **kwargs)
    close(answer, reference(*args, **kwargs))
    return answer


def left_alone(student, function, w):
    """`function` gives some answer, and w is as it was."""
    called = student.call(function, w)
    if not isinstance(called.value, np.ndarray | str):
        raise Disagreement(f"the answer is {describe(called.value)}, expected an array or a name")
    close(called.echo[0][0], w, rtol=0.0, atol=0.0, what="the caller's array")


# ---------------------------------------------------------------- attention_pattern_metrics

attention_pattern_metrics = pytest.mark.exercise("attention_pattern_metrics")


def attention(draw, *shape, dtype=np.float64, zeros=False):
    """Random weights (..., Tq, Tk) that no row sum, mean or largest entry gives away; `zeros` puts some to 0."""
    w = np.exp(draw.array(*shape))
    if zeros:
        w *= draw.mask(*shape).numpy()
    return (w / w.sum(axis=-1, keepdims=True)).astype(dtype)


@attention_pattern_metrics
@pytest.mark.weight(2)
def test_entropy_in_nats(student, reference, draw):
    """The entropy is in nats, one number per query: the sum runs over the keys. A uniform row gives ln Tk."""
    same(student.attention_entropy, reference.attention_entropy, attention(draw, 5, 7))
    close(student.attention_entropy(np.full((3, 7), 1 / 7)), np.full(3, math.log(7)))


@attention_pattern_metrics
@pytest.mark.weight(2)
def test_entropy_of_zeros(student, reference, draw):
    """A weight of 0 counts 0: a one-hot row and a row of zeros have entropy 0, and there is no NaN."""
    w = attention(draw, 5, 7, zeros=True)
    w[1] = np.eye(7)[3]
    w[4] = 0.0
    same(student.attention_entropy, reference.attention_entropy, w)


@attention_pattern_metrics
@pytest.mark.weight(2)
def test_distance(student, reference, draw):
    """The distance |i - j| has no sign: looking back and looking ahead both count. One number per query."""
    same(student.mean_distance, reference.mean_distance, attention(draw, 7, 7))
    ahead = np.eye(5, k=2) + np.eye(5, k=-3)
    same(student.mean_distance, reference.mean_distance, ahead)


@attention_pattern_metrics
def test_distance_between_other_lengths(student, reference, draw):
    """Query i stands at position i and key j at j also where Tq ≠ Tk; rows are not divided by their sum."""
    same(student.mean_distance, reference.mean_distance, attention(draw, 3, 7))
    w = attention(draw, 7, 5, zeros=True)
    w[2], w[5] = 0.0, 0.25 * w[5]
    same(student.mean_distance, reference.mean_distance, w)


@attention_pattern_metrics
def test_leading_axes(student, reference, draw):
    """Any number of leading axes stays, and each slice is treated alone."""
    for lead in ((3,), (2, 3), (2, 1, 3)):
        w = attention(draw, *lead, 5, 7)
        same(student.attention_entropy, reference.attention_entropy, w)
        same(student.mean_distance, reference.mean_distance, w)


@attention_pattern_metrics
def test_metrics_keep_float32(student, reference, draw):
    """float32 weights give float32 numbers."""
    w = attention(draw, 2, 5, 5, dtype=np.float32)
    same(student.attention_entropy, reference.attention_entropy, w)
    same(student.mean_distance, reference.mean_distance, w)


def pattern(name, T):
    """The clear case of a pattern (T, T). Row 0 has no previous token and looks at itself."""
    if name == "previous":
        return np.eye(T, k=-1) + np.eye(T)[:1].T @ np.eye(T)[:1]
    if name == "first":
        return np.eye(T)[np.zeros(T, dtype=int)]
    return np.eye(T) if name == "self" else np.full((T, T), 1 / T)


def causal_uniform(T):
    return np.tri(T) / np.arange(1, T + 1)[:, None]


def classified(student, *cases):
    """All names are right. All are asked for before any is looked at, so that each way to be wrong shows."""
    answers = [student.classify_head(w) for w, _ in cases]
    for answer, (_, name) in zip(answers, cases, strict=True):
        close(answer, name, what=f"the name of a head that is {name!r}")


@attention_pattern_metrics
@pytest.mark.weight(2)
def test_clear_patterns(student, draw):
    """Heads that look at the previous token, at themselves, at the first one or at the mirrored one get their names."""
    names = [(name, T) for name in ("previous", "self", "first") for T in (4, 7)]
    cases = [(0.7 * pattern(name, T) + 0.3 * attention(draw, T, T), name) for name, T in names]
    classified(student, *cases, (np.eye(7)[::-1].copy(), "other"))


@attention_pattern_metrics
@pytest.mark.weight(2)
def test_uniform_heads(student, draw):
    """A head that looks at everything (so far) equally is uniform, whichever of its weights is the largest."""
    full, causal = (0.95 * head + 0.05 * attention(draw, 7, 7) for head in (pattern("uniform", 7), causal_uniform(7)))
    exact = [(pattern("uniform", 7), "uniform"), (causal_uniform(7), "uniform")]
    classified(student, *exact, (full, "uniform"), (causal, "uniform"), (np.eye(7)[::-1].copy(), "other"))


@attention_pattern_metrics
def test_means_over_rows_from_two(student):
    """Only the rows from 2 on count, and it is the mean over them that does, not each single row."""
    late = np.full((5, 5), 0.2)  # previous in the first two rows and one of three others
    late[[1, 3], :] = np.eye(5)[[0, 2]]
    mean = np.full((5, 5), 0.2)  # 1, 0.2, 1 on the diagonal of the three rows that count
    mean[[2, 4]] = np.eye(5)[[2, 4]]
    early = np.eye(4, k=-1)  # not uniform before row 2
    early[0, 3] = 1.0
    early[2:] = 0.25
    one_row = np.full((10, 10), 0.1)  # one of the eight rows that count is far from uniform, their mean is not
    one_row[5] = 0.05
    one_row[5, 7] = 0.55
    classified(student, (late, "other"), (mean, "self"), (early, "uniform"), (one_row, "uniform"))


@attention_pattern_metrics
def test_thresholds(student):
    """Half of the attention makes a name, and a tenth of it may be elsewhere in a uniform head."""
    cases = []
    for share, sure in ((0.52, True), (0.48, False)):
        for name in ("previous", "self", "first"):
            rest = np.ones((5, 5)) - pattern(name, 5)
            w = share * pattern(name, 5) + (1 - share) * rest / rest.sum(axis=-1, keepdims=True)
            cases.append((w, name if sure else "other"))
    shift = np.eye(10)[::-1] - np.full((10, 10), 0.1)  # at a total variation distance of 0.9 from uniform
    cases += [(np.full((10, 10), 0.1) + 0.1 * shift, "uniform"), (np.full((10, 10), 0.1) + 0.13 * shift, "other")]
    classified(student, *cases)


@attention_pattern_metrics
def test_ties(student):
    """Where two of the first three means are exactly 0.5, the order previous, self, first decides."""
    T = 6
    tie = [(0.5 * pattern(a, T) + 0.5 * pattern(b, T), a) for a, b in (("previous", "self"), ("self", "first"))]
    classified(student, *tie, (0.5 * pattern("first", T) + 0.5 * pattern("previous", T), "previous"))


@attention_pattern_metrics
def test_mixed_heads(student, reference, draw):
    """Heads between the clear cases get the first name whose condition holds."""
    kinds = [pattern(name, 7) for name in ("previous", "self", "first", "uniform")] + [causal_uniform(7)]
    for a, b, share in ((a, b, share) for a in kinds for b in kinds if a is not b for share in (0.3, 0.6, 0.9, 0.97)):
        w = 0.97 * (share * a + (1 - share) * b) + 0.03 * attention(draw, 7, 7)
        if _near_a_threshold(w):
            continue
        same(student.classify_head, reference.classify_head, w)


def _near_a_threshold(w):
    """Whether rounding could decide about the name."""
    T = len(w)
    i = np.arange(2, T)
    shares = [w[i, key].mean() - 0.5 for key in (i - 1, i, 0 * i)]
    far = [np.abs(w - u)[2:].sum(axis=-1).mean() / 2 - 0.1 for u in (pattern("uniform", T), causal_uniform(T))]
    return min(map(abs, [*shares, *far])) < 1e-3


@attention_pattern_metrics
def test_weights_are_left_alone_by_metrics(student, draw):
    """The three functions leave w as it was."""
    left_alone(student, student.attention_entropy, attention(draw, 5, 5, zeros=True))
    left_alone(student, student.mean_distance, attention(draw, 5, 5, zeros=True))
    left_alone(student, student.classify_head, attention(draw, 5, 5, zeros=True))


# ---------------------------------------------------------------- attention_rollout

attention_rollout = pytest.mark.exercise("attention_rollout")


@attention_rollout
def test_residual_connection(student, reference, draw):
    """One layer with one head: r of each token stays where it is, and 1 - r follows the weights."""
    w = attention(draw, 1, 1, 1, 5, 5)
    same(student.rollout, reference.rollout, w)
    for residual in (0.2, 0.0, 1.0):
        same(student.rollout, reference.rollout, w, residual=residual)


@attention_rollout
@pytest.mark.weight(2)
def test_heads_and_examples(student, reference, draw):
    """The heads are averaged, examples stay apart: (L, B, H, T, T) gives (B, T, T)."""
    same(student.rollout, reference.rollout, attention(draw, 1, 2, 3, 5, 5))
    same(student.rollout, reference.rollout, attention(draw, 1, 3, 2, 5, 5), residual=0.0)


@attention_rollout
@pytest.mark.weight(3)
def test_order_of_layers(student, reference, draw):
    """Later layers stand on the left of the product."""
    same(student.rollout, reference.rollout, attention(draw, 2, 1, 1, 5, 5))
    same(student.rollout, reference.rollout, attention(draw, 4, 2, 3, 7, 7), residual=0.3)


@attention_rollout
@pytest.mark.weight(2)
def test_rows_are_normalised(student, reference, draw):
    """Each row is divided by its sum after the residual was mixed in: a masked query, a row of zeros, passes itself on.

    Rows with other sums, as after dropout, too.
    """
    w = attention(draw, 1, 2, 3, 5, 5) * (0.5 + np.abs(draw.array(1, 2, 3, 5, 1)))
    w[:, :, :, 3] = 0.0
    same(student.rollout, reference.rollout, w)
    w = np.concatenate([w, attention(draw, 1, 2, 3, 5, 5) * 1.5])
    same(student.rollout, reference.rollout, w, residual=0.3)


@attention_rollout
def test_empty_rows_without_residual(student, reference, draw):
    """With residual = 0 a row of zeros stays zero, and there is no NaN."""
    w = attention(draw, 3, 2, 3, 5, 5)
    w[1, :, :, 2] = 0.0
    w[2, 0, :, 4] = 0.0
    same(student.rollout, reference.rollout, w, residual=0.0)


@attention_rollout
def test_identity_and_causality(student, reference, draw):
    """Heads that look at themselves only give the identity, and causal heads give a causal rollout, exactly."""
    causal = attention(draw, 3, 1, 2, 5, 5) * np.tri(5)
    causal /= causal.sum(axis=-1, keepdims=True)
    w = np.concatenate([np.broadcast_to(np.eye(5), causal.shape), causal], axis=1)
    result = same(student.rollout, reference.rollout, w)
    close(result[0], np.eye(5), what="the rollout of heads that look at themselves")
    close(np.triu(result[1], k=1), np.zeros((5, 5)), rtol=0.0, atol=0.0, what="the upper triangle")


@attention_rollout
def test_rollout_keeps_float32(student, reference, draw):
    """float32 weights give a float32 rollout."""
    same(student.rollout, reference.rollout, attention(draw, 3, 2, 2, 5, 5, dtype=np.float32))
    same(student.rollout, reference.rollout, attention(draw, 1, 2, 2, 5, 5, dtype=np.float32), residual=0.2)


@attention_rollout
def test_weights_are_left_alone_by_rollout(student, draw):
    """rollout leaves weights as they were."""
    left_alone(student, student.rollout, attention(draw, 2, 1, 2, 5, 5))
