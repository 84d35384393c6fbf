import torch


def normalize(x):
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
