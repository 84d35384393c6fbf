"""Hidden grader of the page `sinusoidal`."""

import numpy as np
import pytest

from autograder.grading import agree, close, quiet_rng, raises, unjudged
from autograder.grading.compare import Disagreement

# ---------------------------------------------------------------- sinusoidal_encoding

sinusoidal_encoding = pytest.mark.exercise("sinusoidal_encoding")


def in_half_layout(interleaved):
    """The same numbers with all sines before all cosines."""
    return np.concatenate([interleaved[:, 0::2], interleaved[:, 1::2]], axis=1)


@sinusoidal_encoding
def test_one_hand(student, reference):
    """With D = 2 the rows are (sin p, cos p), from p = 0 on."""
    agree(student.sinusoidal_encoding, reference.sinusoidal_encoding, 11, 2)


@sinusoidal_encoding
@pytest.mark.weight(4)
def test_encoding(student, reference, draw):
    """Columns 2i and 2i + 1 are the sine and the cosine of p / base ** (2i / D), side by side (interleaved)."""
    for max_len, d_model in ((13, 6), (7, 22), (int(draw.integers(14, 40)), 8)):
        out, expected = student.sinusoidal_encoding(max_len, d_model), reference.sinusoidal_encoding(max_len, d_model)
        if isinstance(out, np.ndarray) and out.shape == expected.shape and np.allclose(out, in_half_layout(expected)):
            raise Disagreement("this is the half layout (all sines first), a valid one; the page asks for interleaved")
        close(out, expected)


@sinusoidal_encoding
def test_first_row(student):
    """Position 0 comes first: sines of 0 and cosines of 1."""
    close(student.sinusoidal_encoding(3, 10)[0], np.tile([0.0, 1.0], 5), what="row 0")


@sinusoidal_encoding
@pytest.mark.weight(2)
def test_base(student, reference, draw):
    """The base is the one that was given, by position or by name."""
    base = float(draw.integers(20, 900)) + 0.5
    agree(student.sinusoidal_encoding, reference.sinusoidal_encoding, 17, 6, base)
    agree(student.sinusoidal_encoding, reference.sinusoidal_encoding, 11, 14, base=5e5)


@sinusoidal_encoding
@pytest.mark.weight(2)
def test_far_positions(student, reference):
    """Positions up to 100000 are accurate to 1e-9: the angles are float64."""
    out = student.sinusoidal_encoding(100_003, 6)
    close(out, np.zeros((100_003, 6)), rtol=0.0, atol=np.inf)
    for p in (4_999, 31_337, 99_999, 100_000, 100_002):
        angles = p / 1e4 ** (np.arange(3) / 3)
        expected = np.stack([np.sin(angles), np.cos(angles)], axis=-1).ravel()
        close(out[p], expected, rtol=0.0, atol=1e-9, what=f"row {p}")


@sinusoidal_encoding
def test_distance_alone_counts(student):
    """The scalar product of two positions depends on their distance alone, is D/2 at 0, and values stay in [-1, 1]."""
    encoding = student.sinusoidal_encoding(29, 10)
    close(encoding, np.zeros((29, 10)), rtol=0.0, atol=1.0 + 1e-12)
    gram = encoding @ encoding.T
    for k in range(29):
        diagonal = np.diagonal(gram, k)
        close(
            diagonal,
            np.full(29 - k, np.cos(k * 1e4 ** (-np.arange(5) / 5)).sum()),
            what=f"the products at distance {k}",
        )


@sinusoidal_encoding
def test_few_positions(student, reference):
    """No position at all gives shape (0, D); one gives (1, D)."""
    agree(student.sinusoidal_encoding, reference.sinusoidal_encoding, 0, 6)
    agree(student.sinusoidal_encoding, reference.sinusoidal_encoding, 1, 6)


@sinusoidal_encoding
def test_odd_width(student):
    """An odd width raises ValueError, and an even one does not."""
    close(student.sinusoidal_encoding(5, 6), np.zeros((5, 6)), rtol=0.0, atol=np.inf)  # whatever its numbers
    for d_model in (1, 3, 7):
        raises(ValueError, student.sinusoidal_encoding, 5, d_model)


@sinusoidal_encoding
def test_pictures(student, reference):
    """The pictures show the encoding and its scalar products; nothing is drawn at random."""
    close(quiet_rng(student.sinusoidal_encoding, 5, 6), reference.sinusoidal_encoding(5, 6))
    if not student.has("figure_data"):
        return
    encoding = reference.sinusoidal_encoding(64, 32)
    close(student.figure_data("heat_map"), encoding, what="the heat map")
    close(student.figure_data("gram"), encoding @ encoding.T, what="the picture of scalar products")


# ---------------------------------------------------------------- sinusoidal_shift

sinusoidal_shift = pytest.mark.exercise("sinusoidal_shift")

ACCURATE = (0.0, 1e-9)


def encoding_at(positions, d_model, base=1e4):
    """The encoding of any positions, written out."""
    angles = np.asarray(positions, dtype=np.float64)[:, None] / base ** (np.arange(0, d_model, 2) / d_model)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(angles), d_model)


def moves(student, k, d_model, positions, base=None):
    """The student's matrix takes these positions to those k further. Returns the matrix."""
    options = {} if base is None else {"base": base}
    matrix = student.shift_matrix(k, d_model, **options)
    close(matrix, np.zeros((d_model, d_model)), rtol=0.0, atol=np.inf, what="the matrix")
    base = 1e4 if base is None else base
    moved = encoding_at(positions, d_model, base) @ matrix.T
    close(moved, encoding_at(np.asarray(positions) + k, d_model, base), tolerance=ACCURATE, what="PE[p] moved by k")
    return matrix


@sinusoidal_shift
@pytest.mark.weight(3)
def test_one_step(student):
    """For k = 1 the matrix takes every position to the next, whatever its width."""
    for d_model in (2, 6, 14):
        moves(student, 1, d_model, range(0, 60, 7))


@sinusoidal_shift
@pytest.mark.weight(3)
def test_any_step(student, draw):
    """It moves by any k, from positions up to 1000."""
    k = int(draw.integers(3, 200))
    for d_model in (6, 10, 22):
        moves(student, k, d_model, range(0, 1000, 83))


@sinusoidal_shift
@pytest.mark.weight(2)
def test_negative_steps(student, draw):
    """Negative k moves back, below zero too."""
    k = -int(draw.integers(2, 300))
    with unjudged():  # who loses the sign of k has the answers of one who always turns the wrong way, but not this one
        student.shift_matrix(-k, 6)
    moves(student, k, 6, range(0, 1000, 91))
    moves(student, -1, 10, range(0, 30, 3))


@sinusoidal_shift
def test_no_step(student):
    """Moving by 0 is the identity."""
    with unjudged():
        student.shift_matrix(7, 6)
    for d_model in (2, 10):
        close(student.shift_matrix(0, d_model), np.eye(d_model), tolerance=ACCURATE, what="shift_matrix(0, D)")


@sinusoidal_shift
@pytest.mark.weight(2)
def test_is_a_rotation(student, draw):
    """The matrix is orthogonal, moving by a and then by b is moving by a + b, and the entries are those of the page."""
    a, b = (int(k) for k in draw.integers(2, 50, 2))
    first, second, both = (student.shift_matrix(k, 6) for k in (a, -b, a - b))
    close(first, np.zeros((6, 6)), rtol=0.0, atol=np.inf, what="the matrix")
    close(first @ first.T, np.eye(6), tolerance=ACCURATE, what="M Mᵀ")
    close(second @ first, both, tolerance=ACCURATE, what="the product of two shifts")


@sinusoidal_shift
def test_shift_with_base(student, reference, draw):
    """The base is the one that was given, by position or by name."""
    base = float(draw.integers(20, 900)) + 0.5
    moves(student, 5, 6, range(20), base=base)
    agree(student.shift_matrix, reference.shift_matrix, 3, 10, base, tolerance=ACCURATE)


@sinusoidal_shift
def test_shift_of_odd_width(student):
    """An odd width raises ValueError, and an even one does not."""
    close(student.shift_matrix(2, 6), np.zeros((6, 6)), rtol=0.0, atol=np.inf, what="the matrix")  # whatever is in it
    for d_model in (1, 3, 7):
        raises(ValueError, student.shift_matrix, 1, d_model)
