"""Texts cut in advance, a hash of the triple as the seed, masks drawn here; packing with a running block."""

import hashlib

import torch


class DynamicMaskingDataset:
    def __init__(self, tokens, seq_len, mask_id, vocab, p=0.15, seed=0):
        self.texts = [part.clone() for part in tokens.split(seq_len)]
        self.options = (mask_id, vocab, p)
        self.seed = seed

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, key):
        i, epoch = key
        if i not in range(len(self.texts)):
            raise IndexError(f"no text {i}")
        mask_id, vocab, p = self.options
        digest = hashlib.sha256(repr((self.seed, i, epoch)).encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        text = self.texts[i]
        u = torch.rand(len(text), generator=generator, dtype=torch.float64)
        other = torch.randint(vocab, text.shape, generator=generator)
        inputs = torch.where(u < 0.8 * p, mask_id, torch.where(u < 0.9 * p, other, text))
        return inputs, torch.where(u < p, text, -100)


def pack_full_sentences(docs, seq_len, sep):
    blocks, block, last = [], [], None
    for number, doc in enumerate(docs):
        for sentence in doc:
            rest = list(sentence)
            while rest:
                piece, rest = rest[:seq_len], rest[seq_len:]
                extra = [sep] if block and last != number else []
                if len(block) + len(extra) + len(piece) > seq_len:
                    blocks.append(block)
                    block, extra = [], []
                block = block + extra + piece
                last = number
    if block:
        blocks.append(block)
    return blocks
