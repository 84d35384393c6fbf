"""Hidden grader of the page `multi_head_attention`."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autograder.grading import agree, agree_gradients, close, quiet_rng, raises
from autograder.grading.chance import each_by_itself
from autograder.grading.compare import GRADIENT, Disagreement, describe
from autograder.sandbox.client import Remote

# ---------------------------------------------------------------- mha_torch

mha_torch = pytest.mark.exercise("mha_torch")

NAMES = ("q", "k", "v", "out")


def weights_of(draw, d_model, d_kv=None, bias=True, dtype=torch.float64):
    """A state dict: asymmetric, scores of a few units, biases of order 1."""
    widths = dict(zip(NAMES, (d_model, d_kv or d_model, d_kv or d_model, d_model), strict=True))
    scale = {"q": 1.4, "k": 1.4, "v": 1.0, "out": 1.0}
    state = {
        f"{n}_proj.weight": draw.tensor(d_model, w, dtype=dtype, scale=scale[n] * w**-0.5) for n, w in widths.items()
    }
    return state | ({f"{n}_proj.bias": draw.tensor(d_model, dtype=dtype) for n in NAMES} if bias else {})


def layers(student, reference, draw, d_model=6, n_heads=3, dtype=torch.float64, **options):
    """The student's layer and the reference's, with the same random weights."""
    state = weights_of(draw, d_model, options.get("d_kv"), options.get("bias", True), dtype)
    theirs = student.MultiHeadAttention(d_model, n_heads, **options)
    theirs.load_reference(state)
    ours = reference.MultiHeadAttention(d_model, n_heads, **options).to(dtype)
    ours.load_state_dict(state)
    return theirs, ours


def same(theirs, ours, *inputs, **kwargs):
    """Both layers give the same; the student's answer."""
    with torch.no_grad():
        expected = ours(*inputs, **kwargs)
    answer = theirs(*inputs, **kwargs)
    close(answer, expected)
    return answer


def registered(student, theirs, x, expected):
    """The student's layer has `expected` numbers as parameters, and a finite gradient reaches them all."""
    with torch.no_grad():
        cotangent = torch.linspace(-1, 1.5, x.numel(), dtype=x.dtype).reshape(x.shape)
    found = student.vjp(theirs, x, cotangent=cotangent, parameters=True).parameters or {}
    for name, gradient in found.items():
        if gradient is None:
            raise Disagreement(f"no gradient reaches the parameter {name}")
        if not gradient.isfinite().all():
            raise Disagreement(f"the gradient of the parameter {name} is not finite")
    count = sum(gradient.numel() for gradient in found.values())
    if count != expected:
        raise Disagreement(f"the layer has {count} trainable numbers in {len(found)} parameters, expected {expected}")
    return found


@mha_torch
def test_parameters(student, reference, draw):
    """All weights and biases are parameters that the module knows, 4D² + 4D numbers, and gradients reach them."""
    theirs = student.MultiHeadAttention(6, 2)
    len(theirs._modules)  # plain tensors or a list of heads: tells the two apart where both fail to load
    theirs.load_reference(weights_of(draw, 6))
    registered(student, theirs, draw.tensor(2, 5, 6), 4 * 36 + 4 * 6)
    theirs, _ = layers(student, reference, draw, bias=False)
    registered(student, theirs, draw.tensor(2, 5, 6), 4 * 36)


@mha_torch
@pytest.mark.weight(3)
def test_self_attention(student, reference, draw):
    """One input alone is query, key and value; each head has its block of rows, and the scale is 1/√Dh."""
    theirs, ours = layers(student, reference, draw, 15, 5)
    same(theirs, ours, draw.tensor(2, 7, 15))
    theirs, ours = layers(student, reference, draw, 22, 2, bias=False)
    same(theirs, ours, draw.tensor(3, 5, 22))


@mha_torch
@pytest.mark.weight(3)
def test_three_inputs(student, reference, draw):
    """Queries come from query, keys from key and values from value, which may all be different."""
    theirs, ours = layers(student, reference, draw)
    same(theirs, ours, draw.tensor(2, 5, 6), draw.tensor(2, 5, 6), draw.tensor(2, 5, 6))
    same(theirs, ours, draw.tensor(2, 3, 6), draw.tensor(2, 7, 6), draw.tensor(2, 7, 6))
    memory = draw.tensor(2, 11, 6)
    same(theirs, ours, draw.tensor(2, 5, 6), memory, memory)


@mha_torch
@pytest.mark.names("value_defaults_to_query")  # whoever never reads value has failed the test before
def test_value_is_key_by_default(student, reference, draw):
    """Without a value the key is the value too, also where the query is another tensor."""
    theirs, ours = layers(student, reference, draw)
    same(theirs, ours, draw.tensor(2, 5, 6), draw.tensor(2, 5, 6))
    same(theirs, ours, draw.tensor(2, 5, 6), draw.tensor(2, 7, 6))


@mha_torch
def test_width_of_keys_and_values(student, reference, draw):
    """With d_kv the key and value inputs have a width of their own; the output is as wide as the query."""
    for d_kv in (11, 5):
        theirs, ours = layers(student, reference, draw, d_kv=d_kv)
        same(theirs, ours, draw.tensor(2, 5, 6), draw.tensor(2, 7, d_kv), draw.tensor(2, 7, d_kv))


@mha_torch
@pytest.mark.weight(2)
def test_masks(student, reference, draw):
    """A masked key takes no part (True = may attend); masks broadcast to (B, H, Tq, Tk)."""
    theirs, ours = layers(student, reference, draw, d_kv=5)
    query, memory, mask = draw.tensor(2, 5, 6), draw.tensor(2, 7, 5), draw.mask(2, 3, 5, 7)
    for allowed in (mask[:, :1], mask[0, 0], mask[:, :1, :1], mask):
        same(theirs, ours, query, memory, memory, mask=allowed)


@mha_torch
def test_empty_row(student, reference, draw):
    """A query that may attend to nothing gives the bias of out_proj, or 0 without biases; nothing is NaN."""
    for bias in (True, False):
        theirs, ours = layers(student, reference, draw, bias=bias)
        mask = draw.mask(2, 1, 5, 5, empty_rows=(3,))
        mask[1] = False
        same(theirs, ours, draw.tensor(2, 5, 6), mask=mask)
        same(theirs, ours, draw.tensor(2, 5, 6), mask=mask, need_weights=True)


@mha_torch
@pytest.mark.weight(2)
def test_weights(student, reference, draw):
    """need_weights adds the weights (B, H, Tq, Tk) of each head; a masked pair has exactly 0; out stays the same."""
    theirs, ours = layers(student, reference, draw, 10, 5, d_kv=3)
    inputs, mask = (draw.tensor(2, 4, 10), draw.tensor(2, 7, 3), draw.tensor(2, 7, 3)), draw.mask(2, 1, 4, 7)
    same(theirs, ours, *inputs, need_weights=True)
    out, share = same(theirs, ours, *inputs, mask=mask, need_weights=True)
    masked = share[~mask.expand_as(share)]
    close(masked, torch.zeros_like(masked), tolerance=(0, 0), what="the weights of masked pairs")
    close(theirs(*inputs, mask=mask), out)


@mha_torch
def test_small_cases(student, reference, draw):
    """One example, one token, one key, one head and heads of width 1 are ordinary cases."""
    for d_model, n_heads in ((6, 1), (5, 5)):
        theirs, ours = layers(student, reference, draw, d_model, n_heads)
        for q_len, kv_len in ((1, 1), (1, 7), (5, 1)):
            memory = draw.tensor(1, kv_len, d_model)
            same(theirs, ours, draw.tensor(1, q_len, d_model), memory, memory, need_weights=True)


@mha_torch
@pytest.mark.weight(2)
def test_dropout_knows_the_mode(student, reference, draw):
    """In eval mode nothing is dropped and nothing drawn, nor is it with dropout 0; in train mode something is.

    In train mode no weight of 2·3·11·11 = 726 would be dropped with probability 2^-726.
    """
    x = draw.tensor(2, 11, 6)
    theirs, ours = layers(student, reference, draw, dropout=0.5)
    theirs.train(False)
    with torch.no_grad():
        expected = ours(x)
    for _ in range(2):
        close(quiet_rng(theirs, x), expected)
    theirs.train(True)
    noisy = theirs(x)
    close(noisy, torch.zeros_like(expected), rtol=0.0, atol=math.inf)
    if torch.allclose(noisy, expected):
        raise Disagreement("with dropout 0.5 the output in train mode is that of eval mode")
    theirs, ours = layers(student, reference, draw)
    close(quiet_rng(theirs, x), ours(x).detach())


@mha_torch
@pytest.mark.weight(2)
def test_dropout_of_each_weight(student, draw):
    """In train mode each weight is dropped by itself, and the others are divided by 1 − dropout; those shown are whole.

    Values and projections are invertible, so that the output tells each weight. Eight counts of chance.py: a right
    answer fails once in 1e8 runs.
    """
    B, H, T, p = 4, 2, 11, 0.3
    turn = [torch.linalg.qr(draw.tensor(n, n))[0] for n in (T, T, H * T)]  # of each head's values, of the output
    state = {name: value for name, value in weights_of(draw, H * T, T, bias=False).items() if name[0] in "qk"}
    state |= {"v_proj.weight": torch.cat(turn[:2]), "out_proj.weight": turn[2]}
    theirs = student.MultiHeadAttention(H * T, H, d_kv=T, bias=False, dropout=p)
    theirs.load_reference(state)
    inputs = draw.tensor(B, T, H * T), draw.tensor(B, T, T), torch.eye(T).double().expand(B, T, T).clone()
    form = torch.zeros(B, T, H * T).double(), torch.zeros(B, H, T, T).double()
    theirs.train(False)
    whole = theirs(*inputs, need_weights=True)
    close(whole, form, rtol=0.0, atol=math.inf)
    theirs.train(True)
    for shown in (False, True):
        answer = theirs(*inputs, need_weights=shown)
        close(answer, form if shown else form[0], rtol=0.0, atol=math.inf)
        if shown:
            close(answer[1], whole[1], what="the tensor of weights in train mode, which are those before dropout,")
        parts = ((answer[0] if shown else answer) @ turn[2]).unflatten(-1, (H, T)).unbind(2)
        used = torch.stack([part @ rotation for part, rotation in zip(parts, turn, strict=False)], dim=1)
        kept = used > whole[1] / 2
        if torch.allclose(used, whole[1], rtol=1e-6, atol=1e-9):
            raise Disagreement("no weight is dropped in train mode, with dropout 0.3")
        if torch.allclose(used, torch.where(kept, whole[1], 0.0), rtol=1e-6, atol=1e-9):
            raise Disagreement("the weights that were not dropped are not divided by 1 − dropout")
        expected = torch.where(kept, whole[1] / (1 - p), 0.0)
        close(used, expected, rtol=1e-7, atol=1e-9, what="the tensor of weights that mix the values in train mode")
        each_by_itself(~kept.flatten(0, 1), p, "weights")


@mha_torch
def test_heads_divide_the_width(student, reference, draw):
    """A number of heads that does not divide d_model raises ValueError, and one that does is none."""
    theirs, _ = layers(student, reference, draw)
    close(theirs(draw.tensor(2, 5, 6)), torch.zeros(2, 5, 6).double(), rtol=0.0, atol=math.inf)
    raises(ValueError, student.MultiHeadAttention, 10, 3)


@mha_torch
def test_dtypes_and_views(student, reference, draw):
    """float32 weights and inputs give float32; inputs may be views that are not contiguous."""
    theirs, ours = layers(student, reference, draw, dtype=torch.float32)
    x = draw.tensor(2, 5, 6, dtype=torch.float32)
    same(theirs, ours, x, mask=draw.mask(5, 5), need_weights=True)
    theirs, ours = layers(student, reference, draw)
    same(theirs, ours, draw.tensor(2, 6, 5).mT, draw.tensor(2, 7, 12)[..., ::2], draw.tensor(7, 2, 6).transpose(0, 1))


@mha_torch
@pytest.mark.weight(3)
def test_layer_gradients(student, reference, draw):
    """The gradients of query, key, value and of all weights and biases are right, with a mask too."""
    theirs, ours = layers(student, reference, draw, d_kv=5)
    inputs = draw.tensor(2, 4, 6), draw.tensor(2, 7, 5), draw.tensor(2, 7, 5)
    agree_gradients(theirs, ours, *inputs)
    agree_gradients(theirs, ours, *inputs, mask=draw.mask(2, 1, 4, 7), need_weights=True)
    x = draw.tensor(2, 5, 6)
    theirs, ours = layers(student, reference, draw)
    found = registered(student, theirs, x, 4 * 36 + 4 * 6)
    cotangent = torch.linspace(-1, 1.5, x.numel(), dtype=x.dtype).reshape(x.shape)
    wanted = torch.autograd.grad(ours(x), list(ours.parameters()), cotangent)
    expected = dict(zip(dict(ours.named_parameters()), wanted, strict=True))
    if set(found) == set(expected):  # else the student's parameters have names of their own, see load_reference
        close(found, expected, tolerance=GRADIENT[torch.float64], what="the gradient")


@mha_torch
def test_gradients_of_an_empty_row(student, reference, draw):
    """Gradients stay finite where a row of the mask is empty."""
    theirs, ours = layers(student, reference, draw)
    agree_gradients(theirs, ours, draw.tensor(2, 5, 6), mask=draw.mask(5, 5, empty_rows=(2,)))


@mha_torch
def test_arguments_are_left_alone(student, reference, draw):
    """query, key, value and the mask are as they were after the call."""
    theirs, ours = layers(student, reference, draw)
    inputs, mask = (draw.tensor(2, 5, 6), draw.tensor(2, 7, 6), draw.tensor(2, 7, 6)), draw.mask(2, 1, 5, 7)
    called = student.call(theirs, *inputs, mask=mask)
    with torch.no_grad():
        close(called.value, ours(*inputs, mask=mask))
    close(called.echo, (inputs, {"mask": mask}), tolerance=(0, 0), what="the caller's arguments")


# ---------------------------------------------------------------- fused_qkv_layouts

fused_qkv_layouts = pytest.mark.exercise("fused_qkv_layouts")


@fused_qkv_layouts
@pytest.mark.weight(2)
def test_fuse(student, reference, draw):
    """Wq lies on top, then Wk, then Wv."""
    agree(student.fuse_qkv, reference.fuse_qkv, *(draw.tensor(6, 6) for _ in range(3)))


@fused_qkv_layouts
@pytest.mark.weight(2)
def test_fused_attention(student, draw):
    """One product with the fused weight gives queries, keys and values side by side: attention stays the same."""
    x, parts = draw.tensor(2, 7, 6), [draw.tensor(6, 6) for _ in range(3)]
    fused = student.fuse_qkv(*parts)
    close(fused, torch.zeros(18, 6).double(), rtol=0.0, atol=math.inf)
    expected = F.scaled_dot_product_attention(*(F.linear(x, W) for W in parts))
    close(F.scaled_dot_product_attention(*F.linear(x, fused).chunk(3, dim=-1)), expected, what="attention")


@fused_qkv_layouts
@pytest.mark.weight(2)
def test_split_plain(student, reference, draw):
    """In "qkv" layout, the default, the three weights come back from top, middle and bottom, whatever H is."""
    W = draw.tensor(30, 10)
    agree(student.split_qkv, reference.split_qkv, W)
    for H in (1, 2, 5):
        agree(student.split_qkv, reference.split_qkv, W, layout="qkv", H=H)


@fused_qkv_layouts
@pytest.mark.weight(3)
def test_split_per_head(student, reference, draw):
    """In "per_head" layout each head holds its rows of Wq, Wk and Wv together: q1 k1 v1 q2 k2 v2 ..."""
    for D, H in ((15, 3), (15, 5), (22, 2), (7, 1), (7, 7)):
        agree(student.split_qkv, reference.split_qkv, draw.tensor(3 * D, D), layout="per_head", H=H)
    agree(student.split_qkv, reference.split_qkv, draw.tensor(30, 10), layout="per_head")  # H is 1 by default


@fused_qkv_layouts
@pytest.mark.weight(2)
def test_conv1d(student, reference, draw):
    """A Conv1D weight (in, out) becomes (out, in), also where it is square; F.linear with it is x @ W."""
    x = draw.tensor(3, 7)
    for out in (7, 21, 5):
        W = draw.tensor(7, out)
        close(F.linear(x, agree(student.from_conv1d, reference.from_conv1d, W)), x @ W)


@fused_qkv_layouts
@pytest.mark.weight(2)
def test_qkv_biases(student, reference, draw):
    """All three functions take biases: (D,) and (3D,)."""
    b = draw.tensor(30)
    agree(student.split_qkv, reference.split_qkv, b, layout="per_head", H=5)
    agree(student.split_qkv, reference.split_qkv, b, layout="qkv", H=5)
    agree(student.fuse_qkv, reference.fuse_qkv, *b.chunk(3))
    agree(student.from_conv1d, reference.from_conv1d, b)


@fused_qkv_layouts
def test_layout_round_trip(student, draw):
    """What was fused comes back when it is split; from (in, out) too."""
    parts = tuple(draw.tensor(10, 10) for _ in range(3))
    fused = student.fuse_qkv(*parts)
    close(student.split_qkv(fused, layout="qkv", H=2), parts)
    turned = student.from_conv1d(fused.mT)
    close(student.split_qkv(turned, layout="qkv", H=2), parts)


@fused_qkv_layouts
def test_layout_dtypes_views_and_gradients(student, reference, draw):
    """float32 stays float32, views work, and gradients pass through."""
    W = draw.tensor(10, 30, dtype=torch.float32).mT
    agree(student.split_qkv, reference.split_qkv, W, layout="per_head", H=5)
    agree(student.from_conv1d, reference.from_conv1d, W)
    agree_gradients(student.split_qkv, reference.split_qkv, draw.tensor(30, 10), layout="per_head", H=5)
    agree_gradients(student.fuse_qkv, reference.fuse_qkv, *(draw.tensor(5, 5) for _ in range(3)))
    agree_gradients(student.from_conv1d, reference.from_conv1d, draw.tensor(5, 15))


# ---------------------------------------------------------------- grouped_query_attention

grouped_query_attention = pytest.mark.exercise("grouped_query_attention")


def heads(draw, Hq, Hkv, q_len=5, kv_len=7, batch=2, dtype=torch.float64):
    """q, k, v with heads of width 11."""
    kv = [draw.tensor(batch, Hkv, kv_len, 11, dtype=dtype) for _ in range(2)]
    return draw.tensor(batch, Hq, q_len, 11, dtype=dtype), *kv


@grouped_query_attention
@pytest.mark.weight(3)
def test_groups(student, reference, draw):
    """Neighbouring query heads share a key-value head: head h uses h // (Hq / Hkv)."""
    for shared in (heads(draw, 6, 3), heads(draw, 10, 2, batch=3)):
        close(student.gqa(*shared), reference.gqa(*shared))


@grouped_query_attention
@pytest.mark.weight(2)
def test_ends_of_the_scale(student, reference, draw):
    """With Hkv = Hq it is multi-head attention, and with Hkv = 1 all heads share (multi-query attention)."""
    for Hq, Hkv in ((5, 5), (5, 1), (1, 1)):
        q, k, v = heads(draw, Hq, Hkv)
        close(student.gqa(q, k, v), reference.gqa(q, k, v))


@grouped_query_attention
@pytest.mark.weight(2)
def test_gqa_masks(student, reference, draw):
    """A masked key takes no part (True = may attend), for masks with and without axes for batch and heads."""
    inputs, mask = heads(draw, 6, 2), draw.mask(2, 6, 5, 7)
    for allowed in (mask[0, 0], mask[:, :1], mask[:, :1, :1], mask):
        close(student.gqa(*inputs, mask=allowed), reference.gqa(*inputs, mask=allowed))


@grouped_query_attention
@pytest.mark.weight(2)
def test_gqa_causal(student, reference, draw):
    """With is_causal query i sees keys 0..i (top-left), for fewer, as many and more keys; and a mask as well."""
    for q_len, kv_len in ((5, 5), (5, 7), (7, 3)):
        inputs, mask = heads(draw, 6, 3, q_len, kv_len), draw.mask(q_len, kv_len)
        mask[:, 0] = True
        close(student.gqa(*inputs, is_causal=True), reference.gqa(*inputs, is_causal=True))
        expected = reference.gqa(*inputs, mask=mask, is_causal=True)
        close(student.gqa(*inputs, mask=mask, is_causal=True), expected)


@grouped_query_attention
def test_gqa_empty_row(student, reference, draw):
    """A query that may attend to nothing yields zeros and finite gradients."""
    inputs, mask = heads(draw, 6, 3), draw.mask(2, 1, 5, 7, empty_rows=(2,))
    close(student.gqa(*inputs, mask=mask), reference.gqa(*inputs, mask=mask))
    agree_gradients(student.gqa, reference.gqa, *inputs, mask=mask)


@grouped_query_attention
@pytest.mark.weight(2)
def test_wrong_ratio(student, reference, draw):
    """If Hkv does not divide Hq, that is a ValueError."""
    inputs = heads(draw, 6, 2)
    close(student.gqa(*inputs), reference.gqa(*inputs))
    for Hq, Hkv in ((5, 3), (7, 2), (2, 3)):
        raises(ValueError, student.gqa, *heads(draw, Hq, Hkv))


@grouped_query_attention
@pytest.mark.weight(2)
def test_gqa_gradients(student, reference, draw):
    """Gradients are right; those of a key-value head are sums over its group."""
    agree_gradients(student.gqa, reference.gqa, *heads(draw, 6, 2))
    agree_gradients(student.gqa, reference.gqa, *heads(draw, 6, 3), mask=draw.mask(5, 7))


@grouped_query_attention
def test_gqa_dtypes_and_views(student, reference, draw):
    """float32 stays float32; inputs may be views, such as (B, T, H, Dh) with two axes swapped; one token is enough."""
    inputs = heads(draw, 6, 3, dtype=torch.float32)
    close(student.gqa(*inputs), reference.gqa(*inputs))
    q, k, v = (draw.tensor(2, 5, H, 11).transpose(1, 2) for H in (6, 3, 3))
    close(student.gqa(q, k, v), reference.gqa(q, k, v))
    inputs = heads(draw, 6, 3, 1, 1, batch=1)
    close(student.gqa(*inputs), reference.gqa(*inputs))


@grouped_query_attention
def test_gqa_leaves_its_arguments(student, reference, draw):
    """q, k, v and the mask are as they were after the call."""
    inputs, mask = heads(draw, 6, 3), draw.mask(5, 7)
    called = student.call(student.gqa, *inputs, mask=mask, is_causal=True)
    close(called.value, reference.gqa(*inputs, mask=mask, is_causal=True))
    close(called.echo, (inputs, {"mask": mask, "is_causal": True}), tolerance=(0, 0), what="the caller's arguments")


# ---------------------------------------------------------------- mha_cost

mha_cost = pytest.mark.exercise("mha_cost")

SIZES = ((5, 3, 7, 33, 3, True), (3, 11, 11, 26, 2, False), (1, 1, 101, 4096, 32, True), (64, 2048, 17, 512, 8, False))


def entry(student, reference, name, sizes):
    """One number of the dictionary is right. Whole numbers may come as floats."""
    answer = student.mha_cost(*sizes)
    number(answer.get(name) if isinstance(answer, dict) else None, reference.mha_cost(*sizes)[name], name)
    return answer


def entries(student, reference, name):
    """One number of the dictionary is right for all sizes. All are asked for first, so that one cause explains all."""
    answers = [student.mha_cost(*sizes) for sizes in SIZES]
    for answer, sizes in zip(answers, SIZES, strict=True):
        number(answer.get(name) if isinstance(answer, dict) else None, reference.mha_cost(*sizes)[name], name)


def number(value, expected, what):
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Disagreement(f"{what} is not there or not a number")
    if value != expected:
        raise Disagreement(f"{what} is {value:,}, which is wrong")


def cache(student, sizes, dtype, n_kv_heads):
    """The size of the cache, as the student reckons it."""
    answer = student.mha_cost(*sizes)
    function = answer.get("kv_cache_bytes") if isinstance(answer, dict) else None
    if isinstance(function, Remote):
        return function(dtype, n_kv_heads)
    raise Disagreement(f'the entry "kv_cache_bytes" is {describe(function)}, expected a function (dtype, n_kv_heads)')


@mha_cost
@pytest.mark.weight(2)
def test_params(student, reference):
    """The parameters are four matrices and, with bias, four biases, whatever the number of heads."""
    for sizes in (*SIZES, (1, 5, 5, 4096, 1, True)):
        entry(student, reference, "params", sizes)


@mha_cost
@pytest.mark.weight(3)
def test_flops(student, reference):
    """FLOPs count the four projections and the two products of attention, two for each multiply-add."""
    entries(student, reference, "flops")


@mha_cost
def test_flops_grow(student, reference):
    """FLOPs do not depend on H, and what is not linear in T grows with T²."""
    for sizes in ((1, 101, 101, 24, 2, True), (1, 101, 101, 24, 12, True), (1, 202, 202, 24, 2, True)):
        entry(student, reference, "flops", sizes)


@mha_cost
@pytest.mark.weight(2)
def test_score_bytes(student, reference):
    """The scores are (B, H, Tq, Tk) numbers of four bytes."""
    entries(student, reference, "score_bytes")


@mha_cost
@pytest.mark.weight(3)
def test_cache(student, reference):
    """The cache holds keys and values of Tk tokens; fewer key-value heads and smaller numbers make it smaller."""
    small, large = (5, 3, 7, 33, 3, True), (1, 1, 101, 4096, 32, False)
    cases = [(small, "float32", 3), (small, "float64", 1), (small, "f2", 3), (small, "float32", 1)]
    cases += [(large, "float16", n_kv_heads) for n_kv_heads in (32, 8, 1)]
    answers = [cache(student, *case) for case in cases]  # all before any is looked at, so that one cause explains all
    for answer, (sizes, *options) in zip(answers, cases, strict=True):
        number(answer, reference.mha_cost(*sizes)["kv_cache_bytes"](*options), f"kv_cache_bytes for {options}")


@mha_cost
def test_cost_picture(student):
    """The picture shows FLOPs that grow faster than the text, and caches that shrink with the key-value heads."""
    if not student.has("figure_data"):
        return
    rows = student.figure_data()
    T = 2.0 ** np.arange(7, 18)
    flops = 8 * T * 4096.0**2 + 4 * T**2 * 4096
    caches = [32 * 2 * T * heads * 128 * 2 for heads in (32, 8, 1)]
    close(rows, np.stack([flops, *caches]), rtol=1e-9, what="the picture")
