"""Every chunk as it came; one query at a time; a plain attribute for the length; positions for each row."""

import math

import torch


class KVCache:
    def __init__(self):
        self.chunks = {}
        self.length = 0

    def __call__(self, layer, q, k, v):
        before = sum(keys.shape[2] for keys, _ in self.chunks.get(layer, []))
        self.chunks.setdefault(layer, []).append((k.clone(), v.clone()))
        if layer == 0:
            self.length = before + k.shape[2]
        keys = torch.cat([keys for keys, _ in self.chunks[layer]], dim=2)
        values = torch.cat([values for _, values in self.chunks[layer]], dim=2)
        out = []
        for i in range(q.shape[2]):
            seen = before + i + 1
            scores = (q[:, :, i, None] * keys[:, :, :seen]).sum(-1) / math.sqrt(q.shape[3])
            out.append((scores.softmax(-1)[..., None] * values[:, :, :seen]).sum(2))
        return torch.stack(out, dim=2)

    def reorder(self, rows):
        self.chunks = {layer: [(k[rows], v[rows]) for k, v in kept] for layer, kept in self.chunks.items()}


def generate(model, ids, n, use_cache=True, choose=None):
    cache = KVCache() if use_cache else None
    new = ids
    with torch.no_grad():
        for _ in range(n):
            if ids.shape[1] > model.block:
                cache, new = None, ids
            if cache is None:
                positions = torch.arange(min(ids.shape[1], model.block))
                logits, _ = model(ids[:, -model.block :], positions=positions)
            else:
                start = ids.shape[1] - new.shape[1]
                positions = torch.arange(start, ids.shape[1]).repeat(len(ids), 1)
                logits, cache = model(new, past=cache, positions=positions)
            last = logits[:, -1]
            new = (choose(last) if choose else last.max(dim=-1).indices).unsqueeze(1)
            ids = torch.hstack([ids, new])
    return ids
