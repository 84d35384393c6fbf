"""Known wrong answers to the page `self_attention`."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- self_attention_layer


def attend(q, k, v, mask, need_weights, width):
    """The right attention, but for the width under the root."""
    scores = q @ k.mT / math.sqrt(width)
    allowed = torch.ones(scores.shape, dtype=torch.bool)
    if mask is not None:
        allowed = allowed & mask
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1).masked_fill(~allowed, 0.0)
    return (weights @ v, weights) if need_weights else weights @ v


@misconception("self_attention_layer", symbol="SelfAttention")
class shared_qk(correct.SelfAttention):
    """Queries and keys were made by the same projection.

    Then token i looks at token j exactly as hard as j at i before the softmax, and most of all at itself. Each of the
    three projections has one use; is k_proj used at all?
    """

    def forward(self, x, mask=None, need_weights=False):
        q, v = self.q_proj(x), self.v_proj(x)
        return attend(q, q, v, mask, need_weights, q.shape[-1])


@misconception("self_attention_layer", symbol="SelfAttention")
class scale_d_model(correct.SelfAttention):
    """The scores were divided by √d_model. They are sums of d_k products, and d_k is the width under the root.

    The two are the same only where queries are as wide as the input. Which axis does q kᵀ sum over?
    """

    def forward(self, x, mask=None, need_weights=False):
        return attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask, need_weights, x.shape[-1])


@misconception("self_attention_layer", symbol="SelfAttention")
class row_vector_weight(correct.SelfAttention):
    """x was multiplied by the weight as it is stored. nn.Linear stores (out, in), so what is needed is x Wᵀ.

    With square weights the mistake runs without an error, and with any others it is a shape error. Calling the
    projection itself does the right thing.
    """

    def forward(self, x, mask=None, need_weights=False):
        q, k, v = (
            x @ layer.weight + (0.0 if layer.bias is None else layer.bias)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        return attend(q, k, v, mask, need_weights, q.shape[-1])


@misconception("self_attention_layer", symbol="SelfAttention")
class mixes_batch(correct.SelfAttention):
    """Batch and time were flattened into one axis of B·T tokens, so that every sentence attends to all the others.

    Projections treat each token alone and do not mind. The scores do: they belong to pairs of tokens of one sentence,
    (B, T, T) of them and not (B·T, B·T).
    """

    def forward(self, x, mask=None, need_weights=False):
        B, T, D = x.shape
        if mask is not None:
            mask = mask.expand(B, T, T).reshape(1, B * T, T).repeat(1, 1, B)
        out, weights = super().forward(x.reshape(1, B * T, D), mask=mask, need_weights=True)
        out = out.reshape(B, T, -1)
        return (out, weights) if need_weights else out


@misconception("self_attention_layer", symbol="SelfAttention")
class weights_after_dropout(correct.SelfAttention):
    """The returned weights went through dropout, and are not the ones that mixed the values.

    In train mode their rows no longer sum to 1. This layer has no dropout; and where one has, what is shown is the
    weights before it.
    """

    def forward(self, x, mask=None, need_weights=False):
        out, weights = super().forward(x, mask=mask, need_weights=True)
        return (out, F.dropout(weights, 0.1, self.training)) if need_weights else out


# ---------------------------------------------------------------- write_equivariance_tests


@misconception("write_equivariance_tests", symbol="is_permutation_equivariant")
def identity_perm(f, x, rng):
    """Your test tries too few permutations: none but the identity, or a single shuffle, or the reversal alone.

    A layer whose tokens stay in place gives the same output twice, whatever it does, and a layer may keep up with one
    permutation and not with another. A test that cannot fail proves nothing: feed it a layer that adds positions, and
    one that treats a single token differently, and look at what it tries.
    """
    was_training = f.training
    f.eval()
    tokens = torch.from_numpy(rng.standard_normal(tuple(x.shape))).to(x)
    order = torch.arange(x.shape[0])
    with torch.no_grad():
        equal = (f(tokens[order]) - f(tokens)[order]).abs().max().item() <= 1e-5
    f.train(was_training)
    return equal


@misconception("write_equivariance_tests", symbol="is_batch_independent")
def checks_shape_only(f, x):
    """Your test accepts every layer that returns a tensor of the right shape.

    Nearly every broken layer does that. The property is about values: change something of which the output must not
    depend, and look whether it does.
    """
    was_training = f.training
    f.eval()
    with torch.no_grad():
        out = f(torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype))
    f.train(was_training)
    return out.shape[:-1] == x.shape[:-1]


@misconception("write_equivariance_tests", symbol="is_causal")
def only_last_token(f, x):
    """Your test changes the last token only, so it misses a leak from a token in the middle.

    A layer may let output 3 see token 4 and nothing else. Every pair of an output and a later token has to be covered
    by some experiment.
    """
    generator = torch.Generator().manual_seed(0)
    was_training = f.training
    f.eval()
    with torch.no_grad():
        tokens = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        changed = tokens.clone()
        changed[-1] = torch.randn(x[-1].shape, generator=generator, dtype=x.dtype)
        equal = (f(changed)[:-1] - f(tokens)[:-1]).abs().max().item() <= 1e-5
    f.train(was_training)
    return equal


@misconception("write_equivariance_tests", symbol="is_causal")
def tolerance_too_loose(f, x):
    """Your test lets differences pass that are far above rounding.

    float32 sums differ in about the seventh digit; a leak of 1e-4 is a thousand times larger. Put the threshold
    between the two, and write it as an absolute one: relative to a large output a leak looks small.
    """
    generator = torch.Generator().manual_seed(0)
    was_training = f.training
    f.eval()
    equal = True
    with torch.no_grad():
        tokens = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        out = f(tokens)
        for t in range(1, x.shape[0]):
            changed = tokens.clone()
            changed[t:] = torch.randn(x[t:].shape, generator=generator, dtype=x.dtype)
            equal = equal and torch.allclose(f(changed)[:t], out[:t], rtol=0.0, atol=1e-1)
    f.train(was_training)
    return equal


@misconception("write_equivariance_tests", symbol="is_permutation_equivariant")
def uses_train_mode(f, x, rng):
    """The layer was judged in the mode in which it came, so that dropout looks like a violation.

    In train mode two calls on the same input already differ. Switch to eval mode for the test, and back afterwards.
    """
    with torch.no_grad():
        for _ in range(x.shape[0]):
            tokens = torch.from_numpy(rng.standard_normal(tuple(x.shape))).to(x)
            out = f(tokens)
            for t in range(x.shape[0] - 1):
                order = np.arange(x.shape[0])
                order[[t, t + 1]] = t + 1, t
                if (f(tokens[order]) - out[order]).abs().max().item() > 1e-5:
                    return False
    return True


@misconception("write_equivariance_tests", symbol="is_permutation_equivariant")
def zeros_input(f, x, rng):
    """Your test feeds the layer with x itself, and x may be all zeros.

    All tokens are then alike, so that shuffling them changes nothing, and many other bugs are invisible as well. x only
    shows the shape: draw inputs of your own.
    """
    was_training = f.training
    f.eval()
    equal = True
    with torch.no_grad():
        out = f(x)
        for t in range(x.shape[0] - 1):
            order = np.arange(x.shape[0])
            order[[t, t + 1]] = t + 1, t
            equal = equal and (f(x[order]) - out[order]).abs().max().item() <= 1e-5
    f.train(was_training)
    return equal


@misconception("write_equivariance_tests", symbol="is_permutation_equivariant")
def exact_equality(f, x, rng):
    """Outputs are compared for being equal to the last digit, so that rounding looks like a violation.

    Sums in another order differ in about the seventh digit of a float32. "Equal" needs a threshold: above rounding, and
    below a violation worth finding.
    """
    was_training = f.training
    f.eval()
    equal = True
    with torch.no_grad():
        for _ in range(12):
            tokens = torch.from_numpy(rng.standard_normal(tuple(x.shape))).to(x)
            order = rng.permutation(x.shape[0])
            equal = equal and torch.equal(f(tokens[order]), f(tokens)[order])
    f.train(was_training)
    return equal


@misconception("write_equivariance_tests", symbol="is_batch_independent")
def mean_difference(f, x):
    """The mean of the differences was compared with the threshold. A leak into one token of many hardly moves a mean.

    What counts is the largest difference: no output may move.
    """
    generator = torch.Generator().manual_seed(0)
    was_training = f.training
    f.eval()
    equal = True
    with torch.no_grad():
        tokens = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        out = f(tokens)
        for b in range(x.shape[0]):
            changed = tokens.clone()
            changed[b] = torch.randn(x[b].shape, generator=generator, dtype=x.dtype)
            moved = (f(changed) - out).abs().flatten(1).mean(dim=1)
            moved[b] = 0
            equal = equal and moved.max().item() <= 1.5e-5
    f.train(was_training)
    return equal
