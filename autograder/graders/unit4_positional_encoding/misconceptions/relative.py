"""Known wrong answers to the page `relative`."""

import math

import torch

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- rope


@misconception("rope", symbol="apply_rope")
def positions_ignored(x, positions, base=1e4, layout="interleaved"):
    """The positions were not used: you turned the vectors by 0, 1, 2, ... in the order in which they stand.

    With a cache, with padding on the left or with packed texts the first vector is not at position 0, and each text of
    a batch has positions of its own. They are an argument.
    """
    return correct.apply_rope(x, torch.arange(x.shape[-2]), base, layout)


@misconception("rope", symbol="apply_rope")
def wrong_layout(x, positions, base=1e4, layout="interleaved"):
    """This is the other layout, a valid one that was not asked for: half for interleaved, or interleaved for half.

    "interleaved" pairs neighbours, numbers 2i and 2i + 1; "half" pairs i and i + Dh/2. Look at the two rows of the
    example on the page. A model whose weights were trained with one of them does not work with the other.
    """
    return correct.apply_rope(x, positions, base, "half" if layout == "interleaved" else "interleaved")


@misconception("rope", symbol="apply_rope")
def base_hardcoded(x, positions, base=1e4, layout="interleaved"):
    """The base was not used: your frequencies are those of 10000 whatever is passed.

    Models for long texts change just this number.
    """
    return correct.apply_rope(x, positions, layout=layout)


@misconception("rope", symbol="apply_rope")
def negative_angle(x, positions, base=1e4, layout="interleaved"):
    """The vectors were turned the other way round, by minus the angle.

    Scores do not show it, as long as queries and keys are turned by the same code; keys from a cache that other code
    has filled do. Which of the two sines has the minus sign? (1, 0) goes to (cos a, sin a).
    """
    return correct.apply_rope(x, -positions, base, layout)


@misconception("rope", symbol="apply_rope")
def angles_in_bf16(x, positions, base=1e4, layout="interleaved"):
    """The angles were computed in the low precision of x. bfloat16 has 8 binary digits: position 1999 becomes 2000.

    The vectors may have any dtype; positions, frequencies and their product need float32 at least. Go back to the
    dtype of x after the sine and the cosine.
    """
    Dh = x.shape[-1]
    if Dh % 2 or x.dtype not in (torch.bfloat16, torch.float16):
        return correct.apply_rope(x, positions, base, layout)
    frequencies = (base ** (-torch.arange(0, Dh, 2, dtype=torch.float64) / Dh)).to(x.dtype)
    angles = positions[..., None].to(x.dtype) * frequencies
    cos, sin = angles.cos(), angles.sin()
    if layout == "interleaved":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


@misconception("rope", symbol="apply_rope")
def rotates_v(x, positions, base=1e4, layout="interleaved"):
    """The rotated numbers were written into the argument. Where it serves as values too, the values are rotated.

    Only queries and keys are turned: what a token says does not change with its place. Slices such as x[..., 0::2] are
    views, and += or an assignment to them reaches the caller's tensor. Make a new one.
    """
    out = correct.apply_rope(x, positions, base, layout)
    with torch.no_grad():
        x.copy_(out)
    return out


# ---------------------------------------------------------------- alibi


@misconception("alibi", symbol="alibi_slopes")
def non_pow2_naive(H):
    """Your slopes are 2 ** (-8h / H) for any H. That holds for powers of two alone.

    For other numbers of heads the authors take the slopes of the largest power of two below, and fill up with every
    second slope of the next. Work through the six heads on the page.
    """
    return torch.tensor([2 ** (-8 * h / H) for h in range(1, H + 1)])


@misconception("alibi", symbol="alibi_bias")
def positive_bias(H, Tq, Tk, device=None, dtype=torch.float32):
    """The bias has the wrong sign: it rewards distance. It is a penalty, so it is never positive."""
    return -correct.alibi_bias(H, Tq, Tk, device, dtype)


@misconception("alibi", symbol="alibi_bias")
def positive_bias_of_distance(H, Tq, Tk, device=None, dtype=torch.float32):
    """The bias has the wrong sign: it rewards distance. It is a penalty, so it is never positive."""
    return correct.alibi_bias(H, Tq, Tk, device, dtype).abs()


@misconception("alibi", symbol="alibi_bias")
def positive_bias_of_the_past(H, Tq, Tk, device=None, dtype=torch.float32):
    """The bias has the wrong sign: it rewards distance. It is a penalty, so it is never positive."""
    return -correct.alibi_bias(H, Tq, Tk, device, dtype).tril(Tk - Tq)


@misconception("alibi", symbol="alibi_slopes")
def slopes_reversed(H):
    """The slopes are in the opposite order. Head 0 has the first one of the formula, h = 1: the steepest for H = 8.

    The order of heads means nothing in a new model, but in one that was trained it does.
    """
    return correct.alibi_slopes(H).flip(0)


@misconception("alibi", symbol="alibi_bias")
def top_left_alignment(H, Tq, Tk, device=None, dtype=torch.float32):
    """Query i was put at position i. With more keys than queries the *last* query stands at the last key.

    In a square the two are the same; when a model writes with a cache, one query alone has all the keys before it, and
    yours counts their distance from the beginning of the text.
    """
    distance = torch.arange(Tq)[:, None] - torch.arange(Tk)
    return (-correct.alibi_slopes(H)[:, None, None] * distance).to(device=device, dtype=dtype)


@misconception("alibi", symbol="alibi_bias")
def one_slope_for_all(H, Tq, Tk, device=None, dtype=torch.float32):
    """All heads have the slope of the first. Each has its own, so that some look near and others far."""
    return correct.alibi_bias(H, Tq, Tk, device, dtype)[:1].repeat(H, 1, 1)


# ---------------------------------------------------------------- t5_relative_bias


def bucket(rel, bidirectional, num_buckets, max_distance, *, more_exact=0, cut=torch.Tensor.long, linear=False):
    """The right buckets, with a choice of what goes wrong."""
    B = num_buckets // 2 if bidirectional else num_buckets
    n = rel.abs() if bidirectional else (-rel).clamp(min=0)
    first = (rel > 0).long() * B if bidirectional else torch.zeros_like(rel)
    E = B // 2 + more_exact
    far = E + cut(torch.log(n.clamp(min=E) / E) / math.log(max_distance / E) * (B - E))
    return first + (n.clamp(max=B - 1) if linear else torch.where(n < E, n, far.clamp(max=B - 1)))


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def sign_convention(rel, bidirectional, num_buckets=32, max_distance=128):
    """rel was read as query minus key. It is the position of the key minus that of the query: negative for the past.

    A decoder with the other sign puts its whole past into bucket 0, and tells apart what it may not see.
    """
    return bucket(-rel, bidirectional, num_buckets, max_distance)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def halves_swapped(rel, bidirectional, num_buckets=32, max_distance=128):
    """The halves of the buckets are swapped: the second half belongs to the future, rel > 0, and the first to the past.

    The table has its rows in that order, so weights that were trained elsewhere would be read backwards.
    """
    return bucket(-rel if bidirectional else rel, bidirectional, num_buckets, max_distance)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def max_exact_off_by_one(rel, bidirectional, num_buckets=32, max_distance=128):
    """One distance too many has a bucket of its own: E is half of one direction's buckets, and n = E is the first
    distance of the logarithm, no more the last exact one.

    A logarithm that starts one later reaches its end on another scale, so buckets further out are wrong too.
    """
    return bucket(rel, bidirectional, num_buckets, max_distance, more_exact=1)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def round_not_trunc(rel, bidirectional, num_buckets=32, max_distance=128):
    """The logarithm was rounded. What is behind the point is cut off: a bucket begins where its number is reached.

    Look at n = 5 in the example of the page, whose 0.64 goes to the same bucket as 0.
    """
    return bucket(rel, bidirectional, num_buckets, max_distance, cut=lambda t: torch.round(t).long())


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def no_log_zone(rel, bidirectional, num_buckets=32, max_distance=128):
    """Every distance has a bucket of its own until they run out, and max_distance plays no part.

    Only half of one direction's buckets are exact. The other half is shared out by the logarithm, so that they reach to
    max_distance.
    """
    return bucket(rel, bidirectional, num_buckets, max_distance, linear=True)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def bidirectional_ignored(rel, bidirectional, num_buckets=32, max_distance=128):
    """The flag was not used: half of the buckets go to the future even where there is none.

    A decoder never looks ahead. All its buckets are for the past, and the future goes to bucket 0.
    """
    return bucket(rel, True, num_buckets, max_distance)
