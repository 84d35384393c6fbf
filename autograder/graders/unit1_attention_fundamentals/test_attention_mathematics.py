"""Hidden grader of the page `attention_mathematics`."""

import math

import numpy as np
import pytest

from autograder.grading import close, quiet_rng
from autograder.grading.compare import Disagreement

# ---------------------------------------------------------------- masked_softmax

masked_softmax = pytest.mark.exercise("masked_softmax")


def random_mask(draw, *shape, **options):
    return draw.mask(*shape, **options).numpy()


def same(student, reference, scores, mask=None):
    """The student's weights equal the reference's, and are exactly 0 where the mask forbids. Returns them."""
    weights = student.masked_softmax(scores, mask)
    close(weights, reference.masked_softmax(scores, mask), what="the array of weights")
    if mask is not None:
        forbidden = weights[np.broadcast_to(~mask, scores.shape)]
        close(forbidden, np.zeros_like(forbidden), tolerance=(0, 0), what="the weights of forbidden keys")
    return weights


@masked_softmax
@pytest.mark.weight(2)
def test_no_mask(student, reference, draw):
    """Without a mask the weights are the softmax over the keys, the last axis, for any leading axes."""
    for shape in ((5, 7), (3, 5, 7), (2, 3, 5, 7), (5, 5), (7, 1)):
        same(student, reference, draw.array(*shape, scale=2.0))
    close(student.masked_softmax(scores := draw.array(3, 5)), reference.masked_softmax(scores))


@masked_softmax
@pytest.mark.weight(3)
def test_mask(student, reference, draw):
    """The allowed keys (True = may attend) share the whole unit, and forbidden keys get exactly 0."""
    same(student, reference, draw.array(5, 7), random_mask(draw, 5, 7))
    same(student, reference, draw.array(2, 3, 5, 7), random_mask(draw, 2, 3, 5, 7))


@masked_softmax
def test_mask_shapes(student, reference, draw):
    """Masks broadcast to the scores: (Tk,), (Tq, Tk), (Tq, 1), (B, 1, 1, Tk) and (B, 1, Tq, Tk)."""
    scores = draw.array(2, 3, 5, 7)
    for shape in ((1, 7), (5, 7), (2, 1, 1, 7), (2, 1, 5, 7)):
        same(student, reference, scores, random_mask(draw, *shape))
    same(student, reference, scores, random_mask(draw, 1, 7)[0])
    same(student, reference, scores, random_mask(draw, 1, 5, full_rows=(0,)).T)
    same(student, reference, scores[0, 0], random_mask(draw, 1, 7)[0])


@masked_softmax
@pytest.mark.weight(2)
def test_low_scores(student, reference, draw):
    """A forbidden key gets weight 0 also where all allowed scores are very low: no finite fill is low enough."""
    mask = random_mask(draw, 5, 7)
    odd = (np.arange(5) % 2 == 1)[:, None]  # the other rows are ordinary
    for low in (-3e4, -300.0):
        same(student, reference, np.where(odd & mask, low, 0.0) + draw.array(5, 7), mask)


@masked_softmax
@pytest.mark.weight(3)
@pytest.mark.names("fully_masked_uniform")
def test_empty_row(student, reference, draw):
    """A query that may attend to nothing gets zeros: no NaN, and not 1/Tk. The other queries are as usual."""
    same(student, reference, draw.array(3, 5, 7), random_mask(draw, 3, 5, 7, empty_rows=(2,)))
    same(student, reference, draw.array(5, 7), np.zeros((1, 7), dtype=bool))
    same(student, reference, draw.array(5, 7), random_mask(draw, 1, 5).T)


@masked_softmax
@pytest.mark.names("low_number_then_zero")  # whoever takes the maximum too early has failed the tests before
def test_scores_below_every_number(student, reference, draw):
    """Allowed scores of -1e10 are shared as usual: below whatever finite number stands for a forbidden score."""
    mask = random_mask(draw, 5, 7)
    same(student, reference, np.where(mask, -1e10, 0.0) + 3 * draw.array(5, 7), mask)


@masked_softmax
@pytest.mark.weight(2)
def test_junk_behind_the_mask(student, reference, draw):
    """What stands at a forbidden key, be it 1e30, leaves no trace in the weights."""
    scores, mask = draw.array(3, 5, 7), random_mask(draw, 3, 5, 7, empty_rows=(1,))
    for junk in (1e30, -1e30):
        same(student, reference, np.where(mask, scores, junk), mask)


@masked_softmax
@pytest.mark.weight(2)
def test_large_scores(student, reference, draw):
    """Allowed scores of ±300 and ±3000 neither overflow nor become NaN, and adding 1000 to a row changes nothing.

    Nor do they vanish where the forbidden ones of the row are larger by 10 000.
    """
    mask = random_mask(draw, 5, 7)
    for scale in (100.0, 1000.0):
        scores = draw.array(5, 7, scale=scale)
        same(student, reference, scores, mask)
        scores[1] += 1e4 * ~mask[1]
        same(student, reference, scores, mask)
        same(student, reference, draw.array(5, 7, scale=scale))
    scores = np.round(draw.array(5, 7), 2)
    close(student.masked_softmax(scores + 1000.0, mask), reference.masked_softmax(scores, mask))


@masked_softmax
def test_float32_and_views(student, reference, draw):
    """float32 comes back as float32, and arrays that are not contiguous in memory work."""
    mask = random_mask(draw, 5, 7, empty_rows=(3,))
    same(student, reference, draw.array(2, 5, 7, dtype=np.float32), mask)
    same(student, reference, draw.array(2, 5, 7, dtype=np.float32, scale=5.0), mask)
    same(student, reference, draw.array(7, 5).T, random_mask(draw, 7, 5, full_rows=(0,)).T)


@masked_softmax
def test_arguments_are_left_alone(student, reference, draw):
    """The scores and the mask are as they were after the call: work on copies, the caller still needs them."""
    scores, mask = draw.array(2, 5, 7), random_mask(draw, 5, 7)
    called = student.call(student.masked_softmax, scores, mask)
    close(called.value, reference.masked_softmax(scores, mask), what="the weights")
    close(list(called.echo[0]), [scores, mask], tolerance=(0, 0), what="the caller's arguments")


# ---------------------------------------------------------------- why_scale

why_scale = pytest.mark.exercise("why_scale")

# The mean entropy and largest weight of rows of 16 independent scores, from a million rows (errors below 0.001).
EXPECTED = {
    (4, False): (1.554, 0.507),
    (16, False): (0.832, 0.709),
    (64, False): (0.400, 0.848),
    (4, True): (2.318, 0.273),
    (16, True): (2.346, 0.255),
    (64, True): (2.354, 0.249),
}
FORM = {"var": 1.0, "entropy": 1.0, "max_prob": 1.0}


def stats(student, draw, d, n, scaled, rng=None):
    """The student's numbers: a dict of three floats, none of them NaN."""
    answer = student.score_stats(d, n, scaled, draw.rng() if rng is None else rng)
    close(answer, FORM, rtol=0.0, atol=math.inf)
    return answer


def relative_sigma(d, n):
    """The standard error of var / d: (q·k)² has variance (2 + 6/d) d²."""
    return math.sqrt((2 + 6 / d) / n)


@why_scale
def test_draws_from_the_generator(student, draw):
    """All randomness comes from rng: the global state stays, the same seed repeats the numbers, another does not."""
    rng = draw.rng()
    answer = quiet_rng(student.score_stats, 7, 160, False, rng)
    close(answer, FORM, rtol=0.0, atol=math.inf)
    close(student.score_stats(7, 160, False, rng), answer, what="the numbers for the same seed")
    if stats(student, draw, 7, 160, False) == answer:
        raise Disagreement("two generators with different seeds gave the same numbers")


@why_scale
@pytest.mark.weight(3)
def test_variance_is_the_width(student, draw):
    """Without a scale the variance of the scores is d.

    Three checks at 7 standard errors, with the skewness of a χ² allowed for: a right answer fails once in 1e9 runs.
    """
    for d, n in ((4, 20_000), (64, 6000), (1024, 1280)):
        var = stats(student, draw, d, n, False)["var"]
        close(var / d, 1.0, rtol=0.0, atol=7 * relative_sigma(d, n), what=f"var / d at d = {d}")


@why_scale
@pytest.mark.weight(3)
def test_scaled_variance_is_one(student, draw):
    """Divided by √d, the scores have variance 1 at every width.

    Three checks at 7 standard errors, with the skewness of a χ² allowed for: a right answer fails once in 1e9 runs. And
    a measured variance is not 1 to 13 digits, which happens to a right answer as rarely.
    """
    for d, n in ((4, 20_000), (64, 6000), (1024, 1280)):
        var = stats(student, draw, d, n, True)["var"]
        if abs(var - 1) < 1e-13:
            raise Disagreement(f"var at d = {d} is 1 exactly: the scores seem to be divided by their own deviation")
        close(var, 1.0, rtol=0.0, atol=7 * relative_sigma(d, n), what=f"var at d = {d}")


@why_scale
@pytest.mark.weight(3)
@pytest.mark.parametrize("scaled", [False, True], ids=["unscaled", "scaled"])
def test_entropy_and_largest_weight(student, draw, scaled):
    """Entropy (in nats) and largest weight are means over rows of 16 weights; without a scale they depend on d.

    500 rows of entropies in [0, ln 16] with σ < 0.6 and of weights in [0, 1] with σ < 0.23: by Bernstein's inequality a
    right answer fails one of the six checks once in 1e7 runs at most.
    """
    for d in (4, 16, 64):
        answer = stats(student, draw, d, 8000, scaled)
        entropy, largest = EXPECTED[d, scaled]
        close(answer["entropy"], entropy, rtol=0.0, atol=0.2, what=f"the entropy at d = {d}")
        close(answer["max_prob"], largest, rtol=0.0, atol=0.1, what=f"max_prob at d = {d}")


@why_scale
@pytest.mark.weight(2)
def test_saturated(student, draw):
    """Where weights underflow to exactly 0, as at d = 150000 without a scale, the entropy is near 0 and not NaN.

    Two rows. For a mean above 2 both would need an entropy above 1.2, each with three keys within some six units of the
    best one, where the standard deviation is 387: a right answer, in whatever order it draws, fails less than once in
    1e8 runs.
    """
    # A chosen seed: with queries and keys drawn as one array each, the best scores of the two rows lie 847 apart, so
    # that the maximum of all scores, subtracted in place of each row's own, leaves one row nothing but zeros. (That
    # takes a distance of 746, which drawn seeds have about once in a hundred times.)
    answer = stats(student, draw, 150_000, 32, False, np.random.default_rng(150))
    close(answer["entropy"], 0.0, rtol=0.0, atol=2.0, what="the entropy at d = 150000")


@why_scale
def test_one_row(student, draw):
    """The smallest case, d = 1 and n = 16, gives numbers that are possible."""
    for scaled in 5 * (False, True):
        answer = stats(student, draw, 1, 16, scaled)
        entropy, largest = answer["entropy"], answer["max_prob"]
        if not (0 <= entropy <= math.log(16) + 1e-9 and math.exp(-entropy) - 1e-9 <= largest <= 1 + 1e-9):
            raise Disagreement(f"no row of 16 weights has entropy {entropy:.4g} and largest weight {largest:.4g}")


@why_scale
def test_figure(student):
    """The picture's numbers: without the scale the entropy falls with the width, with it the curve is flat.

    Means of 40 rows each; every bound is at six standard errors or more, so a right answer fails once in 1e7 runs.
    """
    if not student.has("figure_data"):
        return
    data = student.figure_data()
    close(data, np.zeros((2, 5)), rtol=0.0, atol=np.inf)
    bare, scaled = data
    if not (bare[0] > 1.0 > bare[2] and bare[4] < 0.6):
        raise Disagreement("row 0, without the scale, does not fall with the width")
    if not (scaled.min() > 1.9 and scaled.max() < math.log(16)):
        raise Disagreement("row 1, with the scale, is not flat")
