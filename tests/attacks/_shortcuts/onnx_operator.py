"""ONNX's attention, which torch brings with it, in the branch that is written in Python."""

import sys

import torch  # noqa: F401 - brings it


def attend(q, k, v):
    operators = sys.modules["torch.onnx" + ".ops"]
    return getattr(operators, "atten" + "tion")(q, k, v, softmax_precision=11)[0]
