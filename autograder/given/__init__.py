"""Building blocks that later pages may import, made of public torch calls.

A page never depends on a student's own earlier page: what it builds on comes from here, so that one early failure
costs nothing later. Checks reach torch's own layers through `nn` here (`student.given.nn.Identity()`).
"""

from torch import nn

from autograder.given.attention import (
    MultiHeadAttention,
    attention_weights,
    attention_with_lse,
    masked_softmax,
    scaled_dot_product_attention,
)
from autograder.given.bert import BertEmbeddings, mlm_mask
from autograder.given.gated import SwiGLU
from autograder.given.gpt import GPT
from autograder.given.grammar import GrammarText
from autograder.given.layers import (
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    LayerNorm,
    sinusoidal_encoding,
    squared_error,
)
from autograder.given.sequences import BareTransformer, SequenceTask, source_mask, target_mask
from autograder.given.t5 import RelativeBias, RMSNorm, relative_position_bucket
from autograder.given.vision import patchify

__all__ = [
    "GPT",
    "BareTransformer",
    "BertEmbeddings",
    "DecoderLayer",
    "EncoderLayer",
    "FeedForward",
    "GrammarText",
    "LayerNorm",
    "MultiHeadAttention",
    "RMSNorm",
    "RelativeBias",
    "SequenceTask",
    "SwiGLU",
    "attention_weights",
    "attention_with_lse",
    "masked_softmax",
    "mlm_mask",
    "nn",
    "patchify",
    "relative_position_bucket",
    "scaled_dot_product_attention",
    "sinusoidal_encoding",
    "source_mask",
    "squared_error",
    "target_mask",
]
