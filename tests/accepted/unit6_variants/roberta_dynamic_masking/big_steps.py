"""A seed of three digits in a large base, and the kit's mlm_mask; packing from the back of a stack."""

import math

import torch

from autograder import given


class DynamicMaskingDataset(torch.utils.data.Dataset):
    def __init__(self, tokens, seq_len, mask_id, vocab, p=0.15, seed=0):
        self.tokens, self.seq_len, self.seed = tokens, seq_len, seed
        self.mask_id, self.vocab, self.p = mask_id, vocab, p

    def __len__(self):
        return math.ceil(self.tokens.numel() / self.seq_len)

    def __getitem__(self, key):
        i, epoch = key
        if i < 0 or i >= len(self):
            raise IndexError(i)
        generator = torch.Generator()
        generator.manual_seed((self.seed * 1_000_003 + epoch) * 1_000_033 + i)
        ids = self.tokens[self.seq_len * i :][: self.seq_len].reshape(1, -1)
        found = given.mlm_mask(ids, ids != ids, self.mask_id, self.vocab, self.p, generator=generator)
        return found[0].flatten(), found[1].flatten()


def pack_full_sentences(docs, seq_len, sep):
    waiting = []
    for doc in docs:
        pieces = [sentence[k : k + seq_len] for sentence in doc for k in range(0, len(sentence), seq_len)]
        waiting += [(list(piece), n == 0) for n, piece in enumerate(pieces)]
    waiting.reverse()
    blocks = []
    while waiting:
        block = waiting.pop()[0]
        while waiting and len(block) + len(waiting[-1][0]) + waiting[-1][1] <= seq_len:
            piece, opens = waiting.pop()
            block = block + [sep] * opens + piece
        blocks.append(block)
    return blocks
