"""All coins at once; lengths are counted down first, then the parts are cut."""

import torch


def fitted(a, b, room):
    while a + b > room:
        if a > b:
            a -= 1
        else:
            b -= 1
    return a, b


def make_nsp_examples(docs, cls, sep, max_len, generator):
    if max_len < 5:
        raise ValueError("max_len must be at least 5")
    places = [(d, s) for d in range(len(docs)) for s in range(len(docs[d]) - 1)]
    coins = torch.rand(len(places), generator=generator) < 0.5
    ids, segments, is_next = [], [], []
    for (d, s), coin in zip(places, coins.tolist(), strict=True):
        follows = coin or len(docs) == 1
        if follows:
            second = docs[d][s + 1]
        else:
            other = torch.randint(len(docs) - 1, (), generator=generator).item()
            other += other >= d
            second = docs[other][torch.randint(len(docs[other]), (), generator=generator).item()]
        first = docs[d][s]
        a, b = fitted(len(first), len(second), max_len - 3)
        row = [cls, *first[:a], sep, *second[:b], sep]
        ids.append(row)
        segments.append([int(place > a + 1) for place in range(len(row))])
        is_next.append(follows)
    return ids, segments, is_next
