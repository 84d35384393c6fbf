"""Reference of the page `numerics`: one slice at a time, in Python's own float64."""

import math
from collections.abc import Callable

import numpy as np


def _per_slice(
    function: Callable[[list[float]], list[float]], x: np.ndarray, axis: int, length: int | None = None
) -> np.ndarray:
    """`function` on every slice along `axis`, the results (of `length`, if it changes) put where the slices were."""
    moved = np.moveaxis(x, axis, -1)
    result = [function(moved[index].tolist()) for index in np.ndindex(moved.shape[:-1])]
    length = moved.shape[-1] if length is None else length
    return np.moveaxis(np.array(result, dtype=x.dtype).reshape(*moved.shape[:-1], length), -1, axis)


def _softmax(row: list[float]) -> list[float]:
    largest = max(row)
    total = math.fsum(math.exp(value - largest) for value in row)
    return [math.exp(value - largest) / total for value in row]


def _logsumexp(row: list[float]) -> float:
    largest = max(row)
    if largest == -math.inf:
        return -math.inf
    return largest + math.log(math.fsum(math.exp(value - largest) for value in row))


def _log_softmax(row: list[float]) -> list[float]:
    largest = max(row)
    log_total = math.log(math.fsum(math.exp(value - largest) for value in row))
    return [(value - largest) - log_total for value in row]


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return _per_slice(_softmax, x, axis)


def logsumexp(x: np.ndarray, axis: int = -1, keepdims: bool = False) -> np.ndarray:
    result = _per_slice(lambda row: [_logsumexp(row)], x, axis, length=1)
    return result if keepdims else np.squeeze(result, axis)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return _per_slice(_log_softmax, x, axis)


def cross_entropy(
    logits: np.ndarray, targets: np.ndarray, ignore_index: int = -100, reduction: str = "mean"
) -> np.ndarray | float:
    losses = np.zeros(targets.shape, dtype=logits.dtype)
    counted = []
    for index in np.ndindex(targets.shape):
        if targets[index] != ignore_index:
            losses[index] = -_log_softmax(logits[index].tolist())[int(targets[index])]
            counted.append(float(losses[index]))
    if reduction == "none":
        return losses
    if reduction == "sum":
        return math.fsum(counted)
    if reduction == "mean":
        return math.fsum(counted) / len(counted) if counted else 0.0
    raise ValueError(reduction)


def cross_entropy_grad(logits: np.ndarray, targets: np.ndarray, ignore_index: int = -100) -> np.ndarray:
    gradient = np.zeros_like(logits)
    kept = [row for row, target in enumerate(targets) if target != ignore_index]
    for row in kept:
        for j, p in enumerate(_softmax(logits[row].tolist())):
            gradient[row, j] = (p - float(j == targets[row])) / len(kept)
    return gradient


def softmax_vjp(y: np.ndarray, dy: np.ndarray, axis: int = -1) -> np.ndarray:
    """Jᵀ dy with the whole Jacobian J of each slice."""
    rows, cotangents = np.moveaxis(y, axis, -1), np.moveaxis(dy, axis, -1)
    dx = np.zeros(rows.shape)
    for index in np.ndindex(rows.shape[:-1]):
        row = rows[index].astype(np.float64)
        jacobian = np.diag(row) - np.outer(row, row)
        dx[index] = jacobian.T @ cotangents[index]
    return np.moveaxis(dx, -1, axis).astype(y.dtype)
