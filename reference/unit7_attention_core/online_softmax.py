"""Reference of the page `online_softmax`: the whole row at once, and a merge by way of exact logsumexps."""

from collections.abc import Iterable

import numpy as np


def online_softmax(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All blocks side by side, then the definition, one row at a time."""
    x = np.concatenate(list(blocks), axis=-1)
    m, l = np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], x.dtype)
    for index in np.ndindex(*x.shape[:-1]):
        finite = [value for value in x[index] if value > -np.inf]
        m[index] = max(finite, default=-np.inf)
        l[index] = sum(np.exp(np.array([value - m[index] for value in finite], x.dtype)), start=x.dtype.type(0))
    return m, l


def merge(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """l e^m of each piece, added as np.logaddexp adds logarithms."""
    with np.errstate(divide="ignore"):
        together = np.logaddexp(a[0] + np.log(a[1]), b[0] + np.log(b[1]))
    m = np.where(a[0] > b[0], a[0], b[0])
    empty = m == -np.inf
    return m, np.where(empty, 0, np.exp(np.where(empty, 0, together) - np.where(empty, 0, m))).astype(a[1].dtype)
