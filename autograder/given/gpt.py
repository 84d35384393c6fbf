"""The language model of unit 6, as a block for what is built on it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from autograder.given.attention import MultiHeadAttention, scaled_dot_product_attention
from autograder.given.layers import FeedForward, LayerNorm

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


class GPT(nn.Module):
    """A small GPT-2: pre-LN layers with causal attention, learned positions, and a head that is the embedding.

    Args:
        vocab: number of tokens V. block: the longest text, also the attribute `block`. d: width, divisible by n_head.
            n_layer, n_head: number of layers, and of heads in each.
    Attributes: `tokens_seen` counts the tokens of a row that went through the layers in all calls so far, for those who
        want to know what an algorithm costs.
    Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.3.
    """

    def __init__(self, vocab: int, block: int, d: int, n_layer: int, n_head: int) -> None:
        super().__init__()
        self.block = block
        self.tokens_seen = 0
        self.embed = nn.Embedding(vocab, d)
        self.position = nn.Embedding(block, d)
        self.layers = nn.ModuleList(_Layer(d, n_head) for _ in range(n_layer))
        self.norm = LayerNorm(d)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(
        self,
        ids: Tensor,
        targets: Tensor | None = None,
        past: Attend | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | Attend | None]:
        """The logits (B, T, V) after each token, and the loss; with `past`, the logits and `past`.

        Args:
            ids: int64 (B, T), T at most `block`. targets: int64 (B, T), what follows each token; not with `past`.
            past: past(layer, q, k, v), with (B, H, T, Dh) each, gives what the heads of that layer take for the result
                of attention, (B, H, T, Dh). None: causal attention among the tokens of `ids`.
            positions: int64 (T,) or (B, T), 0 ... T - 1 where None.
        Raises: ValueError if T is larger than `block`.
        """
        T = ids.shape[1]
        if self.block < T:
            raise ValueError(f"{T} tokens are more than the {self.block} that this model has positions for")
        self.tokens_seen += T
        positions = torch.arange(T, device=ids.device) if positions is None else positions
        attend = _causal if past is None else past  # not `past or _causal`: an empty cache that has a length is false
        x = self.embed(ids) + self.position(positions)
        for number, layer in enumerate(self.layers):
            x = layer(x, number, attend)
        logits = nn.functional.linear(self.norm(x), self.embed.weight)
        if past is not None:
            return logits, past
        loss = None if targets is None else nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss


class _Layer(nn.Module):
    """Pre-LN; the attention itself is done by `attend`."""

    def __init__(self, d: int, n_head: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(d), LayerNorm(d)
        self.self_attn, self.ffn = MultiHeadAttention(d, n_head), FeedForward(d, 4 * d, "gelu_tanh")

    def forward(self, x: Tensor, number: int, attend: Attend) -> Tensor:
        attn, normed = self.self_attn, self.norm1(x)
        q, k, v = (
            project(normed).unflatten(-1, (attn.n_heads, -1)).transpose(1, 2)
            for project in (attn.q_proj, attn.k_proj, attn.v_proj)
        )
        x = x + attn.out_proj(attend(number, q, k, v).transpose(1, 2).flatten(2))
        out: Tensor = x + self.ffn(self.norm2(x))
        return out


def _causal(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    T = q.shape[2]
    return scaled_dot_product_attention(q, k, v, torch.ones(T, T, dtype=torch.bool, device=q.device).tril())
