"""Known wrong answers to the page `online_softmax`."""

import numpy as np

from autograder.grading.misconceptions import misconception


def _summary(block):
    top = block.max(axis=-1, initial=-np.inf)
    shift = np.where(np.isneginf(top), 0, top).astype(block.dtype)
    return top, np.exp(block - shift[..., None]).sum(axis=-1)


def _finite(m):
    return np.where(np.isneginf(m), np.zeros_like(m), m)


def _both(a, b):
    (m_a, l_a), (m_b, l_b) = a, b
    m = np.maximum(m_a, m_b)
    return m, l_a * np.exp(m_a - _finite(m)) + l_b * np.exp(m_b - _finite(m))


def _rows(blocks):
    """The right answer."""
    so_far = None
    for block in blocks:
        so_far = _summary(block) if so_far is None else _both(so_far, _summary(block))
    return so_far


@misconception("online_softmax", symbol="online_softmax")
def no_rescale(blocks):
    """The sum of a new block is added to the old sum as it is, although the maximum has grown in between.

    The old terms were exp(x - m) with the old m. What is exp(x - m') in terms of exp(x - m)? Work the example of the
    page through: its second l should be 2, and without the factor it is 7/3.
    """
    m = l = None
    for block in blocks:
        top, total = _summary(block)
        if m is None:
            m, l = top, total
            continue
        new = np.maximum(m, top)
        l = l + total * np.exp(top - _finite(new))
        m = new
    return m, l


@misconception("online_softmax", symbol="online_softmax")
def rescale_wrong_direction(blocks):
    """The old sum is multiplied by exp(m' - m); when the maximum grows, that makes it larger instead of smaller.

    Every old term exp(x - m) has to become exp(x - m'), which is smaller, since m' is the larger maximum. So is the
    factor above 1 or below?
    """
    m = l = None
    for block in blocks:
        top, total = _summary(block)
        if m is None:
            m, l = top, total
            continue
        new = np.maximum(m, top)
        factor = np.where(np.isneginf(m), 0.0, np.exp(_finite(new) - _finite(m)))
        l = l * factor + total * np.exp(top - _finite(new))
        m = new
    return m, l.astype(m.dtype)


@misconception("online_softmax", symbol="online_softmax")
def inf_minus_inf_nan(blocks):
    """As long as a row has seen nothing but -inf, the shift computes -inf - (-inf), which is NaN, and it stays.

    Look at what m is after a first block of masked scores, and what exp(x - m) and exp(m - m') then are. Which shift
    would do in that case? And mind that in a batch of rows some have begun and others have not.
    """
    m = l = None
    for block in blocks:
        top = block.max(axis=-1, initial=-np.inf)
        if m is None:
            m, l = top, np.exp(block - top[..., None]).sum(axis=-1)
            continue
        new = np.maximum(m, top)
        l = l * np.exp(m - new) + np.exp(block - new[..., None]).sum(axis=-1)
        m = new
    return m, l


@misconception("online_softmax", symbol="merge", id="merge_nan")
def merge_nan(a, b):
    """The merge of two summaries of nothing is NaN: the common maximum is -inf, and -inf - (-inf) is no number.

    Both sums are 0 then, so by what they are scaled does not matter, as long as it is finite. Decide it row by row.
    """
    (m_a, l_a), (m_b, l_b) = a, b
    m = np.maximum(m_a, m_b)
    return m, l_a * np.exp(m_a - m) + l_b * np.exp(m_b - m)


@misconception("online_softmax", symbol="online_softmax")
def two_pass(blocks):
    """The blocks are gone through twice, first for the maximum and then for the sum. The second time they are gone.

    An iterator gives each item once; after that a `for` loop over it ends at once, without an error. Keep m *and* l
    while you go, and put l right whenever m changes.
    """
    m = None
    for block in blocks:
        top = block.max(axis=-1, initial=-np.inf)
        m = top if m is None else np.maximum(m, top)
    l = np.zeros_like(m)
    for block in blocks:
        l = l + np.exp(block - _finite(m)[..., None]).sum(axis=-1)
    return m, l


@misconception("online_softmax", symbol="online_softmax")
def whole_row_kept(blocks):
    """The blocks were collected, and the whole row was worked on at the end.

    The numbers are right, but the memory grows with the row, and to get rid of that is what this page is about. Two
    numbers per row are enough to know of all that has gone by.
    """
    blocks = list(blocks)
    x = np.concatenate(blocks, axis=-1)
    m = x.max(axis=-1, initial=-np.inf)
    return m, np.exp(x - _finite(m)[..., None]).sum(axis=-1)


@misconception("online_softmax", symbol="online_softmax")
def maximum_begins_at_0(blocks):
    """The running maximum began at 0, so that rows whose entries are all below 0 keep it.

    The maximum of nothing is −inf.
    """
    m, l = _rows(blocks)
    top = np.maximum(m, np.zeros_like(m))
    return top, l * np.exp(_finite(m) - top)


@misconception("online_softmax", symbol="online_softmax")
def nothing_subtracted(blocks):
    """l is Σ exp(x): the maximum was not subtracted, and large entries overflow. It is Σ exp(x − m)."""
    m, l = None, 0.0
    for block in blocks:
        top = block.max(axis=-1, initial=-np.inf)
        m = top if m is None else np.maximum(m, top)
        l = l + np.exp(block).sum(axis=-1)
    return m, l


@misconception("online_softmax", symbol="online_softmax")
def logsumexp_returned(blocks):
    """The first of the pair is the logsumexp, m + log(l). Asked for is m, the largest entry."""
    m, l = _rows(blocks)
    with np.errstate(divide="ignore"):
        return m + np.log(l), l


@misconception("online_softmax", symbol="online_softmax")
def one_maximum_for_all_rows(blocks):
    """One maximum was taken for all rows of a block. Each row has its own: reduce along the last axis alone."""
    m = l = None
    for block in blocks:
        top = np.full(block.shape[:-1], block.max(initial=-np.inf), block.dtype)
        total = np.exp(block - _finite(top)[..., None]).sum(axis=-1)
        m, l = (top, total) if m is None else _both((m, l), (top, total))
    return m, l


@misconception("online_softmax", symbol="online_softmax")
def blocks_overwritten(blocks):
    """The blocks were changed: the exponentials were written into them. Compute new arrays."""
    so_far = None
    for block in blocks:
        here = _summary(block)
        so_far = here if so_far is None else _both(so_far, here)
        np.exp(block - _finite(here[0])[..., None], out=block)
    return so_far


@misconception("online_softmax", symbol="merge", id="one_row_decides")
def one_row_decides(a, b):
    """As soon as *one* row has seen nothing, nothing is subtracted in any row.

    Which shift is right has to be decided for each row.
    """
    (m_a, l_a), (m_b, l_b) = a, b
    m = np.maximum(m_a, m_b)
    shift = np.zeros_like(m) if np.isneginf(m).any() else m
    return m, l_a * np.exp(m_a - shift) + l_b * np.exp(m_b - shift)


@misconception("online_softmax", symbol="merge", id="second_sum_as_it_is")
def second_sum_as_it_is(a, b):
    """The first sum is rescaled, and the second is added as it is.

    Where the *first* maximum is the larger one, it is the second sum that has to be scaled down.
    """
    (m_a, l_a), (m_b, l_b) = a, b
    m = np.maximum(m_a, m_b)
    return m, l_a * np.exp(m_a - _finite(m)) + l_b


@misconception("online_softmax", symbol="merge", id="factors_inverted")
def factors_inverted(a, b):
    """The sums are multiplied by exp(m' - m), which is never below 1; they are scaled *down*, by exp(m - m')."""
    (m_a, l_a), (m_b, l_b) = a, b
    m = np.maximum(m_a, m_b)
    return m, l_a * np.exp(_finite(m) - m_a) + l_b * np.exp(_finite(m) - m_b)


@misconception("online_softmax", symbol="merge", id="factors_exchanged")
def factors_exchanged(a, b):
    """Each sum was multiplied by the factor of the other piece."""
    (m_a, l_a), (m_b, l_b) = a, b
    m = np.maximum(m_a, m_b)
    return m, l_b * np.exp(m_a - _finite(m)) + l_a * np.exp(m_b - _finite(m))


@misconception("online_softmax", symbol="merge", id="sums_added")
def sums_added(a, b):
    """The two sums are added as they are, although each was shifted by its own maximum.

    Before they may be added, both have to be sums of exp(x - m) with one and the same m.
    """
    return np.maximum(a[0], b[0]), a[1] + b[1]


@misconception("online_softmax", symbol="merge", id="merged_in_place")
def merged_in_place(a, b):
    """The result is written into the arrays of the first argument: whoever still needs that summary finds another one.

    `out=`, `+=`, `*=` and `a[...] =` change the caller's array. Compute new ones.
    """
    (m_a, l_a), (m_b, l_b) = (tuple(map(np.asarray, pair)) for pair in (a, b))
    m = np.maximum(m_a, m_b)
    l_a[...] = l_a * np.exp(m_a - _finite(m)) + l_b * np.exp(m_b - _finite(m))
    m_a[...] = m
    return m_a, l_a
