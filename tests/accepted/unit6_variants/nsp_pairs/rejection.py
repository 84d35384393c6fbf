"""Another document by drawing until it is another one; Python's random, seeded from the generator."""

import random

import torch


def make_nsp_examples(docs, cls, sep, max_len, generator):
    if max_len - 3 < 2:
        raise ValueError(max_len)
    rng = random.Random(int(torch.randint(2**60, (1,), generator=generator)))
    examples = []
    for number, doc in enumerate(docs):
        for place in range(1, len(doc)):
            a, b, label = list(doc[place - 1]), list(doc[place]), True
            if len(docs) > 1 and rng.random() < 0.5:
                other = number
                while other == number:
                    other = rng.randrange(len(docs))
                b, label = list(rng.choice(docs[other])), False
            while len(a) + len(b) + 3 > max_len:
                longer = a if len(a) > len(b) else b
                del longer[-1]
            left, right = [cls, *a, sep], [*b, sep]
            examples.append((left + right, [0 for _ in left] + [1 for _ in right], label))
    return [e[0] for e in examples], [e[1] for e in examples], [e[2] for e in examples]
