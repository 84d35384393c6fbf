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


def turned(x, angles, layout, *, back=None):
    """The pairs of x, turned by angles (..., T, Dh / 2); `back` says where they are put, if not where they were."""
    halves = layout == "half"
    a, b = x.chunk(2, dim=-1) if halves else (x[..., 0::2], x[..., 1::2])
    pair = [a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()]
    return torch.cat(pair, dim=-1) if (back or layout) == "half" else torch.stack(pair, dim=-1).flatten(-2)


def even(x):
    if x.shape[-1] % 2:
        raise ValueError("the width is odd")
    return x.shape[-1]


@misconception("rope", symbol="apply_rope")
def pairs_left_in_halves(x, positions, base=1e4, layout="interleaved"):
    """In the interleaved layout the turned pairs came back in the other one: all first numbers, then all second ones.

    A pair stays at its place. Two halves put together by `cat` are the half layout; neighbours need stack and flatten.
    """
    frequencies = base ** (-torch.arange(0, even(x), 2, dtype=torch.float64) / x.shape[-1])
    wide = torch.promote_types(x.dtype, torch.float32)
    return turned(x, (positions[..., None] * frequencies).to(wide), layout, back="half").to(x.dtype)


@misconception("rope", symbol="apply_rope")
def rope_counts_twice(x, positions, base=1e4, layout="interleaved"):
    """The exponent counts twice: pair i turns by base ** (-4i / Dh).

    2i in the formula *is* the number of the pair's first column. A loop over the columns 0, 2, 4, ... has the factor 2
    in its variable already. Pair 0 is right either way, so look at the second one.
    """
    return correct.apply_rope(x, positions, base**2, layout)


@misconception("rope", symbol="apply_rope")
def rope_without_two(x, positions, base=1e4, layout="interleaved"):
    """The 2 of the exponent is missing: pair i turns by base ** (-i / Dh). Pair 0 is right either way."""
    return correct.apply_rope(x, positions, base**0.5, layout)


@misconception("rope", symbol="apply_rope")
def rope_from_one(x, positions, base=1e4, layout="interleaved"):
    """Every vector was turned by one position more than was given. At position 0 nothing is turned."""
    return correct.apply_rope(x, positions + 1, base, layout)


@misconception("rope", symbol="apply_rope")
def rope_in_float32(x, positions, base=1e4, layout="interleaved"):
    """The angles of a float64 vector were computed in float32, which has seven digits.

    What dtype have your frequencies and positions? `torch.arange(0, Dh, 2).float()` and a division of whole numbers are
    float32, and stay so in what is computed with them.
    """
    frequencies = base ** -(torch.arange(0, even(x), 2).float() / x.shape[-1])
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return turned(wide, positions[..., None] * frequencies, layout).to(x.dtype)


@misconception("rope", symbol="apply_rope")
def angles_rounded_late(x, positions, base=1e4, layout="interleaved"):
    """The angles were rounded to the low precision of x before the sine and the cosine: bfloat16 has 8 binary digits.

    A product that was right to seven digits is right to two then, and a far position points anywhere. Go back to the
    dtype of x after the sine and the cosine.
    """
    frequencies = base ** (-torch.arange(0, even(x), 2, dtype=torch.float64) / x.shape[-1])
    return turned(x, (positions[..., None] * frequencies).to(x.dtype), layout)


@misconception("rope", symbol="apply_rope")
def turned_number_used(x, positions, base=1e4, layout="interleaved"):
    """The second number of a pair was computed from the first one *after* it was turned. Both need the old pair."""
    frequencies = base ** (-torch.arange(0, even(x), 2, dtype=torch.float64) / x.shape[-1])
    angles = (positions[..., None] * frequencies).to(torch.promote_types(x.dtype, torch.float32))
    a, b = x.chunk(2, dim=-1) if layout == "half" else (x[..., 0::2], x[..., 1::2])
    a = a * angles.cos() - b * angles.sin()
    pair = [a, a * angles.sin() + b * angles.cos()]
    return (torch.cat(pair, -1) if layout == "half" else torch.stack(pair, -1).flatten(-2)).to(x.dtype)


@misconception("rope", symbol="permute_qk_weights")
def heads_ignored(W, H, to="half"):
    """The rows were reordered across heads, as if there were one head. Each head has pairs of its own."""
    return correct.permute_qk_weights(W, 1, to)


@misconception("rope", symbol="permute_qk_weights")
def wrong_direction(W, H, to="half"):
    """This is the way back: for to="half" the rows were put into the interleaved order, and the other way round.

    W comes in the layout that `to` does not name. In the example of six rows the way there and the way back differ.
    """
    return correct.permute_qk_weights(W, H, "interleaved" if to == "half" else "half")


@misconception("rope", symbol="permute_qk_weights")
def always_to_half(W, H, to="half"):
    """`to` was not used: the rows come in the half order whatever is asked for."""
    return correct.permute_qk_weights(W, H)


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


def slopes_of(exponents):
    return torch.tensor([2.0 ** (-8 * exponent) for exponent in exponents])


@misconception("alibi", symbol="alibi_slopes")
def slopes_from_h_0(H):
    """Your slopes begin with h = 0, so the first head has slope 1. They begin with h = 1, which gives 2 ** (-8 / n)."""
    n = 2 ** (H.bit_length() - 1)
    rest = [h / (2 * n) for h in range(1, 2 * n, 2)]
    return slopes_of(([h / n for h in range(n)] + rest)[:H])


@misconception("alibi", symbol="alibi_slopes")
def slopes_of_the_next_power(H):
    """For other numbers of heads you took the first slopes of the *next* power of two.

    The first n are those of n heads, the largest power of two below H; only the rest comes from the slopes of 2n heads,
    every second one. Work through the six heads on the page.
    """
    n = 2 ** (H - 1).bit_length()
    return slopes_of([h / n for h in range(1, H + 1)])


@misconception("alibi", symbol="alibi_slopes")
def rest_without_gaps(H):
    """Behind the first n slopes come the slopes of 2n heads one after the other. Only every second one is taken.

    The others are among the first n already. Work through the six heads on the page.
    """
    n = 2 ** (H.bit_length() - 1)
    return slopes_of(([h / n for h in range(1, n + 1)] + [h / (2 * n) for h in range(1, 2 * n + 1)])[:H])


@misconception("alibi", symbol="alibi_slopes")
def rest_of_even_h(H):
    """Behind the first n slopes come those of 2n heads with even h, the first n again. Take h = 1, 3, 5, ..."""
    n = 2 ** (H.bit_length() - 1)
    return slopes_of(([h / n for h in range(1, n + 1)] + [h / (2 * n) for h in range(2, 2 * n + 1, 2)])[:H])


@misconception("alibi", symbol="alibi_slopes")
def slopes_sorted(H):
    """The slopes are sorted. They stand in the order of the formula: first those of n heads, then the rest."""
    return correct.alibi_slopes(H).sort(descending=True).values


@misconception("alibi", symbol="alibi_bias")
def key_position_only(H, Tq, Tk, device=None, dtype=torch.float32):
    """This is slope times key, without the query: the form of BLOOM.

    A softmax does not see the difference, which is one number for a row; the page asks for minus slope times distance.
    """
    return (correct.alibi_slopes(H)[:, None, None] * torch.arange(Tk).expand(Tq, Tk)).to(device=device, dtype=dtype)


@misconception("alibi", symbol="alibi_bias")
def distance_from_one(H, Tq, Tk, device=None, dtype=torch.float32):
    """The distance is one too large. A query and the key at its own place are 0 apart: a head's last number is 0."""
    return correct.alibi_bias(H, Tq, Tk + 1, device, dtype)[..., :-1]


@misconception("alibi", symbol="alibi_bias")
def bias_dtype_ignored(H, Tq, Tk, device=None, dtype=torch.float32):
    """`dtype` was not used: the bias is float32 whatever is asked for."""
    return correct.alibi_bias(H, Tq, Tk, device)


# ---------------------------------------------------------------- t5_relative_bias


def bucket(
    rel,
    bidirectional,
    num_buckets,
    max_distance,
    *,
    more_exact=0,
    cut=torch.Tensor.long,
    linear=False,
    span=None,
    top=None,
):
    """The right buckets, with a choice of what goes wrong."""
    B = num_buckets // 2 if bidirectional else num_buckets
    n = rel.abs() if bidirectional else (-rel).clamp(min=0)
    first = (rel > 0).long() * B if bidirectional else torch.zeros_like(rel)
    E = B // 2 + more_exact
    far = E + cut(torch.log(n.clamp(min=E) / E) / math.log(top or max_distance / E) * (span(B, E) if span else B - E))
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


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def log_of_max_distance(rel, bidirectional, num_buckets=32, max_distance=128):
    """The logarithm was divided by ln(max_distance). It is ln(max_distance / E): both are reckoned from E on.

    At max_distance the fraction is 1 then, and the last bucket is reached there.
    """
    return bucket(rel, bidirectional, num_buckets, max_distance, top=max_distance)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def span_is_too_short(rel, bidirectional, num_buckets=32, max_distance=128):
    """The logarithm was stretched over B − E − 1 buckets. It is B − E; the minimum with B − 1 takes care of the end."""
    return bucket(rel, bidirectional, num_buckets, max_distance, span=lambda B, E: B - E - 1)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def span_is_all_buckets(rel, bidirectional, num_buckets=32, max_distance=128):
    """The logarithm was stretched over all B buckets. The first E are taken by the exact distances: B − E are left."""
    return bucket(rel, bidirectional, num_buckets, max_distance, span=lambda B, E: B)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def ceil_not_trunc(rel, bidirectional, num_buckets=32, max_distance=128):
    """The logarithm was rounded up. What is behind the point is cut off: a bucket begins where it is reached."""
    return bucket(rel, bidirectional, num_buckets, max_distance, cut=lambda t: torch.ceil(t).long())


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def far_not_capped(rel, bidirectional, num_buckets=32, max_distance=128):
    """Distances beyond max_distance got buckets of their own, which do not exist. All of them share the last one."""
    B = num_buckets // 2 if bidirectional else num_buckets
    n = rel.abs() if bidirectional else (-rel).clamp(min=0)
    far = B // 2 + (torch.log(n.clamp(min=B // 2) / (B // 2)) / math.log(max_distance / (B // 2)) * (B - B // 2)).long()
    return (rel > 0).long() * B * bidirectional + torch.where(n < B // 2, n, far)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def buckets_not_halved(rel, bidirectional, num_buckets=32, max_distance=128):
    """Each direction got all the buckets, so the future has ids beyond the table. Each has num_buckets / 2."""
    return bucket(rel, bidirectional, 2 * num_buckets if bidirectional else num_buckets, max_distance)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def directions_share(rel, bidirectional, num_buckets=32, max_distance=128):
    """Past and future share their buckets. The future, rel > 0, has the second half: B is added."""
    return bucket(-rel.abs() if bidirectional else rel, bidirectional, num_buckets, max_distance)


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def present_is_future(rel, bidirectional, num_buckets=32, max_distance=128):
    """The present was sorted with the future: rel = 0 has bucket 0, and only rel > 0 is the future."""
    out = bucket(rel, bidirectional, num_buckets, max_distance)
    return torch.where(rel == 0, num_buckets // 2, out) if bidirectional else out


@misconception("t5_relative_bias", symbol="relative_position_bucket")
def future_like_past(rel, bidirectional, num_buckets=32, max_distance=128):
    """In one direction the future got the buckets of the past with the same distance. All of it goes to bucket 0."""
    return bucket(rel if bidirectional else -rel.abs(), bidirectional, num_buckets, max_distance)


class Biased(correct.RelativeBias):
    """The right module, with other distances."""

    def rel(self, query, key):
        return key - query

    def forward(self, Tq, Tk, offset=0):
        rel = self.rel(offset + torch.arange(Tq)[:, None], torch.arange(Tk))
        rows = correct.relative_position_bucket(rel, self.bidirectional, self.num_buckets, self.max_distance)
        return self.weight[rows].permute(2, 0, 1)[None]


@misconception("t5_relative_bias", symbol="RelativeBias")
class offset_not_used(Biased):
    """The offset was not used: every query stands where it would without a cache.

    Query i is at position offset + i, key j at position j. With a cache of n tokens the new one comes with offset n.
    """

    def forward(self, Tq, Tk, offset=0):
        return super().forward(Tq, Tk)


@misconception("t5_relative_bias", symbol="RelativeBias")
class offset_of_the_keys(Biased):
    """The offset was added to the keys. It is the position of the first query; keys begin at 0."""

    def forward(self, Tq, Tk, offset=0):
        return super().forward(Tq, Tk, -offset)


@misconception("t5_relative_bias", symbol="RelativeBias")
class aligned_at_the_end(Biased):
    """The last query was put at the last key. Here the offset alone says where the queries are: offset + i."""

    def forward(self, Tq, Tk, offset=0):
        return super().forward(Tq, Tk, offset + Tk - Tq)


@misconception("t5_relative_bias", symbol="RelativeBias")
class query_minus_key(Biased):
    """The module asks for the buckets of query minus key. It is key minus query, negative for the past."""

    def rel(self, query, key):
        return query - key


@misconception("t5_relative_bias", symbol="RelativeBias")
class heads_last(Biased):
    """The heads are the last axis, as they come out of the table. Scores are (B, H, Tq, Tk), so they go in front."""

    def forward(self, Tq, Tk, offset=0):
        return super().forward(Tq, Tk, offset).permute(0, 2, 3, 1)


@misconception("t5_relative_bias", symbol="RelativeBias")
class heads_reshaped(Biased):
    """The table's rows (Tq, Tk, H) were reshaped to (H, Tq, Tk), which mixes heads and places. Permute the axes."""

    def forward(self, Tq, Tk, offset=0):
        return super().forward(Tq, Tk, offset).permute(0, 2, 3, 1).reshape(1, -1, Tq, Tk)


@misconception("t5_relative_bias", symbol="RelativeBias")
class bias_takes_defaults(Biased):
    """The module's num_buckets and max_distance did not reach the function, which took 32 and 128 instead."""

    def forward(self, Tq, Tk, offset=0):
        rel = torch.arange(Tk) - (offset + torch.arange(Tq)[:, None])
        return self.weight[correct.relative_position_bucket(rel, self.bidirectional)].permute(2, 0, 1)[None]
