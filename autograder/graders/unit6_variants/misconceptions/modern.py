"""Known wrong answers to the page `modern`."""

import numpy as np
import torch
import torch.nn.functional as F

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- clip_loss


def table(img, txt, factor):
    """factor times the cosines, images in rows."""
    return factor * (F.normalize(img, dim=-1) @ F.normalize(txt, dim=-1).mT)


def pair_losses(logits):
    """The two cross-entropies: over the texts of each image, over the images of each text."""
    labels = torch.arange(len(logits))
    return F.cross_entropy(logits, labels), F.cross_entropy(logits.mT, labels)


@misconception("clip_loss", symbol="clip_loss")
def no_normalise(img, txt, logit_scale):
    """The vectors were multiplied as they are: what came out are scalar products, not cosines.

    A long vector would then be similar to everything. Divide each vector by its length first.
    """
    logits = logit_scale.exp() * (img @ txt.mT)
    return sum(pair_losses(logits)) / 2, logits


@misconception("clip_loss", symbol="clip_loss")
def normalised_over_the_batch(img, txt, logit_scale):
    """The lengths were taken along the wrong axis: over the batch, for each feature.

    Each *row* is a vector of length 1. An `F.normalize` without `dim` happens to take axis 1; a norm without
    `keepdim=True` is divided along the wrong axis, or not at all.
    """
    logits = logit_scale.exp() * (F.normalize(img, dim=0) @ F.normalize(txt, dim=0).mT)
    return sum(pair_losses(logits)) / 2, logits


@misconception("clip_loss", symbol="clip_loss")
def only_images_normalised(img, txt, logit_scale):
    """The lengths of the texts' vectors were not divided out. A cosine needs both vectors to have length 1."""
    logits = logit_scale.exp() * (F.normalize(img, dim=-1) @ txt.mT)
    return sum(pair_losses(logits)) / 2, logits


@misconception("clip_loss", symbol="clip_loss")
def lengths_with_eps(img, txt, logit_scale):
    """A small number was added to the lengths. Beside a vector of length 1e-4 it counts: the lengths are not to matter.

    No vector is zero here, so nothing has to be added.
    """
    u, w = (x / (x.norm(dim=-1, keepdim=True) + 1e-8) for x in (img, txt))
    logits = logit_scale.exp() * (u @ w.mT)
    return sum(pair_losses(logits)) / 2, logits


@misconception("clip_loss", symbol="clip_loss")
def one_direction(img, txt, logit_scale):
    """Only the images are asked for their texts. The texts are asked for their images as well.

    The loss is the mean of two cross-entropies, one over the rows of the table and one over its columns.
    """
    logits = table(img, txt, logit_scale.exp())
    return pair_losses(logits)[0], logits


@misconception("clip_loss", symbol="clip_loss")
def scale_not_exp(img, txt, logit_scale):
    """The cosines were multiplied by the parameter itself. It is the logarithm of the factor: exp(logit_scale)."""
    logits = table(img, txt, logit_scale)
    return sum(pair_losses(logits)) / 2, logits


@misconception("clip_loss", symbol="clip_loss")
def factor_held_below_100(img, txt, logit_scale):
    """The factor was held below 100. That is a matter of the training loop, which holds the *parameter* there.

    The loss takes logit_scale as it is, however large. Held in the loss, it would also lose its gradient beyond.
    """
    logits = table(img, txt, logit_scale.exp().clamp(max=100.0))
    return sum(pair_losses(logits)) / 2, logits


@misconception("clip_loss", symbol="clip_loss")
def temperature_divides_by_scale(img, txt, logit_scale):
    """The cosines were *divided* by exp(logit_scale). That is what one does with a temperature.

    Here the parameter is the logarithm of the factor, 1 / temperature: it multiplies. At its start, 14, the softmax
    must become sharper, not flatter.
    """
    logits = table(img, txt, (-logit_scale).exp())
    return sum(pair_losses(logits)) / 2, logits


@misconception("clip_loss", symbol="clip_loss")
def sum_of_directions(img, txt, logit_scale):
    """The two cross-entropies were added. The loss is their mean: half of that."""
    logits = table(img, txt, logit_scale.exp())
    return sum(pair_losses(logits)), logits


@misconception("clip_loss", symbol="clip_loss")
def losses_summed(img, txt, logit_scale):
    """The losses of all images and texts were added up. Each of the two cross-entropies is a mean over the batch."""
    logits = table(img, txt, logit_scale.exp())
    return sum(pair_losses(logits)) / 2 * len(logits), logits


@misconception("clip_loss", symbol="clip_loss")
def one_softmax_for_the_table(img, txt, logit_scale):
    """One softmax ran over the whole table. Each image asks about the texts in its row, each text about its column."""
    logits = table(img, txt, logit_scale.exp())
    return logits.flatten().logsumexp(dim=0) - logits.diagonal().mean(), logits


@misconception("clip_loss", symbol="clip_loss")
def logarithm_of_a_softmax(img, txt, logit_scale):
    """A logarithm was taken of probabilities: where one is too small for a float, the loss is infinite.

    F.cross_entropy and log_softmax work on the logits and stay finite.
    """
    logits = table(img, txt, logit_scale.exp())
    rows, columns = logits.softmax(dim=1).diagonal(), logits.softmax(dim=0).diagonal()
    return -(rows.log() + columns.log()).mean() / 2, logits


@misconception("clip_loss", symbol="clip_loss")
def computed_in_float32(img, txt, logit_scale):
    """float64 inputs were computed in float32: half of their digits are lost."""
    loss, logits = correct.clip_loss(img.float(), txt.float(), logit_scale.float())
    return loss.to(img.dtype), logits.to(img.dtype)


@misconception("clip_loss", symbol="clip_loss")
def labels_wrong_axis(img, txt, logit_scale):
    """Both cross-entropies run down the columns of the table, so that the same question is asked twice.

    For an image the classes are the texts: its softmax is taken along its row. For a text they are the images, along
    its column. Which axis holds the classes in the function that you call, and was the table transposed for one of
    the two?
    """
    logits = table(img, txt, logit_scale.exp())
    return pair_losses(logits)[1], logits


@misconception("clip_loss", symbol="clip_loss")
def texts_in_rows(img, txt, logit_scale):
    """The table was returned with the texts in its rows. Row i, column j belongs to image i and text j.

    (The loss does not mind.)
    """
    logits = table(img, txt, logit_scale.exp())
    return sum(pair_losses(logits)) / 2, logits.mT


@misconception("clip_loss", symbol="clip_loss")
def cosines_returned(img, txt, logit_scale):
    """The table was returned before it was multiplied by exp(logit_scale). The logits are what the softmax sees."""
    logits = table(img, txt, logit_scale.exp())
    return sum(pair_losses(logits)) / 2, table(img, txt, 1.0)


# ---------------------------------------------------------------- moe_top_k


class _MoE(correct.TopKMoE):
    """The right mixture, computed densely, with a place where the gates can be changed."""

    def gates(self, logits):
        best, chosen = logits.topk(self.k, dim=-1)
        return torch.zeros_like(logits).scatter(-1, chosen, best.softmax(dim=-1))

    def forward(self, x):
        tokens = x.flatten(0, 1)
        logits = self.router(tokens)
        answers = torch.stack([expert(tokens) for expert in self.experts], dim=1)  # (N, E, D)
        return torch.einsum("ne,ned->nd", self.gates(logits), answers).view(x.shape), logits


@misconception("moe_top_k", symbol="TopKMoE")
class softmax_all_no_renorm(_MoE):
    """The softmax ran over all experts, and the gates of the chosen were not divided by their sum.

    They sum to less than 1, and to another number for each token. What is left of a softmax must be divided again; or
    take the softmax over the chosen logits only.
    """

    def gates(self, logits):
        best, chosen = logits.softmax(dim=-1).topk(self.k, dim=-1)
        return torch.zeros_like(logits).scatter(-1, chosen, best)


@misconception("moe_top_k", symbol="TopKMoE")
class topk_on_batch_axis(_MoE):
    """topk went along the tokens: each expert picked its k favourite tokens, and a token may get any number of experts.

    (That is expert-choice routing, which exists. In it the future decides about the past.) Here each token picks k
    experts, along the last axis of the logits.
    """

    def gates(self, logits):
        chosen = logits.topk(min(self.k, len(logits)), dim=0).indices
        allowed = torch.zeros_like(logits, dtype=torch.bool).scatter(0, chosen, True)
        return logits.masked_fill(~allowed, float("-inf")).softmax(dim=-1).nan_to_num()


@misconception("moe_top_k", symbol="TopKMoE")
class equal_gates(_MoE):
    """The chosen experts were averaged, each with weight 1/k.

    The gates are the softmax of the chosen logits. They also are the only way by which the router learns anything.
    """

    def gates(self, logits):
        chosen = logits.topk(self.k, dim=-1).indices
        return torch.zeros_like(logits).scatter(-1, chosen, 1.0 / self.k)


@misconception("moe_top_k", symbol="TopKMoE")
class gates_missing(_MoE):
    """The answers of the chosen experts were added up without their gates."""

    def gates(self, logits):
        return torch.zeros_like(logits).scatter(-1, logits.topk(self.k, dim=-1).indices, 1.0)


@misconception("moe_top_k", symbol="TopKMoE")
class best_expert_only(_MoE):
    """Only the best expert of each token was used. A token uses k of them."""

    def gates(self, logits):
        return torch.zeros_like(logits).scatter(-1, logits.argmax(dim=-1, keepdim=True), 1.0)


@misconception("moe_top_k", symbol="TopKMoE")
class last_expert_wins(_MoE):
    """Of a token's experts only the last one's answer is left: it was written over the others, not added."""

    def gates(self, logits):
        gates = super().gates(logits)
        number = torch.arange(1, gates.shape[-1] + 1).expand_as(gates)
        last = torch.where(gates > 0, number, 0).argmax(dim=-1, keepdim=True)
        return torch.zeros_like(gates).scatter(-1, last, gates.gather(-1, last))


@misconception("moe_top_k", symbol="TopKMoE")
class gates_by_sigmoid(_MoE):
    """The gates are sigmoids of the chosen logits, divided by their sum.

    (Some models do that.) Here they are a softmax: exponentials, divided by their sum.
    """

    def gates(self, logits):
        best, chosen = logits.topk(self.k, dim=-1)
        best = best.sigmoid()
        return torch.zeros_like(logits).scatter(-1, chosen, best / best.sum(dim=-1, keepdim=True))


@misconception("moe_top_k", symbol="TopKMoE")
class logits_divided_by_their_sum(_MoE):
    """The chosen logits themselves were divided by their sum.

    Logits may be negative, and their sum 0. What is divided by its sum are *probabilities*, or exponentials: a softmax.
    """

    def gates(self, logits):
        best, chosen = logits.topk(self.k, dim=-1)
        return torch.zeros_like(logits).scatter(-1, chosen, best / best.sum(dim=-1, keepdim=True))


@misconception("moe_top_k", symbol="TopKMoE")
class router_detached(_MoE):
    """No gradient reaches the router from y: the gates were cut off from it (detach, no_grad, .data, .item()?).

    Which experts are the best has no gradient. By how much each of them counts has one.
    """

    def gates(self, logits):
        return super().gates(logits.detach())


@misconception("moe_top_k", symbol="TopKMoE")
class all_experts_mixed(_MoE):
    """All experts were mixed for every token; k was not used. Only the k with the largest logits count."""

    def gates(self, logits):
        return logits.softmax(dim=-1)


@misconception("moe_top_k", symbol="TopKMoE")
class gates_in_another_order(_MoE):
    """The gates belong to other experts: they come in descending order, the experts in the order of their numbers.

    `topk` returns values and indices that belong together, place by place. If you sort one, sort the other.
    """

    def gates(self, logits):
        best, chosen = logits.topk(self.k, dim=-1)
        return torch.zeros_like(logits).scatter(-1, chosen.sort(dim=-1).values, best.softmax(dim=-1))


@misconception("moe_top_k", symbol="TopKMoE")
class gate_on_the_input(correct.TopKMoE):
    """The gates were multiplied into the experts' *inputs*. An expert bends: that is not the same.

    Each chosen expert answers to the token as it is, and the answers are weighted.
    """

    def forward(self, x):
        tokens = x.flatten(0, 1)
        logits = self.router(tokens)
        best, chosen = logits.topk(self.k, dim=-1)
        gates = torch.zeros_like(logits).scatter(-1, chosen, best.softmax(dim=-1))
        answers = [expert(gates[:, e, None] * tokens) for e, expert in enumerate(self.experts)]
        return sum(answers).view(x.shape), logits


@misconception("moe_top_k", symbol="TopKMoE")
class probabilities_returned(_MoE):
    """The second result holds probabilities. The router's logits are asked for, before any softmax."""

    def forward(self, x):
        y, logits = super().forward(x)
        return y, logits.softmax(dim=-1)


def picks(logits, k):
    """Which experts each token picks, (N, E) of 0 and 1."""
    return torch.zeros_like(logits).scatter(-1, logits.topk(k, dim=-1).indices, 1.0)


@misconception("moe_top_k", symbol="load_balancing_loss")
def aux_uses_probs_only(router_logits, k):
    """Only the mean probabilities were used, squared: what the tokens wanted, not what they got.

    The loss pairs two things. f counts how often each expert was really picked; P is the mean probability. Where all
    tokens want an expert a little less than the best one, P is large and f is 0.
    """
    wanted = router_logits.softmax(dim=-1).mean(dim=0)
    return router_logits.shape[1] * (wanted * wanted).sum()


@misconception("moe_top_k", symbol="load_balancing_loss")
def aux_first_choice_only(router_logits, k):
    """Only the first choice of each token was counted. A token picks k experts, and f sums to k."""
    wanted = router_logits.softmax(dim=-1).mean(dim=0)
    return router_logits.shape[1] * (picks(router_logits, 1).mean(dim=0) * wanted).sum()


@misconception("moe_top_k", symbol="load_balancing_loss")
def aux_divided_by_k(router_logits, k):
    """The loss was divided by k, as some libraries do: a balanced load gives 1. On this page it gives k."""
    return correct.load_balancing_loss(router_logits, k) / k


@misconception("moe_top_k", symbol="load_balancing_loss")
def aux_without_factor(router_logits, k):
    """The factor E is missing: the loss of a balanced load depends on the number of experts."""
    return correct.load_balancing_loss(router_logits, k) / router_logits.shape[1]


@misconception("moe_top_k", symbol="load_balancing_loss")
def aux_probs_of_the_chosen(router_logits, k):
    """P was taken from the chosen experts only. It is the mean of the softmax over *all* experts, for all tokens."""
    chosen = picks(router_logits, k)
    wanted = (router_logits.softmax(dim=-1) * chosen).mean(dim=0)
    return router_logits.shape[1] * (chosen.mean(dim=0) * wanted).sum()


# ---------------------------------------------------------------- linear_attention


def phi(x):
    return F.elu(x) + 1


def weighted(similarity, v, causal):
    """The mean of the values, weighted by similarities (B, H, T, T)."""
    if causal:
        similarity = similarity.tril()
    return similarity @ v / similarity.sum(dim=-1, keepdim=True)


@misconception("linear_attention", symbol="linear_attention_parallel")
def no_normaliser(q, k, v, causal=True):
    """The sum of the values was not divided by the sum of the weights: the output grows with the number of tokens."""
    similarity = phi(q) @ phi(k).mT
    return (similarity.tril() if causal else similarity) @ v


@misconception("linear_attention", symbol="linear_attention_parallel")
def queries_scaled(q, k, v, causal=True):
    """The queries were divided by √D before φ. There is no 1/√D in linear attention."""
    return weighted(phi(q / q.shape[-1] ** 0.5) @ phi(k).mT, v, causal)


@misconception("linear_attention", symbol="linear_attention_parallel")
def feature_map_of_the_product(q, k, v, causal=True):
    """φ was applied to the products q·k. It is for q and k by themselves: only then can the query leave the sums."""
    return weighted(phi(q @ k.mT), v, causal)


@misconception("linear_attention", symbol="linear_attention_parallel")
def own_token_excluded(q, k, v, causal=True):
    """With causal=True a token does not see itself, and the first one sees nothing, 0/0. j runs over 0..i, i too."""
    similarity = phi(q) @ phi(k).mT
    return weighted(similarity.tril(-1) if causal else similarity, v, False)


@misconception("linear_attention", symbol="linear_attention_parallel")
def feature_map_missing(q, k, v, causal=True):
    """Queries and keys were multiplied as they are, without φ.

    Their products may be negative, and the sum that one divides by may be 0. φ(x) = elu(x) + 1 is positive.
    """
    return weighted(q @ k.mT, v, causal)


@misconception("linear_attention", symbol="linear_attention_parallel")
def feature_map_is_elu(q, k, v, causal=True):
    """The feature map lacks its + 1: elu alone is negative for negative numbers."""
    return weighted(F.elu(q) @ F.elu(k).mT, v, causal)


@misconception("linear_attention", symbol="linear_attention_parallel")
def noncausal_cumsum(q, k, v, causal=True):
    """With causal=True the sums still run over all tokens: every query sees the future.

    In a causal sum each token has a sum of its own, over the tokens up to itself (cumsum where there was sum, or a
    triangle of the table).
    """
    return weighted(phi(q) @ phi(k).mT, v, False)


@misconception("linear_attention", symbol="linear_attention_parallel")
def normaliser_sees_the_future(q, k, v, causal=True):
    """The values are summed up to the query, but the weights that one divides by over all tokens.

    Mask first, then take both sums: with equal values the output must be that value.
    """
    similarity = phi(q) @ phi(k).mT
    return (similarity.tril() if causal else similarity) @ v / similarity.sum(dim=-1, keepdim=True)


@misconception("linear_attention", symbol="linear_attention_parallel")
def softmax_kept(q, k, v, causal=True):
    """The weights were computed with a softmax of q·k. Without it is the point: φ(q)·φ(k), divided by its sum."""
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(dim=-1) @ v


@misconception("linear_attention", symbol="linear_attention_parallel")
def eps_in_the_denominator(q, k, v, causal=True):
    """A small number was added to the sum of the weights. Some implementations do; this page does not.

    φ is positive, so that the sum cannot be 0, and the two forms agree to the last digits without it.
    """
    wide = torch.promote_types(v.dtype, torch.float32)
    similarity = phi(q.to(wide)) @ phi(k.to(wide)).mT
    similarity = similarity.tril() if causal else similarity
    return (similarity @ v.to(wide) / (similarity.sum(dim=-1, keepdim=True) + 1e-6)).to(v.dtype)


@misconception("linear_attention", symbol="linear_attention_parallel")
def features_in_half_precision(q, k, v, causal=True):
    """Something was computed in float16 or bfloat16 before the numbers became float32: the features φ, or more.

    What was rounded once stays rounded. Widen q, k and v first, before φ, and go back at the very end.
    """
    wide = torch.promote_types(v.dtype, torch.float32)
    return weighted(phi(q).to(wide) @ phi(k).to(wide).mT, v.to(wide), causal).to(v.dtype)


def step(q_t, k_t, v_t, state, S_new, read):
    """One step with another rule: what is added to S, and how the new sums are read."""
    q, k = phi(q_t), phi(k_t)
    S, z = S_new(k, v_t), k
    if state is not None:
        S, z = state[0] + S, state[1] + z
    return read(q, S, z), (S, z)


@misconception("linear_attention", symbol="linear_attention_recurrent")
def state_outer_transposed(q_t, k_t, v_t, state=None):
    """S was built the other way round, with values in rows and keys in columns, and read as if it were not.

    S = Σ φ(k) vᵀ has shape (Dk, Dv). Where Dk = Dv nothing complains.
    """

    def read(q, S, z):
        return torch.einsum("bhk,bhkv->bhv", q, S) / (q * z).sum(dim=-1, keepdim=True)

    return step(q_t, k_t, v_t, state, lambda k, v: v[..., :, None] * k[..., None, :], read)


@misconception("linear_attention", symbol="linear_attention_recurrent")
def current_token_excluded(q_t, k_t, v_t, state=None):
    """The sums were read before this token was added to them: it does not see itself, and the first one sees nothing.

    Add first, then read.
    """
    B, H, Dk = k_t.shape
    S, z = state or (k_t.new_zeros(B, H, Dk, v_t.shape[-1]), k_t.new_zeros(B, H, Dk))
    q, k = phi(q_t), phi(k_t)
    o_t = torch.einsum("bhk,bhkv->bhv", q, S) / (q * z).sum(dim=-1, keepdim=True)
    return o_t, (S + k[..., :, None] * v_t[..., None, :], z + k)


@misconception("linear_attention", symbol="linear_attention_recurrent")
def step_without_normaliser(q_t, k_t, v_t, state=None):
    """The output of a step was not divided by φ(q)·z: it grows with the number of tokens."""

    def read(q, S, z):
        return torch.einsum("bhk,bhkv->bhv", q, S)

    return step(q_t, k_t, v_t, state, lambda k, v: k[..., :, None] * v[..., None, :], read)


@misconception("linear_attention", symbol="linear_attention_recurrent")
def divided_without_an_axis(q_t, k_t, v_t, state=None):
    """The sum φ(q)·z, (B, H), was divided by along another axis: its own axis is missing, and B and H meet H and Dv.

    With some sizes that is an error, with others a wrong number. Keep an axis of length 1 at the end, (B, H, 1): the
    option keepdim.
    """

    def read(q, S, z):
        return torch.einsum("bhk,bhkv->bhv", q, S) / (q * z).sum(dim=-1)

    return step(q_t, k_t, v_t, state, lambda k, v: k[..., :, None] * v[..., None, :], read)


@misconception("linear_attention", symbol="linear_attention_recurrent")
def past_forgotten(q_t, k_t, v_t, state=None):
    """The state was replaced, where this token should be *added* to it: the past is gone."""
    o_t, new = correct.linear_attention_recurrent(q_t, k_t, v_t, None)
    return o_t, new


@misconception("linear_attention", symbol="linear_attention_recurrent")
def only_the_new_key_divides(q_t, k_t, v_t, state=None):
    """z holds the new key only: what the earlier ones weigh is missing where the output is divided. Both sums go on."""
    o_t, (S, z) = correct.linear_attention_recurrent(q_t, k_t, v_t, state)
    q, k = phi(q_t.to(z.dtype)), phi(k_t.to(z.dtype))
    total, new = (q * z).sum(dim=-1, keepdim=True), (q * k).sum(dim=-1, keepdim=True)
    return (o_t * total / new).to(o_t.dtype), (S, k)


@misconception("linear_attention", symbol="linear_attention_recurrent")
def keys_without_features(q_t, k_t, v_t, state=None):
    """φ was left out for the keys of the recurrent form; it is for queries and keys, in both forms."""
    S, z = k_t[..., :, None] * v_t[..., None, :], k_t
    if state is not None:
        S, z = state[0] + S, state[1] + z
    q = phi(q_t)
    return torch.einsum("bhk,bhkv->bhv", q, S) / (q * z).sum(dim=-1, keepdim=True), (S, z)


@misconception("linear_attention", symbol="linear_attention_recurrent")
def state_changed_in_place(q_t, k_t, v_t, state=None):
    """The caller's state was changed in place (+=). It is still needed: a text may be continued in several ways.

    `S = S + ...` makes a new tensor.
    """
    o_t, new = correct.linear_attention_recurrent(q_t, k_t, v_t, state)
    if state is None:
        return o_t, new
    with torch.no_grad():
        for old, fresh in zip(state, new, strict=True):
            old.copy_(fresh)
    return o_t, new


@misconception("linear_attention", symbol="linear_attention_recurrent")
def state_in_half_precision(q_t, k_t, v_t, state=None):
    """The sums were kept in float16 or bfloat16, where a long sum stops growing: 256 + 1 is 256 in bfloat16.

    Keep S and z in float32, and round only what is returned for the token.
    """
    o_t, new = correct.linear_attention_recurrent(q_t, k_t, v_t, state)
    return o_t, tuple(x.to(v_t.dtype) for x in new)


@misconception("linear_attention", symbol="linear_attention_recurrent")
def step_features_in_half_precision(q_t, k_t, v_t, state=None):
    """The sums are in float32, but the features φ were computed in float16 or bfloat16 before.

    What was rounded once stays rounded. Widen q, k and v of the token first, before φ.
    """
    wide = torch.promote_types(v_t.dtype, torch.float32)
    q, k, v = phi(q_t).to(wide), phi(k_t).to(wide), v_t.to(wide)
    S, z = k[..., :, None] * v[..., None, :], k
    if state is not None:
        S, z = state[0] + S, state[1] + z
    o = torch.einsum("bhk,bhkv->bhv", q, S) / (q * z).sum(dim=-1, keepdim=True)
    return o.to(v_t.dtype), (S, z)


# ---------------------------------------------------------------- ssm_scan


@misconception("ssm_scan", symbol="ssm_scan")
def state_before_input(x, a, b, c, h0=None):
    """The state was read before the input of that step had come in: every output is one step late.

    Update, then read.
    """
    h = np.zeros((len(x), *a.shape), x.dtype) if h0 is None else h0
    y = np.empty_like(x)
    for t in range(x.shape[1]):
        y[:, t] = (c * h).sum(axis=-1)
        h = a * h + b * x[:, t, :, None]
    return y, h


@misconception("ssm_scan", symbol="ssm_scan")
def b_and_c_exchanged(x, a, b, c, h0=None):
    """b and c have changed places: b lets the input in, c reads the state. From h0 = 0 the outputs are the same."""
    return correct.ssm_scan(x, a, c, b, h0)


@misconception("ssm_scan", symbol="ssm_scan")
def h0_ignored(x, a, b, c, h0=None):
    """h0 is not used: the state always begins with zeros, and a sequence cannot be continued."""
    return correct.ssm_scan(x, a, b, c)


@misconception("ssm_scan", symbol="ssm_scan")
def a_not_per_channel(x, a, b, c, h0=None):
    """All channels fade with the a of the first one. Each channel has its own row of a."""
    return correct.ssm_scan(x, np.broadcast_to(a[:1], a.shape), b, c, h0)


@misconception("ssm_scan", symbol="ssm_scan")
def input_fades_at_once(x, a, b, c, h0=None):
    """The input was multiplied by a as well: the state fades *before* the input comes in, not after."""
    return correct.ssm_scan(x, a, a * b, c, h0)


@misconception("ssm_scan", symbol="ssm_scan")
def state_one_step_short(x, a, b, c, h0=None):
    """The state that was returned is the one before the last step. The rest of a sequence starts from the last one."""
    y, _ = correct.ssm_scan(x, a, b, c, h0)
    start = np.zeros((len(x), *a.shape), x.dtype) if h0 is None else h0.copy()
    return y, correct.ssm_scan(x[:, :-1], a, b, c, h0)[1] if x.shape[1] > 1 else start


@misconception("ssm_scan", symbol="ssm_convolution")
def circular_convolution(x, kernel):
    """The convolution goes round in a circle: the end of the sequence runs into its beginning, the future leaks.

    The FFT of length T thinks that the first number follows the last. How many zeros must stand between them?
    """
    T = x.shape[1]
    spectrum = np.fft.rfft(x, T, axis=1) * np.fft.rfft(kernel.T, T, axis=0)
    return np.fft.irfft(spectrum, T, axis=1).astype(x.dtype)


@misconception("ssm_scan", symbol="ssm_convolution")
def padded_to_twice_the_input(x, kernel):
    """Zeros were added up to twice the length of the input, whatever the kernel's length.

    With a kernel that is longer than the input, part of it is cut off or comes round. Lengths T and L make T + L - 1.
    (Or look at the kernel's first T numbers only: the others meet no input.)
    """
    T, n = x.shape[1], 2 * x.shape[1] - 1
    spectrum = np.fft.rfft(x, n, axis=1) * np.fft.rfft(kernel.T, n, axis=0)
    return np.fft.irfft(spectrum, n, axis=1)[:, :T].astype(x.dtype)


@misconception("ssm_scan", symbol="ssm_convolution")
def correlation(x, kernel):
    """The kernel was laid over the sequence without turning it round: output t reads inputs t, t+1, ..., the future.

    Most libraries call that a convolution, and mean a correlation. Here kernel[s] belongs to the input s steps *ago*.
    """
    T = x.shape[1]
    y = np.zeros_like(x)
    for s in range(min(T, kernel.shape[1])):
        y[:, : T - s] += kernel[:, s] * x[:, s:]
    return y


@misconception("ssm_scan", symbol="ssm_convolution")
def tail_returned(x, kernel):
    """The outputs after the end of the sequence were returned too. Only the first T are asked for."""
    n = x.shape[1] + kernel.shape[1] - 1
    spectrum = np.fft.rfft(x, n, axis=1) * np.fft.rfft(kernel.T, n, axis=0)
    return np.fft.irfft(spectrum, n, axis=1).astype(x.dtype)
