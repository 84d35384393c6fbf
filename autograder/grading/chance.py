"""Counts of random events, with a bound that holds exactly: nothing is approximated by a normal distribution."""

import math

from torch import Tensor

from autograder.grading.compare import Disagreement

FALSE_ALARM = 1e-9


def likely(count: int, n: int, p: float, what: str, false_alarm: float = FALSE_ALARM) -> None:
    """`count` successes in n independent trials of probability p are possible. Raises Disagreement otherwise.

    By Chernoff's inequality the number X of successes is beyond k, on one side of n·p, with probability
    exp(-n KL(k/n ‖ p)) at most, so a right answer fails with probability `false_alarm` at most. Near n·p the bound is
    about 6.5 standard deviations for 1e-9; where n·p is small it is wider, as it must be. With p = 0 or 1 the count has
    to be exact.

    Args:
        what: the sentence's subject, such as "the number of chosen tokens".
    """
    if n and divergence(count / n, p) * n > math.log(2 / false_alarm):
        raise Disagreement(f"{what} is {count} of {n} ({count / n:.1%}), expected about {p:.1%}")


def each_by_itself(dropped: Tensor, p: float, what: str) -> None:
    """Each of (B, T, D) numbers is dropped independently of the others with probability p. Raises Disagreement.

    By three kinds of pairs: of two examples, of two tokens, of one token. Where all numbers of an example, a token or
    a feature share one draw, the pairs of one kind are all alike.

    Args:
        dropped: (B, T, D), bool.
        what: what was dropped, in the plural.
    """
    likely(int(dropped.sum()), dropped.numel(), p, f"the number of {what} that were dropped")
    for axis, name in enumerate(("of two examples", "of two tokens", "of one token")):
        half = dropped.shape[axis] // 2  # each number of the first half beside its counterpart in the second
        alike = dropped.narrow(axis, 0, half) == dropped.narrow(axis, half, half)
        pairs = f"the number of pairs of {what}, {name}, that are both dropped or both kept"
        likely(int(alike.sum()), alike.numel(), p * p + (1 - p) ** 2, pairs)


def divergence(share: float, p: float) -> float:
    """KL(share ‖ p), the Kullback-Leibler divergence of two coins in nats; infinite where p excludes the share."""
    total = 0.0
    for observed, expected in ((share, p), (1 - share, 1 - p)):
        if observed > 0:
            if expected <= 0:
                return math.inf
            total += observed * math.log(observed / expected)
    return total
