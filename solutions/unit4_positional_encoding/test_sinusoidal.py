"""Public checks of the page `sinusoidal`."""

import math

import numpy as np
import pytest


@pytest.mark.exercise("sinusoidal_encoding")
def test_two_positions(student):
    """The example of the page: for D = 2 the rows are (sin 0, cos 0) and (sin 1, cos 1)."""
    expected = [[0.0, 1.0], [0.8414709848078965, 0.5403023058681398]]
    np.testing.assert_allclose(student.sinusoidal_encoding(2, 2), expected, rtol=0, atol=1e-12)


@pytest.mark.exercise("sinusoidal_encoding")
def test_layout(student):
    """Interleaved: position 1 with D = 4 is (sin 1, cos 1, sin 0.01, cos 0.01); with base 100 the slow hand has 0.1."""
    out = student.sinusoidal_encoding(3, 4)
    assert out.shape == (3, 4), f"shape {out.shape}, expected (3, 4) = (max_len, d_model)"
    assert out.dtype == np.float64, f"dtype {out.dtype}, expected float64"
    half = [math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)]
    assert not np.allclose(out[1], half), "this is the half layout (all sines first); the page asks for interleaved"
    np.testing.assert_allclose(out[1], [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)])
    out = student.sinusoidal_encoding(3, 4, base=100.0)
    np.testing.assert_allclose(out[2], [math.sin(2), math.cos(2), math.sin(0.2), math.cos(0.2)])


@pytest.mark.exercise("sinusoidal_encoding")
def test_far_away(student):
    """Position 100000 is accurate to 1e-9: sin 100000 = 0.035748797..."""
    out = student.sinusoidal_encoding(100_001, 2)
    np.testing.assert_allclose(out[-1], [0.03574879797201651, -0.9993608078000394], rtol=0, atol=1e-9)


@pytest.mark.exercise("sinusoidal_encoding")
def test_odd_width(student):
    """An odd width raises ValueError."""
    is_refused(student.sinusoidal_encoding, 4, 5)


@pytest.mark.exercise("sinusoidal_shift")
def test_one_step(student):
    """The example of the page: the block for k = 1 takes (0, 1) to (sin 1, cos 1)."""
    out = student.shift_matrix(1, 2)
    expected = [[0.5403023058681398, 0.8414709848078965], [-0.8414709848078965, 0.5403023058681398]]
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(out @ [0.0, 1.0], [math.sin(1), math.cos(1)])


@pytest.mark.exercise("sinusoidal_shift")
@pytest.mark.parametrize("k", [3, -2, 0])
def test_moves_every_position(student, k):
    """For D = 4 one matrix moves all positions from 2 to 50 by 3, by -2 and by 0."""
    angles = np.arange(60)[:, None] * [1.0, 0.01]
    encoding = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(60, 4)
    moved = encoding[2:51] @ np.asarray(student.shift_matrix(k, 4)).T
    np.testing.assert_allclose(moved, encoding[2 + k : 51 + k], rtol=0, atol=1e-9)


@pytest.mark.exercise("sinusoidal_shift")
def test_odd_width_of_the_matrix(student):
    """An odd width raises ValueError."""
    is_refused(student.shift_matrix, 1, 3)


def is_refused(function, *args):
    try:
        function(*args)
    except Exception as error:
        assert error.is_a(ValueError), f"raised {error}, expected ValueError"
    else:
        raise AssertionError("nothing was raised, expected ValueError")
