"""The input of BERT, and what masked language modelling hides from it."""

import torch
from torch import Tensor, nn

from autograder.given.layers import LayerNorm


class BertEmbeddings(nn.Module):
    """Token, position and segment embeddings, added and normalised: `tokens`, `positions`, `segments`, `norm`.

    Args:
        vocab: number of tokens. d: width. max_len: number of positions. n_segments: number of segments.
        pad_id: the token whose row gets no gradient. eps: of the norm.
    Source: Devlin et al. 2018, arXiv:1810.04805, figure 2.
    """

    def __init__(
        self, vocab: int, d: int, max_len: int, n_segments: int = 2, pad_id: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab, d, padding_idx=pad_id)
        self.positions = nn.Embedding(max_len, d)
        self.segments = nn.Embedding(n_segments, d)
        self.norm = LayerNorm(d, eps)
        for table in (self.tokens, self.positions, self.segments):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """int64 (B, T), twice -> (B, T, d); without segments all tokens are of segment 0. ValueError if T > max_len."""
        T, max_len = ids.shape[1], self.positions.num_embeddings
        if max_len < T:
            raise ValueError(f"a sequence of {T} tokens, and there are {max_len} positions")
        if segments is None:
            segments = torch.zeros_like(ids)
        out: Tensor = self.norm(self.tokens(ids) + self.positions.weight[:T] + self.segments(segments))
        return out


def mlm_mask(
    ids: Tensor, special: Tensor, mask_id: int, vocab: int, p: float = 0.15, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Choose tokens for masked language modelling, each with probability p, and hide them.

    Args:
        ids: int64 (B, T). special: bool, of that shape; True: never chosen. mask_id: the number of [MASK].
        vocab: random tokens are drawn from 0 ... vocab - 1.
    Returns: inputs, int64 (B, T): of the chosen tokens 80 % are mask_id, 10 % random and 10 % as they were.
        labels, int64 (B, T): ids where a token was chosen, -100 elsewhere.
    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1.
    """
    chosen = (torch.rand(ids.shape, generator=generator) < p) & ~special
    fate = torch.rand(ids.shape, generator=generator)
    random = torch.randint(vocab, ids.shape, generator=generator)
    hidden = torch.where(fate < 0.8, mask_id, torch.where(fate < 0.9, random, ids))
    return torch.where(chosen, hidden, ids), torch.where(chosen, ids, -100)
