"""Hidden grader of the page `scaled_dot_product`."""

import math

import pytest
import torch

from autograder.grading import agree, agree_gradients, close, quiet_rng
from autograder.grading.compare import Disagreement
from autograder.sandbox.failures import StudentRaised

# ---------------------------------------------------------------- sdpa_torch
# Values are compared with `same`, not `agree`: a changed argument costs the one test that is about it, not all of them.

sdpa_torch = pytest.mark.exercise("sdpa_torch")


def same(student, reference, *args, **kwargs):
    """The student's attention gives the reference's values. Returns them."""
    answer = student.scaled_dot_product_attention(*args, **kwargs)
    close(answer, reference.scaled_dot_product_attention(*args, **kwargs))
    return answer


def is_like(answer, *shape, dtype=torch.float64):
    """`answer` is a tensor of this shape and dtype, without NaN; its values are looked at afterwards."""
    close(answer, torch.zeros(shape, dtype=dtype), rtol=0.0, atol=math.inf)


@sdpa_torch
@pytest.mark.weight(3)
def test_equation(student, reference, draw):
    """Without a mask the result is softmax(q kᵀ / √Dk) v, the softmax taken over the keys, for any leading axes."""
    q, k, v, _ = draw.attention(batch=3, heads=2)
    same(student, reference, q[0, 0], k[0, 0], v[0, 0])
    same(student, reference, q[:1, 0], k[:1, 0], v[:1, 0])
    same(student, reference, q, k, v)
    same(student, reference, q[..., :1, :], k, v)


@sdpa_torch
def test_scale(student, reference, draw):
    """A given scale takes the place of 1/√Dk, also if it is 0."""
    q, k, v, _ = draw.attention()
    for scale in (0.43, 0.0):
        same(student, reference, q, k, v, scale=scale)


@sdpa_torch
@pytest.mark.weight(2)
def test_masks(student, reference, draw):
    """A masked key takes no part (True = may attend); masks of fewer axes than q broadcast."""
    q, k, v, mask = draw.attention(batch=3, heads=2, mask="random")
    same(student, reference, q, k, v, attn_mask=mask)  # (B, 1, Tq, Tk)
    same(student, reference, q, k, v, attn_mask=mask[0, 0])  # (Tq, Tk)
    same(student, reference, q, k, v, attn_mask=mask[:, :, :1])  # (B, 1, 1, Tk)
    same(student, reference, q[0, 0], k[0, 0], v[0, 0], attn_mask=mask[0, 0])


@sdpa_torch
@pytest.mark.weight(2)
def test_empty_row(student, reference, draw):
    """A query that may attend to nothing yields zeros, not NaN and not a mean; the other queries are as usual."""
    q, k, v, mask = draw.attention(batch=2, heads=3, mask="one empty row")
    same(student, reference, q, k, v, attn_mask=mask)


@sdpa_torch
def test_low_scores(student, reference, draw):
    """A masked key gets weight 0 also where all allowed scores are near -300: no finite fill is low enough for all."""
    q, k, v, mask = draw.attention(mask="random")
    q[:, 3, 0], k[:, :, 0] = 1.0, 0.0
    mask[:, 3] = torch.tensor([True, False, True, True, False, True, False])
    k[:, mask[0, 3], 0] = -300.0 * math.sqrt(11)
    same(student, reference, q, k, v, attn_mask=mask)


@sdpa_torch
def test_junk_behind_the_mask(student, reference, draw):
    """What a masked key or value holds, be it 1e30, leaves no trace in the output."""
    q, k, v, mask = draw.attention(heads=3, mask="random")
    mask[:, :, :, [2, 5]] = False
    mask[:, :, :, 1] = True
    k[:, :, 2], v[:, :, 2] = 1e30, -1e30
    k[:, :, 5], v[:, :, 5] = -1e30, 1e30
    same(student, reference, q, k, v, attn_mask=mask)


@sdpa_torch
@pytest.mark.weight(2)
def test_causal(student, reference, draw):
    """With is_causal query i sees keys 0..i (top-left), whether keys are fewer, as many or more than queries."""
    for q_len, kv_len in ((5, 5), (5, 7), (7, 3)):
        q, k, v, _ = draw.attention(q_len=q_len, kv_len=kv_len)
        same(student, reference, q, k, v, is_causal=True)


@sdpa_torch
@pytest.mark.weight(2)
def test_causal_and_mask(student, reference, draw):
    """With is_causal and a mask, both must allow a pair; where they leave a query nothing, it yields zeros."""
    q, k, v, mask = draw.attention(heads=3, mask="random")
    mask[:, :, 0, 0] = False  # query 0 has key 0 only
    mask[:, :, 2, 1] = True
    same(student, reference, q, k, v, attn_mask=mask, is_causal=True)
    same(student, reference, q, k, v, attn_mask=mask[1, 0], is_causal=True)


@sdpa_torch
def test_dropout_of_zero(student, reference, draw):
    """With dropout_p = 0 nothing is dropped and nothing is drawn, with a generator and without."""
    q, k, v, _ = draw.attention()
    expected = reference.scaled_dot_product_attention(q, k, v)
    close(quiet_rng(student.scaled_dot_product_attention, q, k, v, dropout_p=0.0), expected)
    same(student, reference, q, k, v, dropout_p=0.0, generator=draw.generator())


@sdpa_torch
@pytest.mark.weight(2)
def test_dropout_rescales(student, reference, draw):
    """Dropout acts on the softmax weights, and those that survive are divided by 1 - dropout_p."""
    q, k, _, mask = draw.attention(q_len=11, mask="random", dtype=torch.float32)
    v = torch.eye(7).repeat(2, 1, 2)  # the output shows the weights, twice
    weights = reference.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    out = student.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=0.3, generator=draw.generator())
    is_like(out, 2, 11, 14, dtype=torch.float32)
    dropped = (out[..., :7] == 0).repeat(1, 1, 2)
    close(out, torch.where(dropped, 0.0, weights / 0.7), what="the output, which shows each weight")
    if dropped.all():
        raise Disagreement("every weight was dropped, with dropout_p 0.3")


@sdpa_torch
def test_dropout_share(student, draw):
    """Each weight is dropped with probability dropout_p, independently of its row, column and example.

    n = 2·241² weights. The share's bound is 6 σ (2e-9); the agreement of two examples has 9 σ; rows and columns are
    held to Hoeffding's bound, 964 checks of 2·exp(-2·241·0.23²) < 2e-8 together. A right answer fails once in 4e7 runs.
    """
    T, p = 241, 0.3
    q = torch.zeros(2, T, 3)  # all scores 0: each weight is 1/T
    v = torch.eye(T).expand(2, T, T)
    out = student.scaled_dot_product_attention(q, q, v, dropout_p=p, generator=draw.generator())
    is_like(out, 2, T, T, dtype=torch.float32)
    dropped = out == 0
    close(out, torch.where(dropped, 0.0, 1 / T / (1 - p)), what="the output, which shows each weight")
    share = dropped.double()
    sigma = math.sqrt(p * (1 - p) / share.numel())
    close(share.mean().item(), p, rtol=0.0, atol=6 * sigma, what="the share of dropped weights")
    for axis, name in ((-1, "row"), (-2, "column")):
        close(share.mean(axis), torch.full((2, T), p).double(), rtol=0.0, atol=0.23, what=f"the share in each {name}")
    both = (dropped[0] == dropped[1]).double().mean().item()
    close(both, p * p + (1 - p) ** 2, rtol=0.0, atol=0.02, what="the share of weights treated alike in two examples")


@sdpa_torch
def test_dropout_draws_from_the_generator(student, draw):
    """Dropout draws from the given generator only: its seed decides the result, the global random state stays."""
    q, k, v, _ = draw.attention(q_len=13)
    generator = draw.generator()
    out = quiet_rng(student.scaled_dot_product_attention, q, k, v, dropout_p=0.5, generator=generator)
    is_like(out, 2, 13, 13)
    again = student.scaled_dot_product_attention(q, k, v, dropout_p=0.5, generator=generator)
    close(again, out, what="the output for the same seed")
    other = student.scaled_dot_product_attention(q, k, v, dropout_p=0.5, generator=draw.generator())
    is_like(other, 2, 13, 13)
    if torch.equal(other, out):
        raise Disagreement("two generators with different seeds gave the same output")
    is_like(student.scaled_dot_product_attention(q, k, v, dropout_p=0.5), 2, 13, 13)  # without a generator


@sdpa_torch
@pytest.mark.weight(2)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision(student, reference, draw, dtype):
    """float16 and bfloat16 work, masks included, come back as they went in, and are no less exact than they can be."""
    q, k, v, mask = draw.attention(heads=3, q_len=37, kv_len=61, d_k=17, mask="one empty row", dtype=dtype)
    for allowed in (None, mask):
        exact = reference.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=allowed)
        scores = q @ k.mT * 17**-0.5
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -math.inf)
        naive = torch.softmax(scores, dim=-1).nan_to_num(0.0) @ v
        bound = 3 * (naive.double() - exact).abs().max().item() + 1e-5
        out = student.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        is_like(out, 2, 3, 37, 13, dtype=dtype)
        close(out.double(), exact, rtol=0.0, atol=bound)


@sdpa_torch
def test_float32(student, reference, draw):
    """float32 comes back as float32."""
    q, k, v, mask = draw.attention(kv_len=5, mask="random", dtype=torch.float32)
    mask[..., 0] = True
    same(student, reference, q, k, v)
    same(student, reference, q, k, v, attn_mask=mask, is_causal=True)


@sdpa_torch
def test_views(student, reference, draw):
    """q, k, v and the mask may be views that are not contiguous in memory."""
    q = draw.tensor(2, 5, 3, 11).transpose(1, 2)
    k = draw.tensor(2, 3, 11, 7).mT
    v = draw.tensor(2, 3, 7, 26)[..., ::2]
    mask = draw.mask(2, 7, 5).mT
    mask[..., 1] = True
    same(student, reference, q, k, v)
    same(student, reference, q, k, v, attn_mask=mask[:, None])


@sdpa_torch
def test_no_keys_or_no_queries(student, reference, draw):
    """Without keys (Tk = 0) the output is zeros; without queries (Tq = 0) it is empty."""
    for q_len, kv_len in ((5, 0), (0, 7)):
        q, k, v, _ = draw.attention(q_len=q_len, kv_len=kv_len)
        same(student, reference, q, k, v)


@sdpa_torch
@pytest.mark.weight(3)
def test_gradients(student, reference, draw):
    """The output is differentiable in q, k and v, with the right gradients."""
    q, k, v, mask = draw.attention(heads=3, mask="random")
    agree_gradients(student.scaled_dot_product_attention, reference.scaled_dot_product_attention, q, k, v)
    agree_gradients(
        student.scaled_dot_product_attention, reference.scaled_dot_product_attention, q, k, v, attn_mask=mask, scale=0.5
    )


@sdpa_torch
@pytest.mark.weight(2)
def test_gradients_of_an_empty_row(student, reference, draw):
    """Gradients stay finite where a query may attend to nothing, and the query's own gradient is 0."""
    q, k, v, mask = draw.attention(q_len=7, mask="one empty row")
    mask[:, 0, 0] = False  # under is_causal empty as well
    functions = student.scaled_dot_product_attention, reference.scaled_dot_product_attention
    agree_gradients(*functions, q, k, v, attn_mask=mask)
    agree_gradients(*functions, q, k, v, attn_mask=mask, is_causal=True)


@sdpa_torch
def test_arguments_are_left_alone(student, reference, draw):
    """q, k, v and the mask are as they were after the call: work on copies, the caller still needs them."""
    q, k, v, mask = draw.attention(mask="random")
    mask[..., 0] = True  # who may attend to nothing is for another test
    options = {"attn_mask": mask, "is_causal": True, "scale": 0.7}
    called = student.call(student.scaled_dot_product_attention, q, k, v, **options)
    close(called.value, reference.scaled_dot_product_attention(q, k, v, **options))
    (q_after, k_after, v_after), options = called.echo
    after = {"q": q_after, "k": k_after, "v": v_after, "attn_mask": options["attn_mask"]}
    close(after, {"q": q, "k": k, "v": v, "attn_mask": mask}, tolerance=(0, 0), what="the caller's arguments")


# ---------------------------------------------------------------- causal_mask

causal_mask = pytest.mark.exercise("causal_mask")


@causal_mask
@pytest.mark.weight(2)
def test_square_mask(student, reference):
    """With as many keys as queries the mask is the lower triangle with its diagonal, as bools (True = may attend)."""
    for n in (5, 2, 1):
        agree(student.causal_mask, reference.causal_mask, n)


@causal_mask
@pytest.mark.weight(2)
def test_more_keys_than_queries(student, reference):
    """By default the last query stands at the last key; a single query sees every key."""
    for q_len, kv_len in ((3, 7), (2, 5), (1, 5)):
        agree(student.causal_mask, reference.causal_mask, q_len, kv_len)


@causal_mask
def test_more_queries_than_keys(student, reference):
    """With more queries than keys the first Tq - Tk rows are empty."""
    agree(student.causal_mask, reference.causal_mask, 7, 3)
    agree(student.causal_mask, reference.causal_mask, 5, 1)


@causal_mask
@pytest.mark.weight(2)
def test_given_offset(student, reference):
    """A given offset counts, also 0: row i holds i + 1 + offset leading Trues, clipped to 0..Tk."""
    for offset in (1, -2, 11, -11, 0):  # 0 last: by then it is clear whether an offset counts at all
        agree(student.causal_mask, reference.causal_mask, 5, 7, offset=offset)
        agree(student.causal_mask, reference.causal_mask, 5, 3, offset=offset)
    agree(student.causal_mask, reference.causal_mask, 5, offset=2)


@causal_mask
def test_empty_mask(student, reference):
    """No queries or no keys give a mask with 0 rows or 0 columns."""
    agree(student.causal_mask, reference.causal_mask, 3, 0)
    agree(student.causal_mask, reference.causal_mask, 0, 5)


@causal_mask
def test_device(student, reference):
    """The mask is created on the device that is asked for."""
    agree(student.causal_mask, reference.causal_mask, 5, device="cpu")
    agree(student.causal_mask, reference.causal_mask, 3, 5, offset=1, device=torch.device("cpu"))
    try:
        student.causal_mask(3, 5, device="nowhere")
    except StudentRaised:  # torch refuses it, once it is passed on
        pass
    else:
        raise Disagreement(
            'device="nowhere" gave a mask: the argument is not passed on to torch, which knows no such device'
        )
    try:
        student.causal_mask(3, 5, device="meta")
    except StudentRaised as error:  # as it must: numbers on "meta" cannot be read. But torch mixes no devices
        if error.is_a(RuntimeError) and not error.is_a(NotImplementedError) and "expected device" in error.text:
            raise Disagreement("a part of the mask is made on another device than the one asked for") from None


# ---------------------------------------------------------------- padding_and_combined_masks

padding_and_combined_masks = pytest.mark.exercise("padding_and_combined_masks")


@padding_and_combined_masks
@pytest.mark.weight(3)
def test_lengths(student, reference, draw):
    """Position t is True exactly if t < length; length 0 gives a row of False, length T a row of True."""
    lengths = torch.tensor([3, 0, 7, 1, 6])[draw.permutation(5)]
    agree(student.lengths_to_mask, reference.lengths_to_mask, lengths, 7)


@padding_and_combined_masks
def test_odd_lengths(student, reference):
    """Any integer dtype will do for lengths; one sequence, and sequences padded to T = 0, are ordinary."""
    agree(student.lengths_to_mask, reference.lengths_to_mask, torch.tensor([2, 5, 0], dtype=torch.int32), 5)
    agree(student.lengths_to_mask, reference.lengths_to_mask, torch.tensor([4]), 5)
    agree(student.lengths_to_mask, reference.lengths_to_mask, torch.tensor([0, 0]), 0)


@padding_and_combined_masks
@pytest.mark.weight(2)
def test_padding_alone(student, reference, draw):
    """Without a causal mask the result is (B, 1, 1, Tk): one axis for the heads, one for the queries, keys last."""
    agree(student.combine_masks, reference.combine_masks, draw.mask(3, 7))


@padding_and_combined_masks
@pytest.mark.weight(2)
def test_padding_masks_keys(student, reference, draw):
    """With as many queries as keys: [b, 0, i, j] is True if key j of example b is real and causal[i, j]."""
    causal = reference.causal_mask(5)
    agree(student.combine_masks, reference.combine_masks, draw.mask(3, 5), causal)
    agree(student.combine_masks, reference.combine_masks, draw.mask(5, 5), causal)  # as many examples as queries


@padding_and_combined_masks
@pytest.mark.weight(2)
def test_combined_for_other_lengths(student, reference, draw):
    """Queries may be fewer than keys, padding may be anywhere, and the second mask need not be causal."""
    agree(student.combine_masks, reference.combine_masks, draw.mask(3, 7, empty_rows=(1,)), reference.causal_mask(5, 7))
    agree(student.combine_masks, reference.combine_masks, draw.mask(2, 3, full_rows=(0,)), draw.mask(5, 3))
    agree(student.combine_masks, reference.combine_masks, draw.mask(1, 7), draw.mask(1, 7))


@padding_and_combined_masks
@pytest.mark.weight(2)
def test_masks_of_a_batch(student, reference, draw):
    """The two functions together: no query sees padding or the future, the last real token sees all real tokens."""
    lengths = torch.tensor([5, 0, 2])[draw.permutation(3)]
    key_mask = agree(student.lengths_to_mask, reference.lengths_to_mask, lengths, 5)
    agree(student.combine_masks, reference.combine_masks, key_mask, reference.causal_mask(5))
