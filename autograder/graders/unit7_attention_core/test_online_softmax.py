"""Hidden grader of the page `online_softmax`."""

import copy
import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from autograder.grading import agree, close
from autograder.grading.compare import Disagreement

online_softmax = pytest.mark.exercise("online_softmax")
TIGHT = (1e-12, 1e-13)
RISING = 4.0 * np.arange(11)  # added to a row: each block has a larger maximum than those before it
LEVELS = np.array([[5.0], [-5.0], [5.0], [-5.0], [5.0]])  # added to the second of two: either may have the larger one


def same(student, reference, x, cuts, tolerance=TIGHT):
    """The rows of x, cut at these places, give the reference's m and l. Returns them."""
    blocks = np.split(x, cuts, axis=-1)
    found = student.online_softmax(iter(blocks))
    close(found, reference.online_softmax(blocks), tolerance=tolerance, what="the pair (m, l)")
    return found


def cut(draw, n: int, pieces: int) -> list[int]:
    """Places at which n entries fall into that many pieces, of which the first is not empty, and others perhaps are."""
    return sorted(draw.integers(1, n + 1, pieces - 1).tolist())


@online_softmax
@pytest.mark.weight(2)
def test_one_block(student, reference, draw):
    """A row that comes in one block: m is its largest entry, l the sum of exp(x - m), for any leading axes."""
    for shape in ((7,), (3, 5), (2, 3, 11)):
        same(student, reference, draw.array(*shape), [])
    same(student, reference, draw.array(3, 5) - 7.0, [])


@online_softmax
@pytest.mark.weight(3)
def test_larger_later(student, reference, draw):
    """When a later block holds a larger entry, the sum so far is rescaled to the new maximum."""
    x = draw.array(3, 13) + np.linspace(0.0, 9.0, 13)
    same(student, reference, x, [5])
    same(student, reference, x, [2, 3, 7, 11])


@online_softmax
@pytest.mark.weight(2)
def test_smaller_later(student, reference, draw):
    """When the largest entry comes early, it stays the maximum and the later blocks are shifted by it."""
    x = draw.array(3, 13) - np.linspace(0.0, 9.0, 13)
    x[0] -= 7.0
    same(student, reference, x, [5])
    same(student, reference, x, [2, 3, 7, 11])


@online_softmax
@pytest.mark.weight(2)
def test_any_split(student, reference, draw):
    """However the rows are cut into blocks, and in whatever order the entries come, m and l are the same."""
    x = draw.array(2, 5, 23, scale=3.0)
    for pieces in (2, 3, 7):
        same(student, reference, x[..., draw.permutation(23).numpy()], cut(draw, 23, pieces))
    same(student, reference, x[..., draw.permutation(23).numpy()], [0, *cut(draw, 23, 28)])
    same(student, reference, x, list(range(1, 23)))


@online_softmax
def test_empty_blocks(student, reference, draw):
    """A block of length 0 changes nothing, be it the first, the last or one between."""
    x = draw.array(3, 5) + RISING[:5]
    for cuts in ([0], [5], [0, 0, 2, 2, 5]):
        same(student, reference, x, cuts)
    same(student, reference, x[:, :0], [0])


@online_softmax
@pytest.mark.weight(2)
@pytest.mark.names("inf_minus_inf_nan")
def test_masked_blocks(student, reference, draw):
    """Blocks of nothing but -inf leave no trace, whether they come first, last or between; no NaN appears."""
    x = draw.array(3, 11) + RISING[:11]
    x[0, :4] = x[1, 4:7] = x[2, 7:] = -np.inf
    same(student, reference, x, [4, 7])
    same(student, reference, x, [2, 4, 7, 9])
    same(student, reference, np.where(np.arange(11) == 5, x, -np.inf), list(range(1, 11)))


@online_softmax
@pytest.mark.names("inf_minus_inf_nan")
def test_row_without_entries(student, reference, draw):
    """A row of nothing but -inf has m = -inf and l = 0; the rows beside it are as usual."""
    x = draw.array(3, 7) + RISING[:7]
    x[1] = -np.inf
    same(student, reference, x, [3])
    same(student, reference, np.full(5, -np.inf), [2])


@online_softmax
def test_large_scores(student, reference, draw):
    """Scores of ±10000 neither overflow nor vanish: m is exact and l at least 1."""
    x = draw.array(5, 17)
    x[0] += 1e4
    x[1] -= 1e4
    x[2, 3], x[3, 12] = 1e4, 1e4
    x[4, ::2] *= 1e4
    for cuts in ([8], [1, 5, 12], list(range(1, 17))):
        same(student, reference, x, cuts, (1e-9, 1e-11))


@online_softmax
def test_float32(student, reference, draw):
    """float32 blocks give float32 results."""
    x = draw.array(3, 11, dtype=np.float32) + RISING[:11].astype(np.float32)
    x[1, :5] = -np.inf
    same(student, reference, x, [5, 8], (1e-5, 1e-6))
    a, b = reference.online_softmax([x[:, :4]]), reference.online_softmax([x[:, 4:]])
    agree(student.merge, reference.merge, a, b, tolerance=(1e-5, 1e-6))


@online_softmax
def test_blocks_are_left_alone(student, reference, draw):
    """The blocks are as they were after the call."""
    blocks = [draw.array(3, 5), draw.array(3, 2), draw.array(3, 7)]
    called = student.call(student.online_softmax, copy.deepcopy(blocks))
    close(called.value, reference.online_softmax(blocks), tolerance=TIGHT, what="the pair (m, l)")
    close(called.echo, (([*blocks],), {}), tolerance=(0.0, 0.0), what="the caller's blocks")


@online_softmax
@pytest.mark.weight(2)
def test_merge(student, reference, draw):
    """Two summaries become one: the larger m, and both sums rescaled to it."""
    for lead in ((), (5,), (2, 3)):
        a = reference.online_softmax([draw.array(*lead, 7)])
        b = reference.online_softmax([draw.array(*lead, 3) + 2.0])
        agree(student.merge, reference.merge, a, b, tolerance=TIGHT)
        agree(student.merge, reference.merge, b, a, tolerance=TIGHT)


@online_softmax
@pytest.mark.weight(2)
@pytest.mark.names("inf_minus_inf_nan")
def test_merge_with_nothing(student, reference, draw):
    """Merging with the summary of nothing, (-inf, 0), changes nothing; nothing with nothing stays nothing."""
    m, l = reference.online_softmax([draw.array(5, 7)])
    m[[1, 3]], l[[1, 3]] = -np.inf, 0.0
    other_m, other_l = reference.online_softmax([draw.array(5, 3)])
    other_m[[1, 2]], other_l[[1, 2]] = -np.inf, 0.0
    agree(student.merge, reference.merge, (m, l), (other_m, other_l), tolerance=TIGHT)
    agree(student.merge, reference.merge, (other_m, other_l), (m, l), tolerance=TIGHT)


@online_softmax
@pytest.mark.names("merged_in_place")
def test_summaries_are_left_alone(student, reference, draw):
    """The arrays of both summaries are as they were after the merge."""
    a, b = reference.online_softmax([draw.array(5, 7)]), reference.online_softmax([draw.array(5, 3) + LEVELS])
    called = student.call(student.merge, *copy.deepcopy((a, b)))
    close(called.value, reference.merge(a, b), tolerance=TIGHT, what="the pair (m, l)")
    close(called.echo, ((a, b), {}), tolerance=(0.0, 0.0), what="(a, b) after the call")


@online_softmax
def test_merge_order(student, draw):
    """Three summaries give the same whichever two are merged first, with maxima up to 10000 apart."""
    for gap in (3.0, 1e4):
        parts = [(draw.array(5) + level, 1.0 + np.abs(draw.array(5))) for level in (0.0, gap, -gap)]
        for a, b, c in itertools.permutations(parts):
            left = student.merge(student.merge(a, b), c)
            right = tuple(np.asarray(x) for x in student.merge(a, student.merge(b, c)))
            close(left, right, tolerance=(1e-11, 1e-12), what="the merge of three summaries")
            if not np.array_equal(left[0], np.max([m for m, _ in parts], axis=0)):
                raise Disagreement("m is not the largest of the three")


@online_softmax
def test_nothing_is_kept(student, reference, draw):
    """No block is kept once it has been looked at: when the next is asked for, the one before may go."""
    blocks = [draw.array(3, 5) for _ in range(23)]
    seen = student.measure(student.online_softmax, iter(blocks))
    close(seen.value, reference.online_softmax(blocks), tolerance=TIGHT, what="the pair (m, l)")
    if seen.measured["held_items"] > 3:
        raise Disagreement(
            f"{seen.measured['held_items']} blocks of the stream were kept; a few numbers per row will do"
        )


@online_softmax
def test_longer_than_memory(student, draw):
    """A stream of 52 blocks of 4 MB, 208 MB in all, is summarised within 192 MB."""
    numbers = draw.array(512 + 1024)
    block = np.lib.stride_tricks.sliding_window_view(numbers, 1024)[:512]  # row i is what begins at number i

    def stream() -> Iterator[np.ndarray]:
        for _ in range(52):
            yield block

    m, l = student.online_softmax(stream())
    close(m, block.max(axis=-1), tolerance=(0.0, 0.0), what="m")
    expected = 52 * np.exp(block - block.max(axis=-1, keepdims=True)).sum(axis=-1)
    close(l, expected, tolerance=(1e-9, 0.0), what="l")
