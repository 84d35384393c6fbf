"""Hidden grader of the page `modern`."""

import math

import numpy as np
import pytest
import torch

from autograder.grading import agree, agree_gradients, close, quiet_rng, raises
from autograder.grading.compare import GRADIENT, Disagreement

# ---------------------------------------------------------------- clip_loss

clip = pytest.mark.exercise("clip_loss")


def scale(factor: float, dtype=torch.float64):
    """The logarithm of the factor, as the page takes it."""
    return torch.tensor(math.log(factor), dtype=dtype)


def same_clip(student, reference, img, txt, factor=5.0):
    """The student's (loss, logits) are the reference's."""
    s = scale(factor, img.dtype)
    close(student.clip_loss(img, txt, s), reference.clip_loss(img, txt, s), what="the pair (loss, logits)")


@clip
@pytest.mark.weight(3)
def test_clip_values(student, reference, draw):
    """The logits are exp(s) times the cosines; the loss is the mean of the two cross-entropies over them."""
    for n, d, factor in ((3, 5, 5.0), (5, 3, 5.0), (7, 7, 3.0)):
        same_clip(student, reference, draw.tensor(n, d), draw.tensor(n, d), factor)


@clip
@pytest.mark.weight(2)
def test_clip_lengths(student, reference, draw):
    """The lengths of the vectors do not matter, from 0.0001 to 10000."""
    img, txt = draw.tensor(5, 3), draw.tensor(5, 3)
    lengths = torch.tensor([1e-4, 1e-2, 1.0, 1e2, 1e4], dtype=torch.float64)[:, None]
    unit = (img / img.norm(dim=1, keepdim=True), txt / txt.norm(dim=1, keepdim=True))
    same_clip(student, reference, lengths * unit[0], lengths.flip(0) * unit[1])


@clip
@pytest.mark.weight(2)
def test_clip_scale(student, reference, draw):
    """The factor is exp(logit_scale): 1 for 0, below 1 for a negative number; it multiplies."""
    img, txt = draw.tensor(3, 5), draw.tensor(3, 5)
    for factor in (1.0, 0.2, 14.0, 100.0):
        same_clip(student, reference, img, txt, factor)


@clip
@pytest.mark.weight(2)
def test_clip_directions(student, reference, draw):
    """From images to texts and back are two losses: similar texts confuse the images, but not the texts."""
    one = draw.tensor(7)
    img, txt = draw.tensor(5, 7), one + 0.05 * draw.tensor(5, 7)
    same_clip(student, reference, img, txt)
    same_clip(student, reference, txt, img)


@clip
def test_clip_swapped(student, reference, draw):
    """With images and texts exchanged the loss stays and the table is transposed."""
    img, txt, s = draw.tensor(5, 3), draw.tensor(5, 3), scale(5.0)
    loss, logits = reference.clip_loss(img, txt, s)
    close(student.clip_loss(txt, img, s), (loss, logits.mT), what="the pair (loss, logits)")


@clip
def test_clip_order_of_pairs(student, reference, draw):
    """In another order of the pairs the loss is the same, and the table's rows and columns are in that order."""
    img, txt, s, order = draw.tensor(7, 3), draw.tensor(7, 3), scale(5.0), draw.permutation(7)
    loss, logits = reference.clip_loss(img, txt, s)
    answer = student.clip_loss(img[order], txt[order], s)
    close(answer, (loss, logits[order][:, order]), what="the pair (loss, logits)")


@clip
def test_clip_without_information(student, reference, draw):
    """One pair alone has loss 0; where all vectors point the same way the loss is ln N."""
    same_clip(student, reference, draw.tensor(1, 5), draw.tensor(1, 5))
    for n in (2, 5):
        one = draw.tensor(3).expand(n, 3)
        loss, _ = student.clip_loss(2 * one, one.clone(), scale(7.0))
        close(loss, torch.tensor(math.log(n), dtype=torch.float64), what="the loss")


@clip
def test_clip_large_factors(student, reference, draw):
    """A factor of 100 or 10000 does not overflow, in float32 neither, whether the pairs match or not."""
    for dtype in (torch.float64, torch.float32):
        img, txt = draw.tensor(5, 7, dtype=dtype), draw.tensor(5, 7, dtype=dtype)
        for texts in (txt, img.clone()):
            for factor in (100.0, 1e4):
                s = scale(factor, dtype)
                expected = reference.clip_loss(img.double(), texts.double(), s.double())
                answer = student.clip_loss(img, texts, s)
                wanted = tuple(x.to(dtype) for x in expected)
                close(answer, wanted, atol=None if dtype is torch.float64 else 1e-6 * factor, what="the pair")


@clip
def test_clip_dtype_and_layout(student, reference, draw):
    """float32 stays float32; the vectors may be views; nothing is drawn at random, and no argument is changed."""
    img, txt, s = draw.tensor(3, 5, dtype=torch.float32), draw.tensor(3, 5, dtype=torch.float32), scale(5.0).float()
    expected = reference.clip_loss(img, txt, s)
    close(quiet_rng(student.clip_loss, img, txt, s), expected, what="the pair (loss, logits)")
    agree(student.clip_loss, reference.clip_loss, draw.tensor(5, 3).mT, draw.tensor(3, 10)[:, ::2], scale(3.0))


@clip
@pytest.mark.weight(3)
def test_clip_gradients(student, reference, draw):
    """The gradients by the images, the texts and the scale are right."""
    agree_gradients(student.clip_loss, reference.clip_loss, draw.tensor(5, 3), draw.tensor(5, 3), scale(5.0))
    agree_gradients(student.clip_loss, reference.clip_loss, draw.tensor(2, 7), draw.tensor(2, 7), scale(0.5))
    short, long = draw.tensor(3, 5, scale=1e-3), draw.tensor(3, 5, scale=1e3)
    agree_gradients(student.clip_loss, reference.clip_loss, short, long, scale(1.0))


@clip
def test_clip_picture(student):
    """The picture: after training every image is nearest to its own text, and every text to its image."""
    if not student.has("figure_data"):
        return
    tables = torch.from_numpy(student.figure_data("clip"))
    close(tables, torch.zeros(2, 12, 12).double(), rtol=0.0, atol=1.0 + 1e-9, what="the cosines")
    for axis in (0, 1):
        if not torch.equal(tables[1].argmax(dim=axis), torch.arange(12)):
            raise Disagreement("after training the diagonal of the table does not stand out")
    if torch.equal(tables[0].argmax(dim=1), torch.arange(12)):
        raise Disagreement("the diagonal stands out before anything was trained")


# ---------------------------------------------------------------- moe_top_k

moe = pytest.mark.exercise("moe_top_k")


def mixtures(student, reference, draw, d=5, d_ff=3, n_experts=5, k=2, dtype=torch.float64):
    """The student's mixture and the reference's, with the same random weights."""
    ours = reference.TopKMoE(d, d_ff, n_experts, k).to(dtype)
    state = {n: draw.tensor(*p.shape, dtype=dtype, scale=1.3 * p.shape[-1] ** -0.5) for n, p in ours.named_parameters()}
    ours.load_state_dict(state)
    theirs = student.TopKMoE(d, d_ff, n_experts, k)
    theirs.load_reference(state)
    return theirs, ours


def tokens(draw, ours, B, T, everyone=False, scale=1.0):
    """(B, T, D) whose router logits are more than 0.001 apart; `everyone`: each expert is picked by some token."""
    weight = ours.router.weight.detach()
    for _ in range(200):
        x = draw.tensor(B, T, weight.shape[1], dtype=weight.dtype, scale=scale)
        logits = x @ weight.mT
        gap = logits.sort(dim=-1).values.diff(dim=-1)
        picked = logits.topk(ours.k, dim=-1).indices.unique()
        if (gap > 1e-3).all() and (not everyone or len(picked) == len(weight)):
            return x
    raise AssertionError("no tokens without a tie were found")


def same_mixture(theirs, ours, x):
    """The student's (y, router_logits) are the reference's."""
    with torch.no_grad():
        expected = ours(x)
    close(theirs(x), expected, what="the pair (y, router_logits)")


@moe
@pytest.mark.weight(2)
def test_all_experts(student, reference, draw):
    """With k = E all experts are mixed, by the softmax of the router's logits."""
    theirs, ours = mixtures(student, reference, draw, n_experts=3, k=3)
    same_mixture(theirs, ours, tokens(draw, ours, 2, 7))


@moe
@pytest.mark.weight(3)
def test_best_experts(student, reference, draw):
    """Each token gets the mix of its k best experts; with k = 1 the answer of the best one."""
    for n_experts, k in ((5, 2), (3, 1), (7, 3)):
        theirs, ours = mixtures(student, reference, draw, n_experts=n_experts, k=k)
        same_mixture(theirs, ours, tokens(draw, ours, 2, 7))


@moe
@pytest.mark.weight(2)
def test_gates_sum_to_one(student, reference, draw):
    """Where all experts are equal the answer is theirs, for any k: the gates of the chosen sum to 1."""
    for k in (1, 2, 3):
        theirs, ours = mixtures(student, reference, draw, n_experts=5, k=k)
        state = ours.state_dict()
        state |= {name: state[f"experts.0.{name[10:]}"] for name in state if name.startswith("experts.")}
        theirs.load_reference(state)
        ours.load_state_dict(state)
        same_mixture(theirs, ours, tokens(draw, ours, 2, 3))


@moe
@pytest.mark.names("topk_on_batch_axis")
def test_tokens_are_routed_alone(student, reference, draw):
    """What one token gets does not depend on the other tokens, of its row or of other rows."""
    theirs, ours = mixtures(student, reference, draw)
    x = tokens(draw, ours, 2, 7)
    with torch.no_grad():
        y, logits = ours(x)
    other = x.clone()
    other[1, 3] = tokens(draw, ours, 1, 1)[0, 0]
    seen, _ = theirs(other)
    stay = torch.ones(2, 7, dtype=torch.bool)
    stay[1, 3] = False
    close(seen[stay], y[stay], what="the answer for the tokens that stayed")
    order = draw.permutation(7)
    close(theirs(x[:, order])[0], y[:, order], what="the answer for tokens in another order")
    close(theirs(x[1:, 2:3]), (y[1:, 2:3], logits[9:10]), what="the answer for one token alone")


@moe
def test_small_mixtures(student, reference, draw):
    """One token, one expert, a hidden width of 1, and d_ff above or equal to d are ordinary cases."""
    for d, d_ff, n_experts, k in ((5, 3, 1, 1), (3, 1, 2, 1), (3, 7, 3, 2), (5, 5, 5, 2)):
        theirs, ours = mixtures(student, reference, draw, d, d_ff, n_experts, k)
        for _ in range(20):  # what depends on the order of a token's two experts is right for every second token
            same_mixture(theirs, ours, tokens(draw, ours, 1, 1))


@moe
@pytest.mark.weight(2)
def test_experts_without_tokens(student, reference, draw):
    """An expert that nobody picks changes nothing, not even the others' gradients, and gets a gradient of 0 or none."""
    theirs, ours = mixtures(student, reference, draw, d=5, n_experts=5, k=2)
    state = ours.state_dict()
    for e, opinion in enumerate((-0.5, -9.0, 0.5, -20.0, -40.0)):  # which of two is first is no foregone conclusion
        state["router.weight"][e, 0] = opinion
    theirs.load_reference(state)
    ours.load_state_dict(state)
    x = draw.tensor(2, 3, 5, scale=0.3)
    x[..., 0] = 1.0
    same_mixture(theirs, ours, x)
    found = student.vjp(theirs, x, cotangent=[draw.tensor(2, 3, 5), torch.zeros(6, 5).double()], parameters=True)
    for name, gradient in (found.parameters or {}).items():
        idle = name.startswith(("experts.1.", "experts.3.", "experts.4."))
        if idle and gradient is not None and gradient.any():
            raise Disagreement(f"{name} has a gradient, and no token picked that expert")
    agree_gradients(theirs, ours, x)


@moe
@pytest.mark.weight(3)
@pytest.mark.names("router_detached")
def test_mixture_gradients(student, reference, draw):
    """The gradients by x, the router and all experts are right, and there are E·D + 3·E·D·F trainable numbers."""
    for k in (2, 3):
        theirs, ours = mixtures(student, reference, draw, n_experts=3, k=k)
        x = tokens(draw, ours, 2, 5, everyone=True)
        agree_gradients(theirs, ours, x)
        cotangent = [draw.tensor(2, 5, 5), torch.zeros(10, 3).double()]
        found = student.vjp(theirs, x, cotangent=cotangent, parameters=True).parameters or {}
        named = dict(ours.named_parameters())
        for name, gradient in found.items():
            if gradient is None or not gradient.isfinite().all() or not gradient.any():
                raise Disagreement(f"no gradient, or none that is finite, reaches the parameter {name} from y")
        count, expected = sum(g.numel() for g in found.values()), sum(p.numel() for p in named.values())
        if count != expected:
            raise Disagreement(f"there are {count} trainable numbers in {len(found)} parameters, expected {expected}")
        if set(found) == set(named):  # else the student's parameters have names of their own, see load_reference
            wanted = torch.autograd.grad(ours(x), list(named.values()), cotangent)
            for name, gradient in zip(named, wanted, strict=True):
                close(found[name], gradient, tolerance=GRADIENT[torch.float64], what=f"the gradient of {name}")


@moe
def test_mixture_dtype_and_layout(student, reference, draw):
    """float32 stays float32; x may be a view; nothing is drawn at random, and x is not changed."""
    theirs, ours = mixtures(student, reference, draw, dtype=torch.float32)
    x = tokens(draw, ours, 2, 3)
    with torch.no_grad():
        close(quiet_rng(theirs, x), ours(x), what="the pair (y, router_logits)")
        theirs, ours = mixtures(student, reference, draw)
        x = tokens(draw, ours, 3, 7)
        agree(theirs, ours, x.mT.contiguous().mT)
        agree(theirs, ours, x.transpose(0, 1))


@moe
def test_number_of_experts(student, reference, draw):
    """k below 1 or above E is a ValueError; 1 and E are not."""
    for k in (1, 3):
        theirs, ours = mixtures(student, reference, draw, n_experts=3, k=k)
        same_mixture(theirs, ours, tokens(draw, ours, 2, 6))
    for k in (0, 4, -1):
        raises(ValueError, student.TopKMoE, 5, 3, 3, k)


BALANCE = (1e-6, 1e-8)  # whole numbers divided by N are float32, torch's default: such an f is as good


def apart(draw, N, E, scale=1.5):
    """(N, E) logits, those of each token more than 0.001 apart, some experts more popular than others."""
    while True:
        logits = draw.tensor(N, E, scale=scale) + torch.linspace(1.0, -1.0, E, dtype=torch.float64)
        if (logits.sort(dim=1).values.diff(dim=1) > 1e-3).all():
            return logits


@moe
@pytest.mark.weight(3)
def test_balance_values(student, reference, draw):
    """The loss is E times the sum over experts of f (picks per token) times P (mean probability)."""
    for N, E, k in ((11, 5, 1), (11, 5, 2), (7, 3, 2), (1, 5, 2), (3, 7, 3), (5, 3, 3)):
        logits = apart(draw, N, E)
        expected = reference.load_balancing_loss(logits, k)
        close(student.load_balancing_loss(logits, k), expected, tolerance=BALANCE, what="the loss")


@moe
def test_balance_extremes(student, draw):
    """A balanced load gives k; where all tokens agree on k experts and want nothing else, it is E."""
    for E, k in ((5, 1), (5, 2), (7, 3)):
        order = draw.permutation(E).double()
        ring = torch.stack([order.roll(n) for n in range(E)])
        loss = student.load_balancing_loss(ring, k)
        close(loss, torch.tensor(float(k)).double(), tolerance=BALANCE, what="the loss of a balanced load")
        agreed = 50.0 * (order >= E - k) + 0.01 * order
        loss = student.load_balancing_loss(agreed.expand(4, E).clone(), k)
        close(loss, torch.tensor(float(E)).double(), tolerance=BALANCE, what="the loss of the most uneven load")


@moe
@pytest.mark.weight(2)
def test_balance_gradient(student, reference, draw):
    """The loss moves the router through P: its gradient is that of E · Σ f P with f held fixed."""
    for k in (1, 2):
        logits = apart(draw, 7, 5)
        agree_gradients(student.load_balancing_loss, reference.load_balancing_loss, logits, k, tolerance=BALANCE)
    logits = apart(draw, 7, 5).float()
    agree(student.load_balancing_loss, reference.load_balancing_loss, logits, 2)


@moe
def test_load_picture(student):
    """The picture: two picks for each of 150 tokens, and a load that is much more even after training."""
    if not student.has("figure_data"):
        return
    before, after = torch.from_numpy(student.figure_data("experts"))
    if before.sum() != 300 or after.sum() != 300:
        raise Disagreement("the loads do not add up to two picks for each of 150 tokens")
    if not (after.max() - after.min() < 15 < before.max() - before.min()):
        raise Disagreement("training the router on the balancing loss did not make the load even")


# ---------------------------------------------------------------- linear_attention

linear = pytest.mark.exercise("linear_attention")


def sequence(draw, B=2, H=3, T=7, Dk=5, Dv=11, dtype=torch.float64, scale=1.5):
    """q, k (B, H, T, Dk) and v (B, H, T, Dv)."""
    return (*(draw.tensor(B, H, T, Dk, scale=scale).to(dtype) for _ in range(2)), draw.tensor(B, H, T, Dv).to(dtype))


def same_parallel(student, reference, qkv, **options):
    """The student's parallel form gives what the reference's does."""
    close(student.linear_attention_parallel(*qkv, **options), reference.linear_attention_parallel(*qkv, **options))


def states(reference, q, k, v):
    """The reference's (o_t, (S, z)) after each token."""
    state, seen = None, []
    for t in range(q.shape[2]):
        o_t, state = reference.linear_attention_recurrent(q[:, :, t], k[:, :, t], v[:, :, t], state)
        seen.append((o_t, state))
    return seen


def run(student, q, k, v, state=None):
    """The student's outputs token by token, (B, H, T, Dv), and the last state."""
    outs = []
    for t in range(q.shape[2]):
        o_t, state = student.linear_attention_recurrent(q[:, :, t], k[:, :, t], v[:, :, t], state)
        outs.append(o_t)
    return torch.stack(outs, dim=2), state


@linear
@pytest.mark.weight(3)
def test_parallel_causal(student, reference, draw):
    """Each query gets the mean of the values up to its own, weighted by φ(q)·φ(k)."""
    for sizes in ((2, 3, 7, 5, 11), (1, 2, 5, 3, 3), (1, 1, 5, 5, 5)):
        same_parallel(student, reference, sequence(draw, *sizes))


@linear
@pytest.mark.weight(2)
def test_parallel_everywhere(student, reference, draw):
    """With causal=False each query sees all keys."""
    for sizes in ((2, 3, 7, 5, 11), (1, 2, 5, 3, 3)):
        same_parallel(student, reference, sequence(draw, *sizes), causal=False)


@linear
def test_parallel_normalised(student, draw):
    """The weights of a query sum to 1: equal values come out as they are, and the first query gets its own."""
    q, k, v = sequence(draw)
    same = draw.tensor(11).expand(2, 3, 7, 11).clone()
    for causal in (True, False):
        close(student.linear_attention_parallel(q, k, same, causal=causal), same, what="the mean of equal values")
    close(student.linear_attention_parallel(q, k, v)[:, :, 0], v[:, :, 0], what="the output of the first query")


@linear
@pytest.mark.weight(2)
def test_parallel_causality(student, reference, draw):
    """What comes later does not change what came before."""
    q, k, v = sequence(draw)
    expected = reference.linear_attention_parallel(q, k, v)
    later = [x.clone() for x in (q, k, v)]
    for x in later:
        x[:, :, 4:] = draw.tensor(*x[:, :, 4:].shape)
    close(student.linear_attention_parallel(*later)[:, :, :4], expected[:, :, :4], what="the output before the change")


@linear
def test_parallel_feature_map(student, reference, draw):
    """φ(x) is x + 1 above 0 and exp(x) below: also where all entries are far from 0."""
    for shift in (6.0, -6.0):
        q, k, v = sequence(draw, T=5, scale=1.0)
        q, k = (x.clamp(-3, 3) for x in (q, k))
        same_parallel(student, reference, (q + shift, k + shift, v))
        same_parallel(student, reference, (q - shift, k + shift, v))


@linear
@pytest.mark.weight(3)
def test_recurrent_states(student, reference, draw):
    """Token by token: the outputs, and the sums S (B, H, Dk, Dv) and z (B, H, Dk), this token included."""
    for sizes in ((1, 1, 3, 3, 3), (1, 2, 3, 7, 2), (2, 3, 5, 5, 11)):
        q, k, v = sequence(draw, *sizes)
        state = None
        for t, expected in enumerate(states(reference, q, k, v)):
            answer = student.linear_attention_recurrent(q[:, :, t], k[:, :, t], v[:, :, t], state)
            close(answer, expected, what=f"(o_t, (S, z)) of token {t}")
            state = answer[1]


@linear
@pytest.mark.weight(2)
def test_recurrent_goes_on(student, reference, draw):
    """From the sums over the first tokens it goes on as if it had seen them, wherever the sequence was cut."""
    q, k, v = sequence(draw)
    expected = states(reference, q, k, v)
    for cut in (1, 4, 6):
        outs, _ = run(student, *(x[:, :, cut:] for x in (q, k, v)), state=expected[cut - 1][1])
        close(outs, torch.stack([o for o, _ in expected[cut:]], dim=2), what="the outputs after the cut")


@linear
@pytest.mark.names("state_changed_in_place")
def test_recurrent_leaves_the_state(student, reference, draw):
    """The old state is as it was after the call: it may be continued in several ways."""
    q, k, v = sequence(draw, T=3)
    state = states(reference, q, k, v)[1][1]
    args = (q[:, :, 2], k[:, :, 2], v[:, :, 2], state)
    called = student.call(student.linear_attention_recurrent, *args)
    close(called.value[0], states(reference, q, k, v)[2][0])
    close(called.echo, (args, {}), tolerance=(0, 0), what="the caller's arguments")


@linear
def test_recurrent_size(student, reference, draw):
    """A step makes no tensor much larger than S, and what it keeps does not grow with the number of tokens."""
    q, k, v = sequence(draw, 1, 2, 40, 5, 7)
    seen = states(reference, q, k, v)
    for t in (1, 39):
        step = student.measure(student.linear_attention_recurrent, q[:, :, t], k[:, :, t], v[:, :, t], seen[t - 1][1])
        close(step.value, seen[t], what="(o_t, (S, z))")
        largest = step.measured["largest_bytes"]
        if largest > 4 * 8 * 2 * 5 * 7:
            raise Disagreement(f"a step made a tensor of {largest} bytes; S has {8 * 2 * 5 * 7}")


@linear
@pytest.mark.weight(2)
def test_linear_attention_half_precision(student, reference, draw):
    """float16 and bfloat16 come back, are computed in float32, and do not drift: the state is float32."""
    for dtype, rounding in ((torch.float16, 1.1e-3), (torch.bfloat16, 8.5e-3)):  # one unit in the last place
        q, k, v = sequence(draw, 3, 2, 270, 2, 3, scale=0.3)
        v = v + torch.linspace(0, 3, 270, dtype=torch.float64)[:, None]  # who stops counting stays at the beginning
        q, k, v = (x.to(dtype) for x in (q, k, v))
        expected = reference.linear_attention_parallel(q, k, v)
        close(student.linear_attention_parallel(q, k, v), expected, rtol=rounding, atol=1e-4)
        few = [x.to(dtype) for x in sequence(draw, 3, 2, 7, 5, 3)]
        few[2] = 8 * few[2]  # of a few values that are large and cancel, a rounded weight leaves something else
        expected_few = reference.linear_attention_parallel(*few)
        close(student.linear_attention_parallel(*few), expected_few, rtol=rounding, atol=1e-4)
        for three, wanted, exact in (((q, k, v), expected, (1e-3, 1e-5)), (few, expected_few, (1e-5, 1e-3))):
            outs, (S, z) = run(student, *three)
            close(outs, wanted, rtol=rounding, atol=1e-4, what="the outputs, token by token")
            wide = states(reference, *(x.float() for x in three))[-1][1]
            close((S, z), wide, tolerance=exact, what="the state")


@linear
def test_linear_attention_float32(student, reference, draw):
    """float32 stays float32; views, one token and one head are ordinary; nothing is random, no argument is changed."""
    q, k, v = sequence(draw, dtype=torch.float32)
    quiet_rng(student.linear_attention_parallel, q, k, v)
    quiet_rng(student.linear_attention_recurrent, q[:, :, 0], k[:, :, 0], v[:, :, 0])
    agree(student.linear_attention_parallel, reference.linear_attention_parallel, q, k, v)
    agree(
        student.linear_attention_recurrent,
        reference.linear_attention_recurrent,
        q[..., 0, :],
        k[..., 0, :],
        v[..., 0, :],
    )
    views = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in sequence(draw)]
    agree(student.linear_attention_parallel, reference.linear_attention_parallel, *views)
    one = sequence(draw, 1, 1, 1, 3, 2)
    agree(student.linear_attention_parallel, reference.linear_attention_parallel, *one)
    agree(student.linear_attention_parallel, reference.linear_attention_parallel, *one, causal=False)


@linear
@pytest.mark.weight(2)
def test_linear_attention_gradients(student, reference, draw):
    """The gradients by queries, keys and values are right, in both forms."""
    q, k, v = sequence(draw, 1, 2, 5, 3, 2)
    for causal in (True, False):
        agree_gradients(student.linear_attention_parallel, reference.linear_attention_parallel, q, k, v, causal=causal)
    state = states(reference, q, k, v)[2][1]
    step = (q[:, :, 3], k[:, :, 3], v[:, :, 3])
    wanted = [x.requires_grad_() for x in (x.clone() for x in step)]
    o_t, (S, z) = reference.linear_attention_recurrent(*wanted, state)
    cotangent = [draw.tensor(*x.shape) for x in (o_t, S, z)]
    expected = torch.autograd.grad([o_t, S, z], wanted, cotangent)
    seen = student.vjp(student.linear_attention_recurrent, *step, cotangent=cotangent, wanted=[0, 1, 2], state=state)
    for found, right, name in zip(seen.grads or [None] * 3, expected, "qkv", strict=True):
        close(found, right, tolerance=GRADIENT[torch.float64], what=f"the gradient by {name}_t")


@linear
def test_linear_attention_picture(student):
    """The picture: both forms give the same weights, none of them later than the query; the state does not grow."""
    if not student.has("figure_data"):
        return
    parallel, recurrent = torch.from_numpy(student.figure_data("attention"))
    close(parallel, recurrent, what="the weights by the parallel form")
    close(parallel.sum(dim=1), torch.ones(48).double(), what="the sums of the rows")
    if parallel.triu(1).any() or not (parallel.tril() > 0).sum() == 48 * 49 / 2:
        raise Disagreement("a query gives weight to a later key, or none to an earlier one")
    close(torch.from_numpy(student.figure_data("state")), torch.full((48,), 20), what="the size of the state")


# ---------------------------------------------------------------- ssm_scan

ssm = pytest.mark.exercise("ssm_scan")


def system(draw, D=3, N=5, dtype=np.float64):
    """a, b and c (D, N), with a between -1 and 1."""
    return tuple(f.astype(dtype) for f in (np.tanh(draw.array(D, N)), draw.array(D, N), draw.array(D, N)))


def same_scan(student, reference, *args, **kwargs):
    """The student's (y, h_T) are the reference's."""
    close(student.ssm_scan(*args, **kwargs), reference.ssm_scan(*args, **kwargs), what="the pair (y, h_T)")


@ssm
@pytest.mark.weight(3)
def test_scan_values(student, reference, draw):
    """The state fades, takes in the input, and is read: y_t = Σ c h_t with h_t = a h_{t-1} + b x_t."""
    for B, T, D, N in ((1, 7, 1, 1), (2, 7, 3, 5), (2, 5, 5, 3), (3, 11, 3, 3)):
        same_scan(student, reference, draw.array(B, T, D), *system(draw, D, N))


@ssm
def test_scan_one_step(student, reference, draw):
    """The first input is read at once; one step is an ordinary case."""
    same_scan(student, reference, draw.array(2, 1, 3), *system(draw))
    same_scan(student, reference, draw.array(1, 2, 1), *system(draw, 1, 2))


@ssm
@pytest.mark.weight(2)
def test_scan_start(student, reference, draw):
    """The state before the first step is h0: what was remembered fades into the outputs."""
    for B, T, D, N in ((2, 7, 3, 5), (1, 1, 3, 2)):
        x, abc, h0 = draw.array(B, T, D), system(draw, D, N), draw.array(B, D, N)
        same_scan(student, reference, x, *abc, h0)
        same_scan(student, reference, x, *abc, h0=h0)
        same_scan(student, reference, np.zeros_like(x), *abc, h0)


@ssm
@pytest.mark.weight(2)
def test_scan_goes_on(student, reference, draw):
    """The state at the end is all that the rest needs, wherever the sequence is cut."""
    x, abc = draw.array(2, 11, 3), system(draw)
    y, end = reference.ssm_scan(x, *abc)
    for cut in (1, 5, 10):
        first, h = student.ssm_scan(x[:, :cut], *abc)
        second, last = student.ssm_scan(x[:, cut:], *abc, h)
        close(np.concatenate([first, second], axis=1), y, what="the two parts together")
        close(last, end, what="the state at the end")


@ssm
@pytest.mark.names("a_not_per_channel")
def test_scan_channels(student, reference, draw):
    """Channels do not meet, and each of them has an a, b and c of its own."""
    x, (a, b, c) = draw.array(2, 7, 5), system(draw, 5, 2)
    y, h = reference.ssm_scan(x, a, b, c)
    for d in (0, 3):
        one = (student.ssm_scan)(x[:, :, d : d + 1], a[d : d + 1], b[d : d + 1], c[d : d + 1])
        close(one, (y[:, :, d : d + 1], h[:, d : d + 1]), what="the answer for one channel alone")
    order = draw.permutation(5).numpy()
    answer = student.ssm_scan(x[:, :, order], a[order], b[order], c[order])
    close(answer, (y[:, :, order], h[:, order]), what="the answer for channels in another order")


@ssm
def test_scan_memories(student, reference, draw):
    """a = 0 forgets at once, 1 adds up, -1 alternates; a long sequence with |a| < 1 stays finite."""
    x = draw.array(2, 7, 1)
    for a in (0.0, 1.0, -1.0, 0.5, 1.5):
        same_scan(student, reference, x, np.full((1, 2), a), *system(draw, 1, 2)[1:])
    x = np.ones((1, 2000, 1))
    y, h = student.ssm_scan(x, np.array([[0.9, -0.9]]), np.ones((1, 2)), np.ones((1, 2)))
    close(y[:, -1], np.array([[10.0 + 1 / 1.9]]), what="the output after 2000 steps")
    close(h, np.array([[[10.0, 1 / 1.9]]]), what="the state after 2000 steps")


@ssm
@pytest.mark.weight(3)
def test_convolution_values(student, reference, draw):
    """Each channel's input is convolved with its kernel, be that as long as the input, shorter or longer."""
    for B, T, D, L in (
        (1, 7, 1, 7),
        (2, 7, 3, 7),
        (2, 11, 3, 5),
        (2, 5, 3, 11),
        (1, 3, 2, 17),
        (2, 7, 5, 1),
        (2, 1, 3, 1),
    ):
        x, kernel = draw.array(B, T, D), draw.array(D, L)
        close(student.ssm_convolution(x, kernel), reference.ssm_convolution(x, kernel))


@ssm
@pytest.mark.weight(2)
@pytest.mark.names("circular_convolution")
def test_convolution_causality(student, draw):
    """An input changes nothing before it: one at the end gives only the last output."""
    for L in (5, 11, 23):
        x, kernel = np.zeros((1, 11, 3)), draw.array(3, L)
        x[0, 10] = 1.0
        expected = np.zeros((1, 11, 3))
        expected[0, 10] = kernel[:, 0]
        close(student.ssm_convolution(x, kernel), expected)


@ssm
@pytest.mark.weight(2)
def test_scan_is_a_convolution(student, reference, draw):
    """Both ways lead to the same numbers, for sequences of some length too."""
    x, (a, b, c) = draw.array(1, 100, 2), system(draw, 2, 3)
    kernel = np.einsum("dn,dnt,dn->dt", c, a[..., None] ** np.arange(100), b)
    y, _ = reference.ssm_scan(x, a, b, c)
    close(student.ssm_convolution(x, kernel), y, what="the convolution")
    close(student.ssm_scan(x, a, b, c)[0], y, what="the scan")


@ssm
def test_ssm_dtype_and_arguments(student, reference, draw):
    """float32 stays float32, views are ordinary, and no argument is changed, h0 included."""
    for dtype in (np.float32, np.float64):
        x, abc, h0 = draw.array(2, 7, 3, dtype=dtype), system(draw, dtype=dtype), draw.array(2, 3, 5, dtype=dtype)
        agree(student.ssm_scan, reference.ssm_scan, x, *abc, h0)
        agree(student.ssm_scan, reference.ssm_scan, x, *abc)
        agree(student.ssm_convolution, reference.ssm_convolution, x, draw.array(3, 5, dtype=dtype))
    x = np.swapaxes(draw.array(7, 2, 3), 0, 1)
    agree(student.ssm_scan, reference.ssm_scan, x, *(f.T for f in system(draw, 5, 3)))
    agree(student.ssm_convolution, reference.ssm_convolution, x, draw.array(5, 3).T)


@ssm
def test_ssm_picture(student):
    """The picture: the input, and the same output by the scan and by the convolution with the kernel."""
    if not student.has("figure_data"):
        return
    picture = student.figure_data("ssm")
    close(picture, np.zeros((4, 64)), rtol=0.0, atol=math.inf, what="the picture")
    expected = np.convolve(picture[1], picture[0])[:64]
    close(picture[2], expected, what="the output by the scan")
    close(picture[3], expected, what="the output by the convolution")
