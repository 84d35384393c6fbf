"""Known wrong answers to the page `sinusoidal`."""

import numpy as np

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- sinusoidal_encoding


def check(d_model):
    if d_model % 2:
        raise ValueError("d_model is odd")


def interleaved(angles):
    """Sines and cosines of (max_len, D / 2) angles side by side."""
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(angles), 2 * angles.shape[1])


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def two_i_double_count(max_len, d_model, base=1e4):
    """The exponent counts twice: your hands have the frequencies base ** (-4i / D).

    2i in the formula *is* the number of the pair's first column. A loop over the columns 0, 2, 4, ... has the factor 2
    in its variable already. Hand 0 is right either way, so look at the second one.
    """
    check(d_model)
    return interleaved(np.arange(max_len)[:, None] / base ** (2 * np.arange(0, d_model, 2) / d_model))


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def sin_cos_halves(max_len, d_model, base=1e4):
    """This is the half layout, all sines first and then all cosines. It is a valid one, and not the one asked for here.

    The page asks for the interleaved layout: the sine and the cosine of a hand are neighbours. No scalar product tells
    the two apart; weights that were trained with one of them do.
    """
    check(d_model)
    angles = np.arange(max_len)[:, None] / base ** (np.arange(0, d_model, 2) / d_model)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def positions_from_one(max_len, d_model, base=1e4):
    """Your first row is position 1. Positions are counted from 0, whose hands all point up: 0, 1, 0, 1, ..."""
    check(d_model)
    return interleaved(np.arange(1, max_len + 1)[:, None] / base ** (np.arange(0, d_model, 2) / d_model))


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def base_hardcoded(max_len, d_model, base=1e4):
    """The base was not used: your frequencies are those of 10000 whatever is passed.

    Models for long texts change just this number.
    """
    return correct.sinusoidal_encoding(max_len, d_model)


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def f32_angles(max_len, d_model, base=1e4):
    """The angles were computed in float32, which has seven digits: at position 100000 the turns have used them up.

    A result of dtype float64 does not help when the numbers in it were rounded before. What dtype do the positions and
    the frequencies have?
    """
    check(d_model)
    frequencies = (base ** (-np.arange(0, d_model, 2) / d_model)).astype(np.float32)
    return interleaved(np.arange(max_len, dtype=np.float32)[:, None] * frequencies).astype(np.float64)


def with_endpoint(d_model, base):
    """Frequencies from 1 down to 1 / base, both included."""
    check(d_model)
    return base ** -np.linspace(0.0, 1.0, d_model // 2)


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def endpoint_included(max_len, d_model, base=1e4):
    """Your frequencies run from 1 to 1 / base, both included. The last one of the formula is larger than 1 / base.

    The exponents 2i / D are 0, 2/D, 4/D, ... and end before 1. np.linspace and np.logspace include their end unless
    told otherwise, and a division by D − 2 does the same. Hand 0 is right either way, so look at the last one.
    """
    return interleaved(np.arange(max_len)[:, None] * with_endpoint(d_model, base))


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def each_column_its_own(max_len, d_model, base=1e4):
    """Sine and cosine of a hand have different frequencies: each column j has the exponent j / D of its own.

    The two belong to one angle, so the cosine in column 2i + 1 has the frequency of the sine in column 2i. Otherwise
    they are no hand of a clock, and moving by k is no rotation.
    """
    check(d_model)
    angles = np.arange(max_len)[:, None] / base ** (np.arange(d_model) / d_model)
    return np.where(np.arange(d_model) % 2, np.cos(angles), np.sin(angles))


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def pair_number_without_two(max_len, d_model, base=1e4):
    """The 2 of the exponent is missing: your hands have the frequencies base ** (-i / D), where i counts pairs.

    Over D / 2 pairs that exponent ends near one half, so the slowest hand is far too fast. Hand 0 is right either way.
    """
    check(d_model)
    return interleaved(np.arange(max_len)[:, None] / base ** (np.arange(d_model // 2) / d_model))


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def cosine_first(max_len, d_model, base=1e4):
    """Sine and cosine have changed places: the even columns are the sines, so the first row is 0, 1, 0, 1, ..."""
    check(d_model)
    angles = np.arange(max_len)[:, None] / base ** (np.arange(0, d_model, 2) / d_model)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(max_len, d_model)


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def hands_get_faster(max_len, d_model, base=1e4):
    """Your hands get faster from pair to pair: the sign of the exponent is missing, or it was multiplied for divided.

    Hand 0 turns by one radian from one position to the next, and all others are slower.
    """
    check(d_model)
    return interleaved(np.arange(max_len)[:, None] * base ** (np.arange(0, d_model, 2) / d_model))


@misconception("sinusoidal_encoding", symbol="sinusoidal_encoding")
def float32_result(max_len, d_model, base=1e4):
    """The result is float32. The page asks for float64, to 1e-9; whoever uses it can still round it."""
    return correct.sinusoidal_encoding(max_len, d_model, base).astype(np.float32)


# ---------------------------------------------------------------- sinusoidal_shift


def frequencies(d_model, base):
    check(d_model)
    return base ** (-np.arange(0, d_model, 2) / d_model)


@misconception("sinusoidal_shift", symbol="shift_matrix")
def rotation_sign(k, d_model, base=1e4):
    """Your matrix moves back instead of on: it is the one for -k, or the transpose.

    In the block of a hand, which of the two rows has the minus sign? The order of sine and cosine in the encoding
    decides; textbooks write the rotation for (cosine, sine). Try it on position 0, which is (0, 1).
    """
    return correct.shift_matrix(-k, d_model, base)


@misconception("sinusoidal_shift", symbol="shift_matrix")
def depends_on_p(k, d_model, base=1e4):
    """Your matrix takes position 0 to position k, and other positions elsewhere.

    A matrix that was made from the encodings of two positions, say as their outer product, knows these two only. The
    one that is asked for has no p in it: it works for all of them, and it is a rotation.
    """
    hands = frequencies(d_model, base)
    start, end = (np.stack([np.sin(p * hands), np.cos(p * hands)], axis=-1).ravel() for p in (0, k))
    return np.outer(end, start) / (start @ start)


@misconception("sinusoidal_shift", symbol="shift_matrix")
def blocks_for_halves_layout(k, d_model, base=1e4):
    """This is the matrix for the half layout, where all sines come first: its four blocks of width D/2 are diagonal.

    The page asks for the interleaved layout. There the two numbers of a hand are neighbours, and so are the four
    entries that move them.
    """
    angles = k * frequencies(d_model, base)
    cosines, sines = np.diag(np.cos(angles)), np.diag(np.sin(angles))
    return np.block([[cosines, sines], [-sines, cosines]])


@misconception("sinusoidal_shift", symbol="shift_matrix")
def only_k1(k, d_model, base=1e4):
    """Your matrix moves by 1, whatever k is.

    Hand i turns by k times its angle. Moving by 0 must change nothing, and negative k moves back.
    """
    return correct.shift_matrix(1, d_model, base)


@misconception("sinusoidal_shift", symbol="shift_matrix")
def shift_endpoint_included(k, d_model, base=1e4):
    """Your frequencies run from 1 to 1 / base, both included. The last one of the formula is larger than 1 / base.

    The exponents 2i / D are 0, 2/D, 4/D, ... and end before 1. np.linspace and np.logspace include their end unless
    told otherwise, and a division by D − 2 does the same. Hand 0 is right either way, so look at the last one.
    """
    angles, sine = k * with_endpoint(d_model, base), np.arange(0, d_model, 2)
    out = np.zeros((d_model, d_model))
    out[sine, sine] = out[sine + 1, sine + 1] = np.cos(angles)
    out[sine, sine + 1], out[sine + 1, sine] = np.sin(angles), -np.sin(angles)
    return out


@misconception("sinusoidal_shift", symbol="shift_matrix")
def shift_base_hardcoded(k, d_model, base=1e4):
    """The base was not used: your matrix moves the encoding of base 10000 whatever is passed."""
    return correct.shift_matrix(k, d_model)


@misconception("sinusoidal_shift", symbol="shift_matrix")
def no_minus_sign(k, d_model, base=1e4):
    """Both sines of a block have the same sign. In a rotation one of them is negative: otherwise lengths change."""
    out = correct.shift_matrix(k, d_model, base)
    return np.where(np.eye(d_model, dtype=bool), out, np.triu(out) + np.triu(out).T)


@misconception("sinusoidal_shift", symbol="shift_matrix")
def sign_of_k_lost(k, d_model, base=1e4):
    """A negative k moves on as far as a positive one: its sign is lost. Hand i turns by k · ω_i, for k < 0 back."""
    return correct.shift_matrix(abs(k), d_model, base)


@misconception("sinusoidal_shift", symbol="shift_matrix")
def shift_counts_twice(k, d_model, base=1e4):
    """The exponent counts twice: your hands have the frequencies base ** (-4i / D).

    2i in the formula *is* the number of the pair's first column. A loop over the columns 0, 2, 4, ... has the factor 2
    in its variable already. The block of hand 0 is right either way, so look at the second one.
    """
    return correct.shift_matrix(k, d_model, base**2)
