"""Known wrong answers to the page `online_softmax`."""

import numpy as np

from autograder.grading.misconceptions import misconception


def _summary(block):
    top = block.max(axis=-1, initial=-np.inf)
    shift = np.where(np.isneginf(top), 0, top).astype(block.dtype)
    return top, np.exp(block - shift[..., None]).sum(axis=-1)


def _finite(m):
    return np.where(np.isneginf(m), np.zeros_like(m), m)


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
