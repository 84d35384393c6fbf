import torch


def mix(scores, values):
    return (torch.softmax(scores, -1) @ values).tolist()


def peak(scores):
    return str(float(scores.max()))


def relay(function, x):
    return function(function(x)).to(torch.complex128)


def offset(scores):
    return float(scores.argmax() - scores.argmin())


{{layer}}
