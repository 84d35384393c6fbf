"""A cache that is a dict of lists of chunks and has a length, so that an empty one is false; the steps by recursion."""

import torch


class KVCache(dict):
    def __len__(self):
        return self.length

    @property
    def length(self):
        return sum(k.shape[2] for k, _ in self.get(0, []))

    def __call__(self, layer, q, k, v):
        chunks = self.setdefault(layer, [])
        chunks.append((k.clone(), v.clone()))
        keys, values = (torch.cat(parts, dim=2) for parts in zip(*chunks, strict=True))
        new, old = q.shape[2], keys.shape[2] - q.shape[2]
        later = torch.ones(new, old + new, dtype=torch.bool).triu(old + 1)
        scores = (q @ keys.mT / keys.shape[-1] ** 0.5).masked_fill(later, -torch.inf)
        return scores.softmax(-1) @ values

    def reorder(self, rows):
        for layer, chunks in self.items():
            self[layer] = [(k[rows], v[rows]) for k, v in chunks]


def generate(model, ids, n, use_cache=True, choose=None, cache=None):
    if n == 0:
        return ids.clone()
    length = ids.shape[1]
    with torch.inference_mode():
        if length > model.block or not use_cache:
            logits, _ = model(ids[:, -model.block :])
        else:
            cache = KVCache() if cache is None else cache
            logits, _ = model(ids[:, len(cache) :], past=cache, positions=torch.arange(len(cache), length))
    following = logits[:, -1].max(dim=-1).indices if choose is None else choose(logits[:, -1].clone())
    return generate(model, torch.hstack([ids, following[:, None]]), n - 1, use_cache, choose, cache)
